"""Files for OpenVINO: a graph as its own format in float32, or quantised to int8 by NNCF; what comes quantised stays as it is."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadworthy.build.lower import NARROW, calibration_batches, int8_flavour
from roadworthy.core.errors import RoadworthyError, StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan, Precision
from roadworthy.core.types import Signature, output_names
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow.entry import Constant, Port
from roadworthy.runtimes._reasons import reason

ACCEPTS = ("graphdef", "onnx", "saved_model", "tflite", "pt2", "jit")
"""From a frozen GraphDef and from the ONNX made of it come the same layers at the same speed; the former has passed one converter less.
PyTorch's own graphs come last, for the operators that ONNX does not have."""
MODEL = "model.xml"
CALIBRATION_BATCH = 16
NEEDS: dict[Precision, tuple[str, ...]] = {"bf16": ("avx512_bf16", "amx_bf16"), "fp16": ("avx512_fp16", "amx_fp16")}
"""CPU features of which one is needed for a precision; without it the plugin computes in float32 instead."""


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """Every precision of this host, for any batch and, where the model allows it, for exactly one sample a call.

    A fixed batch lets the plugin plan its memory and choose its kernels ahead. One thread is for small models.
    """
    lacking = unavailable(host)
    came_quantised = graph.precision == "int8"
    precisions: tuple[Precision, ...] = ("int8",) if came_quantised else ("fp32", "bf16", "fp16", "int8")
    for precision in precisions:
        if precision in lacking and not came_quantised:
            continue
        narrow = precision == "int8" and not came_quantised
        plan = Plan("openvino", precision, host.cores, flavour=int8_flavour(host) if narrow else "")
        yield plan
        if graph.signature.batched:
            yield replace(plan, batch=1)
            if host.cores > 1 and precision in ("fp32", "int8"):
                yield replace(plan, batch=1, threads=1)


def unavailable(host: Host) -> Mapping[str, str]:
    """What this host cannot make or run, by precision."""
    reasons: dict[str, str] = {
        precision: f"{precision} needs a CPU with {' or '.join(any_of)}"
        for precision, any_of in NEEDS.items()
        if not any(map(host.has, any_of))
    }
    if importlib.util.find_spec("nncf") is None:
        reasons["int8"] = "int8 needs the package nncf; install it with: pip install 'roadworthy[int8]'"
    return reasons


def imports(graph: Graph, plan: Plan) -> str:
    """The module that ``lower`` imports for seconds."""
    if plan.precision == "int8" and graph.precision != "int8":
        return "nncf"
    return "roadworthy.frameworks.torch.preload" if graph.format in ("pt2", "jit") else ""


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write ``out/model.xml`` and ``model.bin``: weights in float32 (the plugin converts them for bf16 and fp16) or int8.

    Raises UsageError for int8 without samples, StepFailed where a conversion fails.
    """
    # As in the runtime: telemetry is off.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    to_quantise = plan.precision == "int8" and graph.precision != "int8"
    if to_quantise and calibration is None:
        raise UsageError("int8 needs samples to calibrate on")
    try:
        model = _read(graph)
        if calibration is not None and to_quantise:
            model = _quantise(model, calibration, graph.signature, narrow=plan.flavour == NARROW)
        if plan.batch is not None:
            fixed = graph.signature.fixed(plan.batch)
            model.reshape({spec.name: [size if isinstance(size, int) else -1 for size in spec.shape] for spec in fixed.inputs})
        # The default halves the weights to fp16 without a word.
        openvino.save_model(model, out / MODEL, compress_to_fp16=False)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(
            f"OpenVINO could not make {plan.artefact} of the {graph.format} graph {graph.path.name}: {reason(problem)}", detail=str(problem)
        ) from problem


def _read(graph: Graph) -> Any:
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
    """The ONNX file with functions of its own in the place of their calls, which OpenVINO does not follow."""
    import onnx
    import openvino
    from onnx import inliner

    core = openvino.Core()
    if not onnx.load(path, load_external_data=False).functions:
        return core.read_model(path)
    return core.read_model(inliner.inline_local_functions(onnx.load(path)).SerializeToString())


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


def _quantise(model: Any, calibration: SampleSet, signature: Signature, *, narrow: bool) -> Any:
    """Post-training int8 by NNCF: weights symmetric, activations asymmetric (preset MIXED), fast bias correction."""
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters

    samples = list(calibration_batches(calibration, signature, CALIBRATION_BATCH))
    overflow = nncf.OverflowFix.ENABLE if narrow else nncf.OverflowFix.DISABLE
    return nncf.quantize(
        model,
        nncf.Dataset(samples),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(samples),
        advanced_parameters=AdvancedQuantizationParameters(overflow_fix=overflow),
    )
