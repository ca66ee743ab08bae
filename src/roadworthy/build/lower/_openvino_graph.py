"""A graph of any format as OpenVINO's model: its inputs and outputs are those of the signature, under the signature's names."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Graph
from roadworthy.core.types import Signature, output_names
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow.entry import Constant, Port


def read(graph: Graph) -> Any:
    """The graph as OpenVINO's model, its inputs and outputs those of the signature, under the signature's names."""
    import openvino

    if graph.format == "onnx":
        return _read_onnx(graph.path)
    if graph.format in ("pt2", "jit"):
        return _of_torch(graph)
    if graph.format == "tflite":
        return _only_ones_named(openvino.Core().read_model(graph.path), graph.signature)
    entry = tensorflow_entry.read_entry(graph.path)
    tensorflow_entry.refuse_tables(entry)
    if graph.format == "graphdef":
        # Left to find the outputs, it takes every tensor that nothing reads.
        model = openvino.convert_model(graph.path / tensorflow_entry.GRAPHDEF, output=[port.tensor for port in entry.outputs])
    elif entry.signature == "serving_default":
        model = openvino.convert_model(graph.path / tensorflow_entry.SAVED_MODEL)
    else:
        raise StepFailed(f"OpenVINO reads no signature of a SavedModel but serving_default, and this one's is {entry.signature}")
    for constant in entry.constants:
        _put_in_place(model, constant)
    for port in (*entry.inputs, *entry.outputs):
        _rename(model, port)
    return model


def _read_onnx(path: Path) -> Any:
    """The ONNX file as a model in the form that quantisation expects: constants folded, shapes computed, batch norms merged.

    Functions of the file's own are put in the place of their calls, which OpenVINO does not follow.
    """
    import onnx
    import openvino
    from onnx import inliner

    if not onnx.load(path, load_external_data=False).functions:
        return openvino.convert_model(path)
    return openvino.convert_model(io.BytesIO(inliner.inline_local_functions(onnx.load(path)).SerializeToString()))


def _only_ones_named(model: Any, signature: Signature) -> Any:
    """Of a ``.tflite`` file OpenVINO knows the tensors' names, and not those of its signature: clear where there is one of each."""
    for found, specs in ((model.inputs, signature.inputs), (model.outputs, signature.outputs)):
        if len(found) == len(specs) == 1:
            found[0].get_tensor().set_names({specs[0].name})
    return model


def _of_torch(graph: Graph) -> Any:
    """The model of PyTorch's own graph, whose inputs and outputs are known by their order alone."""
    import openvino

    from roadworthy.frameworks.torch import captured

    source, example = captured.open_graph(graph)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec", category=FutureWarning)
        model = openvino.convert_model(source, example_input=example)
    signature = graph.signature
    ports, names = (*model.inputs, *model.outputs), (*(spec.name for spec in signature.inputs), *output_names(signature))
    if len(ports) != len(names) or len(model.inputs) != len(signature.inputs):
        raise StepFailed(
            f"OpenVINO's model of the {graph.format} graph has {model.inputs} and {model.outputs} where the signature has {names}"
        )
    _separate(model)
    for port, name in zip((*model.inputs, *model.outputs), names, strict=True):
        port.get_tensor().set_names({name})
    sizes = ([size if isinstance(size, int) else -1 for size in spec.shape] for spec in signature.inputs)
    model.reshape({port: openvino.PartialShape(shape) for port, shape in zip(model.inputs, sizes, strict=True)})
    return model


def _separate(model: Any) -> None:
    """Give each output a tensor of its own: the converter drops copies, and one tensor has one set of names."""
    from openvino import opset16

    taken = [port.get_node().output(0) for port in model.inputs]
    for port in model.outputs:
        source = port.get_node().input_value(0)
        if source in taken:
            port.get_node().input(0).replace_source_output(opset16.identity(source).output(0))
        taken.append(source)
    model.validate_nodes_and_infer_types()


def _put_in_place(model: Any, constant: Constant) -> None:
    """Put the value in the place of the input that it would be fed to."""
    from openvino import opset8

    node = model.input(constant.tensor).get_node()
    node.output(0).replace(opset8.constant(constant.array).output(0))
    model.remove_parameter(node)
    model.validate_nodes_and_infer_types()


def _rename(model: Any, port: Port) -> None:
    found = next((one for one in (*model.inputs, *model.outputs) if port.tensor in one.get_names()), None)
    if found is None:
        raise StepFailed(f"OpenVINO's model has no {port.tensor}, which is {port.name}; it has {model.inputs} and {model.outputs}")
    if port.scalar:
        raise StepFailed(f"{port.name} is a single value and not a batch of them, which TensorFlow alone runs")
    found.get_tensor().set_names({port.name})
