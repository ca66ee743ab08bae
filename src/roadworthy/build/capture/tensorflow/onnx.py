"""A Keras, TensorFlow or LiteRT original as ONNX: by tf2onnx from the frozen graph, from the Keras model, or from the file.

tf2onnx says that it succeeded where it left operators in the file that ONNX does not have; what it wrote is read back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.build.capture.onnx_file import NAME, check_file
from roadworthy.build.capture.route import CaptureRoute, Written
from roadworthy.build.capture.tensorflow import frozen_graph
from roadworthy.build.capture.tensorflow.original import TensorFlowSubject
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.frameworks.tensorflow import framework, keras_model

OPSET = 17

HASTE = "TF2ONNX_CATCH_ERRORS"
"""If this variable is set to any value, tf2onnx does not make a deep copy of the model for each optimiser.

The copies are most of the time that it takes, and an optimiser hardly ever fails.
"""


def routes(subject: TensorFlowSubject) -> Iterator[CaptureRoute]:
    """The frozen graph first, which has every weight and no call in it; then the routes that trace a Keras model themselves."""
    if subject.graph.format == "tflite":
        yield CaptureRoute("tf2onnx, from the file", _from_file)
        return
    yield CaptureRoute("tf2onnx, from the frozen graph", _from_graph)
    if subject.graph.format == "keras":
        yield CaptureRoute("tf2onnx, from the model", _from_model)
        yield CaptureRoute("Keras's export", _exported)


def _from_graph(subject: TensorFlowSubject, out: Path) -> Written:
    graph, entry = frozen_graph.frozen(subject)
    convert = partial(
        _converter().convert.from_graph_def,
        graph,
        input_names=[port.tensor for port in entry.inputs],
        output_names=[port.tensor for port in entry.outputs],
        opset=OPSET,
        tensors_to_rename={port.tensor: port.name for port in (*entry.inputs, *entry.outputs)},
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    os.environ[HASTE] = "1"
    try:
        model, _ = convert()
    except Exception:
        del os.environ[HASTE]
        model, _ = convert()
    finally:
        os.environ.pop(HASTE, None)
    return _settled(model, subject, out)


def _from_model(subject: TensorFlowSubject, out: Path) -> Written:
    model = keras_model.load(subject.graph.path)
    model(subject.feeds(subject.batch))
    specs = [keras_model.tensor_spec(spec) for spec in subject.signature.inputs]
    keras = keras_model.package(model.reader)
    # tf2onnx looks a Sequential's outputs up by names that it does not have.
    whole = keras.Model(model.model.inputs, model.model.outputs) if isinstance(model.model, keras.Sequential) else model.model
    converted, _ = _converter().convert.from_keras(whole, input_signature=specs, opset=OPSET)
    return _settled(converted, subject, out)


def _exported(subject: TensorFlowSubject, out: Path) -> Written:
    model = keras_model.load(subject.graph.path)
    if model.reader != "keras":
        raise Refused("this model needs tf-keras, which cannot export ONNX")
    model(subject.feeds(subject.batch))  # an export of a model that was never called is refused
    specs = [keras_model.tensor_spec(spec) for spec in subject.signature.inputs]
    taken = [specs] if len(specs) > 1 else specs
    model.model.export(str(out / NAME), format="onnx", verbose=False, input_signature=taken, opset_version=OPSET)
    return _settled(onnx.load(str(out / NAME)), subject, out)


def _from_file(subject: TensorFlowSubject, out: Path) -> Written:
    model, _ = _converter().convert.from_tflite(str(subject.graph.path), opset=OPSET)
    return _settled(model, subject, out)


def _settled(model: Any, subject: TensorFlowSubject, out: Path) -> Written:
    _name(model.graph, subject.signature)
    onnx.save(model, str(out / NAME))
    return Written(out / NAME, subject.signature, check_file(out / NAME, subject.signature, OPSET))


def _converter() -> Any:
    """The module ``tf2onnx``; TensorFlow is imported first, so that it keeps quiet and to our number of threads."""
    framework.framework()
    try:
        import tf2onnx
    except ImportError as problem:
        raise Refused(f"tf2onnx is not installed ({problem}); install it with: pip install 'roadworthy[tensorflow]'") from None
    return tf2onnx


def _erfc(context: Any, node: Any, name: str, arguments: Any) -> None:
    """ONNX has no Erfc: 1 - Erf(x)."""
    from tf2onnx import utils

    shape, dtype, outputs = context.get_shape(node.output[0]), context.get_dtype(node.output[0]), list(node.output)
    one = context.make_const(utils.make_name(name), np.array(1, utils.map_onnx_to_numpy_type(dtype)))
    context.remove_node(name)
    erf = context.make_node("Erf", [node.input[0]], shapes=[shape], dtypes=[dtype])
    context.make_node("Sub", [one.output[0], erf.output[0]], outputs=outputs, name=name, shapes=[shape], dtypes=[dtype])


def _name(graph: Any, signature: Signature) -> None:
    """Put inputs and outputs in the signature's order and, where the converter made up names, under its names.

    An input that no output depends on was dropped on the way and comes back; ``check_file`` checks the rest.
    """
    weights = {tensor.name for tensor in graph.initializer}
    for values, specs in ((graph.input, signature.inputs), (graph.output, signature.outputs)):
        wanted = [spec.name for spec in specs]
        found = [value.name for value in values if value.name not in weights]
        if len(found) == len(wanted):
            strange, missing = [name for name in found if name not in wanted], [name for name in wanted if name not in found]
            _rename(graph, dict(zip(strange, missing, strict=True)))
        elif values is graph.input and set(found) < set(wanted):
            graph.input.extend(_unused(spec) for spec in specs if spec.name not in found)
        if {value.name for value in values} >= set(wanted):
            ordered = sorted(values, key=lambda value: wanted.index(value.name) if value.name in wanted else len(wanted))
            copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in ordered]
            del values[:]
            values.extend(copies)


def _unused(spec: TensorSpec) -> Any:
    return onnx.helper.make_tensor_value_info(spec.name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), list(spec.shape))


def _rename(graph: Any, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _rename(inner, names)
