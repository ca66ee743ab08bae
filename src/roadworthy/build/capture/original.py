"""The original to capture: its answers, the samples to call it with, and how many it takes in one call; on NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from roadworthy.build.capture import exporter_errors
from roadworthy.core.errors import CaptureFailed
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec

_EXAMPLE_SIZES = (3, 7, 11, 13)
"""Never 1, which exporters take for a constant; 5 is left for the proof."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The original, opened. ``call`` gives its own outputs by name; ``batch`` is the number of samples in an example.

    ``exported`` is the path of the graph of the first format, if there is one. ``TRACER`` is the tool that records a model in its
    framework; what it reports is evidence against every other route.
    """

    FRAMEWORK: ClassVar[str]
    TRACER: ClassVar[str]

    graph: Graph
    signature: Signature
    samples: SampleSet
    call: Callable[[Arrays], dict[str, Array]]
    batch: int = 1
    exported: Path | None = None
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def dynamic(self) -> bool:
        """Whether the number of samples is free."""
        return self.signature.dynamic

    @property
    def inputs(self) -> list[str]:
        return [spec.name for spec in self.signature.inputs]

    @property
    def outputs(self) -> list[str]:
        return [spec.name for spec in self.signature.outputs]

    def fixed(self) -> Self:
        """The same original for exactly one sample a call; what was exported for any number is of no use there."""
        return replace(self, signature=self.signature.fixed(1), batch=1, exported=None)

    def feeds(self, batch: int, start: int = 0, sizes: Mapping[str, int] | None = None) -> dict[str, Array]:
        """``batch`` samples from number ``start`` on, C-contiguous, from the beginning again where they run out.

        Symbolic axes are as in the samples, or as ``sizes`` has them.
        """
        mapped = self.samples.open()
        calls = {spec.name: _call(mapped[spec.name], spec, batch, start) for spec in self.signature.inputs}
        return {spec.name: np.asarray(spec.resized(calls[spec.name], sizes or {}), order="C") for spec in self.signature.inputs}

    def answer(self, feeds: Arrays) -> dict[str, Array]:
        """The original's own outputs; raises CaptureFailed where they are not of the signature."""
        found = self.call(feeds)
        _refuse_other_shapes(found, self.signature, feeds)
        return found

    def takes(self, batch: int) -> bool:
        """Whether the original itself answers ``batch`` samples in one call."""
        try:
            self.answer(self.feeds(batch))
        except Exception:
            return False
        return True

    def limited(self) -> Self:
        """The same with the numbers of samples that the original itself takes, tried at 1, 2 and 5: no graph of it can take more.

        Raises CaptureFailed where it fails on the samples at all.
        """
        signature, notes = self._what_it_takes()
        return replace(self, signature=signature, batch=_example_size(signature), notes=(*self.notes, *notes))

    def _what_it_takes(self) -> tuple[Signature, tuple[str, ...]]:
        self._refuse_failure()
        if not self.dynamic:
            return self.signature, ()
        wanted = [size for size in (2, 5) if size <= (self.signature.max_batch or size)]
        failing = next((size for size in wanted if not self.takes(size)), None)
        if failing is None:
            return self.signature, ()
        if failing == 2:
            return self.signature.fixed(1), ("the original itself takes one sample a call",)
        limit = next((size for size in (4, 3) if self.takes(size)), 2)
        return replace(self.signature, max_batch=limit), (f"the original itself takes at most {limit} samples a call",)

    def _refuse_failure(self) -> None:
        try:
            self.answer(self.feeds(1))
        except CaptureFailed:
            raise
        except Exception as problem:
            raise CaptureFailed(f"the original fails on 1 of the samples: {exporter_errors.reason(problem)}") from problem


def _refuse_other_shapes(answer: dict[str, Array], signature: Signature, feeds: Arrays) -> None:
    symbols = {size: found for spec in signature.inputs for size, found in zip(spec.shape, feeds[spec.name].shape, strict=True)}
    for spec in signature.outputs:
        found = answer[spec.name].shape
        wanted = [symbols.get(size, size) for size in spec.shape]
        if len(found) != len(wanted) or any(isinstance(size, int) and size != have for size, have in zip(wanted, found, strict=True)):
            raise CaptureFailed(f"the model gives {list(found)} for {spec}")


def _call(rows: Array, spec: TensorSpec, batch: int, start: int) -> Array:
    """``batch`` of the samples in ``rows`` [samples, ...], or the one number that ``spec`` takes, in the layout of the model."""
    size = spec.samples if isinstance(spec.samples, int) else batch
    return np.asarray(spec.to_call(rows[np.arange(start, start + size) % len(rows)]), order="C")


def _example_size(signature: Signature) -> int:
    """A number that is not another size in the model's inputs, so that the exporter cannot confuse the two."""
    if not signature.dynamic:
        return signature.call_size(1)
    taken = {size for spec in signature.inputs for size in spec.shape} | {size for axis in signature.sizes for size in axis.sizes}
    limit = signature.max_batch or _EXAMPLE_SIZES[-1]
    return next((size for size in _EXAMPLE_SIZES if size not in taken and size <= limit), min(limit, _EXAMPLE_SIZES[0]))
