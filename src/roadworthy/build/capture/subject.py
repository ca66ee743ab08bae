"""What is captured: the original opened, an example to capture it with, and how many samples it takes itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from roadworthy.build.capture import words
from roadworthy.core.errors import CaptureFailed
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec
from roadworthy.runtimes import _module

Kind = Literal["module", "script", "exported"]
_KINDS: dict[str, Kind] = {_module.SCRIPT: "script", _module.EXPORTED: "exported"}

_EXAMPLE_SIZES = (3, 7, 11, 13)
"""Never 1, which exporters take for a constant; 5 is left for the proof."""


@dataclass(frozen=True)
class Subject:
    """The live original. ``kind`` is the form it came in; ``batch`` the number of samples in an example."""

    module: torch.nn.Module
    kind: Kind
    path: Path
    signature: Signature
    samples: SampleSet
    batch: int
    exported: Path | None
    doubts: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def dynamic(self) -> bool:
        """Whether the number of samples is free."""
        return any(spec.batched for spec in self.signature.inputs)

    @property
    def inputs(self) -> list[str]:
        return [spec.name for spec in self.signature.inputs]

    @property
    def outputs(self) -> list[str]:
        return [spec.name for spec in self.signature.outputs]

    def fixed(self) -> Subject:
        """The same original for exactly one sample a call; what was exported for any number is of no use there."""
        return replace(self, signature=self.signature.fixed(1), batch=1, exported=None)

    def feeds(self, batch: int, start: int = 0) -> dict[str, Array]:
        """``batch`` samples from number ``start`` on, C-contiguous, from the beginning again where they run out."""
        mapped = self.samples.open()
        return {spec.name: _rows(mapped[spec.name], spec, batch, start) for spec in self.signature.inputs}

    def example(self) -> tuple[Tensor, ...]:
        """New tensors in the order of the signature; a model may write into its input."""
        return _tensors(self.feeds(self.batch), self.signature)

    def answer(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """The original's own outputs."""
        return _answer(self.module, self.signature, feeds)

    def takes(self, batch: int) -> bool:
        """Whether the original itself answers ``batch`` samples in one call."""
        return _works(self.module, self.signature, self.samples, batch)

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        """For each input its symbolic dimensions, named as in the signature; never Dim.AUTO, which may turn static in silence."""
        dims: dict[str, Any] = {}
        for spec in self.signature.inputs:
            for size in spec.shape:
                if isinstance(size, str) and size not in dims:
                    dims[size] = torch.export.Dim(size, min=1, max=self.signature.max_batch if size == BATCH else None)
        return tuple({i: dims[size] for i, size in enumerate(spec.shape) if isinstance(size, str)} for spec in self.signature.inputs)


def open_subject(graph: Graph, samples: SampleSet, doubts: tuple[str, ...], exported: Path | None) -> Subject:
    """Open the original; raises CaptureFailed where it is in training mode or fails on the samples."""
    module = _module.load(graph.path)
    kind = _KINDS.get(graph.path.name, "module")
    if kind != "exported":
        _refuse_training(module)
    signature, notes = _what_it_takes(module, graph.signature, samples)
    subject = Subject(module, kind, graph.path, signature, samples, 1, exported, doubts, notes)
    return replace(subject, batch=_example_size(signature))


def _refuse_training(module: torch.nn.Module) -> None:
    live = [path or type(part).__name__ for path, part in module.named_modules() if getattr(part, "training", False)]
    if live:
        raise CaptureFailed(
            f"the model is in training mode ({', '.join(live[:3])}): dropout and batch statistics would stay live; call eval() on it"
        )


def _what_it_takes(module: torch.nn.Module, signature: Signature, samples: SampleSet) -> tuple[Signature, tuple[str, ...]]:
    """The signature as the original itself keeps it at 1, 2 and 5 samples: what it cannot do, no graph of it can."""
    if not any(spec.batched for spec in signature.inputs):
        _run(module, signature, samples, 1)
        return signature, ()
    wanted = [size for size in (1, 2, 5) if size <= (signature.max_batch or size)]
    _run(module, signature, samples, 1)
    failing = next((size for size in wanted[1:] if not _works(module, signature, samples, size)), None)
    if failing is None:
        return signature, ()
    if failing == 2:
        return signature.fixed(1), ("the original itself takes one sample a call",)
    limit = next((size for size in (4, 3) if _works(module, signature, samples, size)), 2)
    return replace(signature, max_batch=limit), (f"the original itself takes at most {limit} samples a call",)


def _works(module: torch.nn.Module, signature: Signature, samples: SampleSet, size: int) -> bool:
    try:
        _run(module, signature, samples, size)
    except CaptureFailed:
        return False
    return True


def _run(module: torch.nn.Module, signature: Signature, samples: SampleSet, size: int) -> None:
    mapped = samples.open()
    try:
        _answer(module, signature, {spec.name: _rows(mapped[spec.name], spec, size, 0) for spec in signature.inputs})
    except CaptureFailed:
        raise
    except Exception as problem:
        raise CaptureFailed(f"the original fails on {size} of the samples: {words.reason(problem)}") from problem


def _answer(module: torch.nn.Module, signature: Signature, feeds: dict[str, Array]) -> dict[str, Array]:
    with torch.no_grad():
        leaves = [leaf for leaf in tree_leaves(module(*_tensors(feeds, signature))) if isinstance(leaf, Tensor)]
    if len(leaves) != len(signature.outputs):
        raise CaptureFailed(f"the model gives {len(leaves)} tensors where its signature has {len(signature.outputs)} outputs")
    answer = {spec.name: leaf.numpy(force=True) for spec, leaf in zip(signature.outputs, leaves, strict=True)}
    _refuse_other_shapes(answer, signature, feeds)
    return answer


def _refuse_other_shapes(answer: dict[str, Array], signature: Signature, feeds: dict[str, Array]) -> None:
    symbols = {size: found for spec in signature.inputs for size, found in zip(spec.shape, feeds[spec.name].shape, strict=True)}
    for spec in signature.outputs:
        found = answer[spec.name].shape
        wanted = [symbols.get(size, size) for size in spec.shape]
        if len(found) != len(wanted) or any(isinstance(size, int) and size != have for size, have in zip(wanted, found, strict=True)):
            raise CaptureFailed(f"the model gives {list(found)} for {spec}")


def _tensors(feeds: dict[str, Array], signature: Signature) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(feeds[spec.name].copy()) for spec in signature.inputs)


def _rows(array: Array, spec: TensorSpec, batch: int, start: int) -> Array:
    """Samples lie first in ``array``; an input without a sample dimension gets one of them as it is."""
    if not spec.batched and array.ndim == len(spec.shape) + 1:
        return np.ascontiguousarray(array[start % len(array)])
    size = batch if spec.batched else int(spec.shape[0])
    return np.ascontiguousarray(array[np.arange(start, start + size) % len(array)])


def _example_size(signature: Signature) -> int:
    """A number that is no other size in the model's inputs, so that the exporter cannot take the two for one."""
    if not any(spec.batched for spec in signature.inputs):
        return signature.call_size(1)
    taken = {size for spec in signature.inputs for size in spec.shape}
    limit = signature.max_batch or _EXAMPLE_SIZES[-1]
    return next((size for size in _EXAMPLE_SIZES if size not in taken and size <= limit), min(limit, _EXAMPLE_SIZES[0]))
