"""What a ``config.pbtxt`` means, which its grammar does not say: each rule is one that Triton refuses a model for, or acts on in silence.

The rules are those of Triton's documentation of model configurations and of its backend for ONNX Runtime, in our words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from roadworthy.core.types import ANY_RANK, UNKNOWN, TensorSpec
from roadworthy.other_servers.triton_config import ANY, INTER, INTRA, TritonConfig, TritonTensor

FILLED_IN = 4
"""The ``max_batch_size`` that the backend for ONNX Runtime fills in where a model could be batched and the configuration says 0."""


def mistakes(config: TritonConfig) -> tuple[str, ...]:
    """What is wrong with the configuration by itself: one sentence each."""
    return (
        *([f"max_batch_size is {config.max_batch_size}; it is 0 or more"] if config.max_batch_size < 0 else []),
        *_names(config),
        *(sentence for tensor in (*config.inputs, *config.outputs) for sentence in _dims(tensor)),
        *_batching(config),
        *_instances(config),
        *_threads(config),
        *_warmups(config),
    )


def contradictions(config: TritonConfig, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """In which way the configuration is not about a model with these ``inputs`` and ``outputs``, as the model's own file states them.

    A part that the configuration leaves to the server contradicts nothing.
    """
    found: list[str] = []
    for kind, stated, there in (("input", config.inputs, inputs), ("output", config.outputs, outputs)):
        if not stated:
            continue
        specs = {spec.name: spec for spec in there}
        found += [f"the {kind} {one.name!r} is not in the model, which has {_listed(specs)}" for one in stated if one.name not in specs]
        if kind == "input":
            found += [f"the model's input {name!r} is not stated" for name in specs if name not in {one.name for one in stated}]
        for one in stated:
            if one.name in specs:
                found += _against(config, one, specs[one.name])
    return tuple(found)


def acts_in_silence(config: TritonConfig, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """What the server does otherwise than the configuration reads, without a word."""
    specs = (*inputs, *outputs)
    said = []
    if config.max_batch_size == 0 and specs and all(spec.shape and isinstance(spec.shape[0], str) for spec in specs):
        said.append(
            f"max_batch_size is 0 and the first dimension of all tensors is free: the server takes it for the batch and fills in "
            f"{FILLED_IN}; state max_batch_size"
        )
    if config.runs_on == "onnxruntime" and config.parameter(INTRA) in ("", "0"):
        said.append(f"{INTRA} is not stated: each instance takes a thread for each core")
    if not config.instances:
        said.append("instance_group is not stated: the model runs on a GPU where there is one")
    return tuple(said)


def _names(config: TritonConfig) -> Iterator[str]:
    for kind, tensors in (("input", config.inputs), ("output", config.outputs)):
        names = [tensor.name for tensor in tensors]
        yield from (f"the {kind} {name!r} is stated twice" for name in dict.fromkeys(names) if names.count(name) > 1)
        yield from (f"the {kind} {tensor.name!r} has no data_type" for tensor in tensors if tensor.dtype == UNKNOWN)


def _dims(tensor: TritonTensor) -> Iterator[str]:
    if not tensor.dims:
        yield f"{tensor.name!r} has no dims; a single number a sample is dims: [ 1 ] with reshape {{ shape: [ ] }}"
    if wrong := [size for size in (*tensor.dims, *(tensor.reshape or ())) if size < 1 and size != ANY]:
        yield f"{tensor.name!r} has a dimension of size {wrong[0]}; a size is 1 or more, or {ANY} where it is free"
    fixed = ANY not in (*tensor.dims, *(tensor.reshape or ()))
    if tensor.reshape is not None and fixed and math.prod(tensor.dims) != math.prod(tensor.reshape):
        yield f"{tensor.name!r} has dims {list(tensor.dims)}, which are not as many elements as its reshape {list(tensor.reshape)}"


def _batching(config: TritonConfig) -> Iterator[str]:
    if config.batching and config.max_batch_size < 1:
        yield "dynamic_batching is on, and max_batch_size is 0: without a batch it cannot gather requests"
    elif too_large := [size for size in config.preferred if not 0 < size <= config.max_batch_size]:
        yield f"preferred_batch_size {too_large[0]} is not in 1..{config.max_batch_size}, the max_batch_size"


def _instances(config: TritonConfig) -> Iterator[str]:
    for group in config.instances:
        if group.count < 0:
            yield f"instance_group has a count of {group.count}"
        if group.kind == "KIND_CPU" and group.gpus:
            yield f"instance_group is KIND_CPU and names the GPUs {', '.join(map(str, group.gpus))}"


def _threads(config: TritonConfig) -> Iterator[str]:
    for name in (INTRA, INTER):
        value = config.parameter(name)
        if value and not value.isdecimal():
            yield f"the parameter {name} is {value!r}, which is not a number of threads"


def _warmups(config: TritonConfig) -> Iterator[str]:
    stated = {tensor.name for tensor in config.inputs}
    most = max(config.max_batch_size, 1)
    for warmup in config.warmups:
        if not 1 <= warmup.batch_size <= most:
            yield f"model_warmup {warmup.name!r} has a batch_size of {warmup.batch_size}, which is not in 1..{most}"
        if stated and {one.name for one in warmup.inputs} != stated:
            yield f"model_warmup {warmup.name!r} has the inputs {_listed(one.name for one in warmup.inputs)}, not {_listed(stated)}"


def _against(config: TritonConfig, tensor: TritonTensor, spec: TensorSpec) -> list[str]:
    if tensor.dtype not in (spec.dtype, UNKNOWN) and spec.dtype != UNKNOWN:
        return [f"{tensor.name!r} is stated as {tensor.dtype}, and the model has {spec.dtype}"]
    if ANY_RANK in spec.shape:
        return []
    batched = config.max_batch_size > 0
    if batched and spec.shape and isinstance(spec.shape[0], int):
        return [
            f"max_batch_size is {config.max_batch_size}, and {tensor.name!r} of the model has a first dimension of {spec.shape[0]} alone"
        ]
    dims = ((ANY,) if batched else ()) + tensor.model_dims
    shown = f"{tensor.name!r} is stated with dims {list(tensor.model_dims)}, and the model has {spec}"
    if not spec.shape and all(size == 1 for size in dims):
        return []
    if len(dims) != len(spec.shape):
        named = batched and len(tensor.model_dims) == len(spec.shape)
        return [shown + ("; with max_batch_size above 0 the batch is left out of dims" if named else "")]
    if any(isinstance(there, int) and there != size for size, there in zip(dims, spec.shape, strict=True)):
        return [shown]
    return []


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(repr, names))) or "none"
