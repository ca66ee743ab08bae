"""A model repository for Triton: ``NAME/config.pbtxt``, ``NAME/1/model.onnx``, the labels, and golden samples to warm it up with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.build.export import _verify
from roadworthy.build.export._servers import oip_verify, onnx_file
from roadworthy.build.exported import Export
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import Host, usable_cores
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BYTES, Array, Signature, TensorSpec
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
MODEL, VERSION, LABELS = "model.onnx", "1", "labels.txt"
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
    folder = out / UNNAMED
    config = _config(graph.signature, onnx_file.outputs_in_file(graph.path, graph.signature))
    (folder / VERSION).mkdir(parents=True)
    onnx_file.copy(graph.path, folder / VERSION / MODEL)
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
    (out / _verify.NAME).write_text(oip_verify.script(asked, [tensor.name for tensor in config.outputs], _numbers(export, config)))
    return _how_to_run(export, config)


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
    for number, call in enumerate(onnx_file.calls(export.signature, export.golden.inputs)[:WARMUPS]):
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


def _how_to_run(export: Export, config: TritonConfig) -> str:
    silent = triton_rules.acts_in_silence(config, export.signature.inputs, export.signature.outputs)
    option = " --disable-auto-complete-config" if silent else ""
    limits = [
        f"- {config.instances[0].count} instance(s) of {export.plan.threads} thread(s) each (`instance_group`, `{INTRA}`): set the "
        "count to the cores of the server divided by the threads. A global thread pool of the backend would override both.",
        f"- At most {config.max_batch_size} samples a call; requests are gathered (`dynamic_batching`)."
        if config.max_batch_size
        else "- A call has the whole shapes of the configuration: no batch dimension is added to them.",
        "- Threads that wait spin: the backend for ONNX Runtime has no switch for that.",
    ]
    if option:
        limits.append("- Without `--disable-auto-complete-config` the server takes the first free dimension for a batch.")
    return "\n".join(
        (
            "```",
            "docker run --rm -p 8000:8000 -v $PWD:/models nvcr.io/nvidia/tritonserver:RELEASE-py3 \\",
            f"    tritonserver --model-repository=/models{option}",
            "SERVER_URL=http://localhost:8000 python verify.py",
            "```",
            "",
            *limits,
        )
    )
