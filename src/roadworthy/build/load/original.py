"""The original, from a live module to a file of its own with a proven signature."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from roadworthy.build.load import Loaded, inputs, pickled, prove, running, weights
from roadworthy.build.load.opened import Opened
from roadworthy.core.errors import NotInference, SourceError, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Source
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.runtimes import _module
from roadworthy.runtimes._module import Call

SIZES = (2, 1, 3, 4, 5)
"""Batch sizes that the model is tried at; two first, since one alone hides what depends on the batch."""
OTHER_SIZES = (8, 16, 32, 64, 128, 256)
"""Where none of those runs, a size may have been baked in when the model was traced."""


def settle_and_save(opened: Opened, said: tuple[TensorSpec, ...], samples: SampleSet | None, out: Path, *, allow: bool) -> Loaded:
    """The module of ``opened`` in inference mode, proven, and kept in ``out``."""
    module = _unwrapped(opened.module)
    notes = [*opened.notes, *(weights.to_float32(module) if opened.program is None else ()), *_fold(module)]
    proofs = [*opened.proofs, *prove.settle(module, graph=opened.program is not None, allow=allow)]
    specs = inputs.resolve(replace(opened, module=module), said, samples)
    keywords = inputs.keywords(module, specs)

    def call(feeds: list[Tensor]) -> Any:
        return module(**dict(zip(keywords, feeds, strict=True))) if keywords else module(*feeds)

    specs, sizes, limit = _sizes(call, module, specs, samples)
    answers = {size: running.answer(call, running.draw(specs, size, samples), module, specs) for size in sizes}
    outputs = tuple(
        _output(name, {size: answer[name] for size, answer in answers.items() if name in answer}, sizes) for name in answers[sizes[0]]
    )
    symbolic, batch = len(sizes) > 1, max(sizes)
    rows = symbolic or all(len(spec.shape) > 1 and spec.shape[0] == batch for spec in (*specs, *outputs))
    subject = prove.Subject(call, module, specs, batch, symbolic, rows)
    proofs += prove.prove(subject, samples, allow=allow)
    if limit is not None:
        notes.append(f"the model takes at most {limit} {'sample' if limit == 1 else 'samples'} a call")
    with torch.no_grad():
        plain = isinstance(call(running.draw(specs, sizes[0], samples)), Tensor) and len(specs) == 1 and not keywords
    convention = Call(keywords, tuple(spec.name for spec in outputs), plain)
    path = _module.save(module, out, program=opened.program, call=convention)
    graph = Graph("module", path, Signature(specs, outputs, limit), route="the original")
    return Loaded(graph, sum(parameter.numel() for parameter in module.parameters()), tuple(proofs), tuple(notes))


def from_live(module: Any, out: Path) -> Source:
    """A copy of ``module`` on the CPU in ``out``, as a trusted source; UsageError for what is no nn.Module."""
    if isinstance(module, torch.export.ExportedProgram):
        kind, path = "exported", _module.save(None, out, program=module)
    elif isinstance(module, torch.nn.Module):
        kind = "jit" if isinstance(module, torch.jit.ScriptModule) else "pickled"
        path = _module.save(_ready(_unwrapped(module)), out)
    else:
        raise UsageError(f"{type(module).__name__} is neither a torch.nn.Module nor an ExportedProgram; pass the model itself")
    data = path.read_bytes()
    return Source(path, kind, "torch", hashlib.sha256(data).hexdigest(), len(data), trust=True)


def _ready(module: Any) -> Any:
    """``module`` itself where it can be written as it is, else a copy that can: on the CPU, without parametrizations."""
    parametrized = any(parametrize.is_parametrized(part) for part in module.modules())
    if not parametrized and all(tensor.device.type == "cpu" for tensor in (*module.parameters(), *module.buffers())):
        return module
    try:
        twin = copy.deepcopy(module).to("cpu")
    except RuntimeError as problem:
        raise SourceError(f"{type(module).__name__} cannot be copied: {pickled.first_line(problem)}", detail=str(problem)) from problem
    _fold(twin)
    return twin


def _unwrapped(module: Any) -> Any:
    """Without what training put around the model: torch.compile, DataParallel and its kin."""
    while True:
        if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := dict(module.named_children()).get("_orig_mod"), torch.nn.Module):
            module = inner
        else:
            return module


def _fold(module: Any) -> tuple[str, ...]:
    """Put the value of each parametrized weight in its place: such a module cannot be pickled, and computes it anew at each call."""
    folded = 0
    for part in [part for part in module.modules() if parametrize.is_parametrized(part)]:
        # A copy shares the class that torch made for the original, and removing takes attributes off that class.
        made = type(part)
        part.__class__ = type(made.__name__, made.__bases__, {k: v for k, v in vars(made).items() if k not in ("__dict__", "__weakref__")})
        for name in list(part.parametrizations):
            parametrize.remove_parametrizations(part, name, leave_parametrized=True)
            folded += 1
    return (f"{folded} parametrized weights (weight_norm and its kin) were replaced by their values",) if folded else ()


def _sizes(
    call: Callable[[list[Tensor]], Any], module: Any, specs: tuple[TensorSpec, ...], samples: SampleSet | None
) -> tuple[tuple[TensorSpec, ...], tuple[int, ...], int | None]:
    """The specs, the batch sizes the model was seen to take (ascending), and the largest when there is one."""
    if not all(spec.batched for spec in specs):
        size = next((size for spec in specs for size in spec.shape[:1] if isinstance(size, int)), 1)
        return tuple(spec.fixed(size) for spec in specs), (size,), size
    taken = [size for size in SIZES if _takes(call, module, specs, samples, size)]
    if {1, 2} <= set(taken):
        limit = next((size - 1 for size in sorted(SIZES) if size not in taken), None)
        taken = [size for size in sorted(taken) if limit is None or size <= limit]
        return specs, tuple(taken), max(taken) if limit is not None else None
    only = taken or [size for size in OTHER_SIZES if _takes(call, module, specs, samples, size)]
    if not only:
        running.answer(call, running.draw(specs, 2, samples), module, specs)
    if len(only) > 1:
        try:
            running.answer(call, running.draw(specs, 1, samples), module, specs)
        except SourceError as problem:
            raise NotInference(
                f"the model takes several samples and not a single one: {problem.message}", detail=problem.detail
            ) from problem
    return tuple(spec.fixed(only[0]) for spec in specs), (only[0],), only[0]


def _takes(call: Callable[[list[Tensor]], Any], module: Any, specs: tuple[TensorSpec, ...], samples: SampleSet | None, size: int) -> bool:
    try:
        with torch.no_grad():
            call(running.draw(specs, size, samples))
    except Exception:
        return False
    return True


def _output(name: str, tensors: dict[int, Tensor], sizes: tuple[int, ...]) -> TensorSpec:
    if len(tensors) != len(sizes):
        raise SourceError(f"the model gives the output {name!r} at some batch sizes only")
    shapes = {size: tuple(tensor.shape) for size, tensor in tensors.items()}
    first = shapes[sizes[0]]
    follows = len(sizes) > 1 and bool(first) and all(shape and shape[0] == size for size, shape in shapes.items())
    if len({shape[1:] if follows else shape for shape in shapes.values()}) > 1:
        said = ", ".join(f"{list(shape)} for {size}" for size, shape in shapes.items())
        raise SourceError(f"output {name!r} has the shape {said} samples; only its first dimension may follow the batch")
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    return TensorSpec(name, dtype, (BATCH, *first[1:]) if follows else first)
