"""Calls of a model at chosen sizes of its axes, on samples of one size that are cut or continued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import sampling
from roadworthy.core.errors import SourceError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, TensorSpec


@dataclass(frozen=True)
class SizedCalls:
    """``model`` called with ``samples``; ``base`` is the size that each symbol of ``specs`` but the batch has in them."""

    model: Model
    specs: tuple[TensorSpec, ...]
    samples: SampleSet | None
    base: Mapping[str, int] = field(default_factory=dict)

    def feeds(self, count: int, sizes: Mapping[str, int] | None = None, seed: int = 0) -> dict[str, Array]:
        """``count`` samples, other ones for another ``seed``; axes in ``sizes`` at those sizes, all others as in the samples."""
        closed = tuple(spec.at(self.base) for spec in self.specs)
        drawn = sampling.draw(closed, count, self.samples, seed=seed)
        return {spec.name: np.asarray(spec.resized(drawn[spec.name], sizes or {}), order="C") for spec in self.specs}

    def answer(self, count: int, sizes: Mapping[str, int] | None = None) -> dict[str, Array]:
        """The model's answer; SourceError, in words, where it has none."""
        return sampling.answer(self.model, self.feeds(count, sizes))

    def takes(self, count: int, sizes: Mapping[str, int] | None = None) -> bool:
        """Whether the model answers at all."""
        try:
            self.answer(count, sizes)
        except SourceError:
            return False
        return True
