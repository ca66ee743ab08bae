"""A model repository for Triton: ``NAME/config.pbtxt``, ``NAME/1/model.onnx``, the labels, and golden samples to warm it up with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.build.export import _onnx_file
from roadworthy.build.export._servers import verify
from roadworthy.build.export._templates import filled
from roadworthy.build.exported import Export
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import Host, usable_cores
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BYTES, Array, Signature, TensorSpec, output_names
from roadworthy.other_servers import triton_config, triton_rules
from roadworthy.other_servers.triton_config import (
    ANY,
    DTYPES,
    FILE,
    INTER,
    INTRA,
    Instances,
    TritonConfig,
    TritonTensor,
    Warmup,
    WarmupInput,
)

ACCEPTS = ("onnx",)
RELEASE = "25.11"
"""A release of NVIDIA's container that README.md names."""
MODEL, VERSION, LABELS = "model.onnx", "1", "labels.txt"
SERVER = "triton"
"""What the server calls itself."""
UNNAMED = "model"
"""The folder's name until the export has one."""
MOST = 64
"""The ``max_batch_size`` where no limit was found."""
WARMUPS = 2
"""Golden samples that the server answers before it is ready."""


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """On one core and on all, in the graph's own precision; waiting threads spin, which the server's backend has no switch for."""
    if graph.unfolded:
        return
    plan = Plan("triton", graph.precision, threads=1)
    yield plan
    if host.cores > 1:
        yield replace(plan, threads=host.cores, spin=True)


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the model's folder into ``out``.

    The number of threads is in the configuration from ``finish`` on: plans that differ in it share these files.
    Raises UsageError for a plan that is not offered, StepFailed for a tensor that Triton has no type for.
    """
    if plan.precision != graph.precision or plan.batch not in (None, *(spec.samples for spec in graph.signature.inputs)):
        raise UsageError(f"{plan.name} is not a plan of Triton: the graph is deployed as it is")
    import onnx

    folder = out / UNNAMED
    model = onnx.load(graph.path)
    config = _config(graph.signature, output_names(graph.signature, [value.name for value in model.graph.output]))
    (folder / VERSION).mkdir(parents=True)
    _onnx_file.save(model, folder / VERSION / MODEL)
    (folder / FILE).write_text(triton_config.text(config))


def finish(export: Export, out: Path) -> str:
    """Name the model; add its threads, labels, warm-up and ``verify.py``."""
    folder = (out / UNNAMED).rename(out / export.name)
    config = triton_config.parse((folder / FILE).read_bytes(), str(folder / FILE), StepFailed)
    threads = export.plan.threads
    config = replace(
        config,
        name=export.name,
        parameters=((INTER, "1"), (INTRA, str(threads))),
        instances=(Instances(max(1, usable_cores() // threads), "KIND_CPU"),),
        warmups=_warmups(export, config, folder),
    )
    if labels := export.contract.answer.labels:
        (folder / LABELS).write_text("".join(f"{' '.join(label.split())}\n" for label in labels))
        config = replace(config, outputs=(replace(config.outputs[0], labels=LABELS), *config.outputs[1:]))
    (folder / FILE).write_text(triton_config.text(config))
    # No call has more samples than the server takes.
    asked = replace(export, signature=replace(export.signature, max_batch=config.max_batch_size or export.signature.max_batch))
    verify.write_for_oip(asked, out, SERVER, [tensor.name for tensor in config.outputs], _numbers(export, config))
    return _readme(export, config, folder)


def _config(signature: Signature, outputs: tuple[str, ...]) -> TritonConfig:
    """The configuration without what the export's name, plan and golden samples add."""
    specs = (*signature.inputs, *signature.outputs)
    batched = signature.batched and all(spec.batched and spec.sample_axis == 0 for spec in specs)
    named = [replace(spec, name=name) for spec, name in zip(signature.outputs, outputs, strict=True)]
    return TritonConfig(
        "",
        "onnxruntime",
        tuple(_tensor(spec, batched) for spec in signature.inputs),
        tuple(_tensor(spec, batched) for spec in named),
        max_batch_size=min(signature.max_batch or MOST, MOST) if batched else 0,
        file=MODEL,
        batching=batched,
    )


def _tensor(spec: TensorSpec, batched: bool) -> TritonTensor:
    """``spec`` as the server has it: a single number a sample needs a dimension of its own, which the model is not given."""
    if spec.dtype not in DTYPES.values():
        raise StepFailed(
            f"Triton has no type for {spec.name!r}, which is {spec.dtype}; deploy it to our own server, or export another type"
        )
    dims = tuple(size if isinstance(size, int) else ANY for size in (spec.shape[1:] if batched else spec.shape))
    if dims:
        return TritonTensor(spec.name, spec.dtype, dims)
    return TritonTensor(spec.name, spec.dtype, (1,), reshape=() if batched else None)


def _numbers(export: Export, config: TritonConfig) -> list[str]:
    """The signature's names of the tensors that have a dimension of 1 for the server and not for the model."""
    tensors, specs = (*config.inputs, *config.outputs), (*export.signature.inputs, *export.signature.outputs)
    return [
        spec.name
        for spec, tensor in zip(specs, tensors, strict=True)
        if tensor.dims == (1,) and len(spec.shape) <= (config.max_batch_size > 0)
    ]


def _warmups(export: Export, config: TritonConfig, folder: Path) -> tuple[Warmup, ...]:
    """The first golden samples as requests, their bytes in files."""
    place = folder / triton_config.WARMUP
    place.mkdir()
    found = []
    rows = export.golden.inputs
    for number in range(min(WARMUPS, *(len(array) for array in rows.values()))):
        call = export.signature.to_call({name: array[number : number + 1] for name, array in rows.items()})
        inputs: list[WarmupInput] = []
        for tensor in config.inputs:
            array, file = call[tensor.name], f"golden{number}-{len(inputs)}.bin"
            (place / file).write_bytes(_raw(array))
            shape = array.shape[1:] if config.max_batch_size else array.shape
            inputs.append(WarmupInput(tensor.name, tensor.dtype, tuple(shape) or (1,), file))
        found.append(Warmup(f"golden{number}", 1, tuple(inputs)))
    return tuple(found)


def _raw(array: Array) -> bytes:
    """The bytes as Triton reads them: a string has its length, four bytes, in front."""
    if array.dtype == np.dtype(BYTES):
        return b"".join(len(string).to_bytes(4, "little") + string for string in array.flat)
    return array.tobytes()


def _readme(export: Export, config: TritonConfig, folder: Path) -> str:
    silent = triton_rules.acts_in_silence(config, export.signature.inputs, export.signature.outputs)
    words = {
        "RELEASE": RELEASE,
        # Without it the server takes the first free dimension for a batch.
        "OPTION": " --disable-auto-complete-config" if silent else "",
        "STEPS": "; ".join(export.contract.describe()) or "the tensors as the model takes them.",
        "OPSET": str(_onnx_file.opset_of(folder / VERSION / MODEL)),
        "INSTANCES": str(config.instances[0].count),
        "THREADS": str(export.plan.threads),
        "CALLS": f"At most {config.max_batch_size} samples a call; requests are gathered (`dynamic_batching`)."
        if config.max_batch_size
        else "A call has the whole shapes of the configuration: no batch dimension is added to them.",
    }
    return filled(f"{__package__}._servers", "triton.md.template", words)
