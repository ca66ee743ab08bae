"""A linear classifier with samples, reference and candidates, made in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.verify import Reference, ReferenceRequest, establish
from roadworthy.core import registry, samples
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Graph, Plan
from roadworthy.core.types import Array, Signature, TensorSpec

FEATURES, CLASSES = 20, 5
SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", FEATURES)),), (TensorSpec("logits", "float32", ("batch", CLASSES)),))


@dataclass(frozen=True)
class Linear:
    """``labels`` are the classifier's own answers but for one in ten; feature 0 is uniform in 0..1 and has no weight."""

    path: Path
    samples: SampleSet
    reference: Reference

    def candidate(
        self, flavour: str = "", precision: str = "fp32", *, batch: int | None = None, signature: Signature = SIGNATURE
    ) -> Candidate:
        runtime, lossy = "planted" if flavour or precision != "fp32" else "null", precision != "fp32"
        plan = Plan(runtime, precision, batch=batch, flavour=flavour, lossy=lossy)  # type: ignore[arg-type]
        return Candidate(plan, self.path, signature, "npz", 1000, 0.0)

    def with_samples(self, path: Path, count: int, *, labelled: bool = True) -> Linear:
        """The first ``count`` samples, with a reference of their own."""
        labels = self.samples.labels() if labelled else None
        few = samples.write(path / "samples", self.samples.feeds(0, count), None if labels is None else labels[:count])
        return Linear(self.path, few, reference_of(self.path, few, path / "reference"))


def graph_of(path: Path, signature: Signature = SIGNATURE) -> Graph:
    return Graph("npz", path, signature, "test")


def reference_of(path: Path, given: SampleSet, out: Path, signature: Signature = SIGNATURE) -> Reference:
    return establish(ReferenceRequest(graph_of(path, signature), given, 1, out))


def make(path: Path, count: int = 1000) -> Linear:
    random = np.random.default_rng(0)
    weight = random.standard_normal((FEATURES, CLASSES)).astype(np.float32)
    weight[0] = 0
    np.savez(path / "model.npz", weight=weight, bias=random.standard_normal(CLASSES).astype(np.float32))
    x: Array = random.standard_normal((count, FEATURES)).astype(np.float32)
    x[:, 0] = (random.permutation(count) + 0.5) / count
    labels = np.argmax(x @ weight, axis=1)
    wrong = np.arange(count) % 10 == 0
    labels[wrong] = (labels[wrong] + 1) % CLASSES
    given = samples.write(path / "samples", {"x": x}, labels)
    return Linear(path / "model.npz", given, reference_of(path / "model.npz", given, path / "reference"))


@contextmanager
def installed() -> Iterator[None]:
    """The planted runtimes are installed, here and in every child, as another distribution's would be."""
    # A test may have another function in its place when this ends.
    names = registry.names
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "planted")
        names.cache_clear()
        yield
    names.cache_clear()


@pytest.fixture(scope="module")
def planted() -> Iterator[None]:
    """``installed`` for the tests of one file: the files after it ask what the project itself has."""
    with installed():
        yield


@pytest.fixture
def planted_here() -> Iterator[None]:
    """``installed`` for one test: the tests after it ask what the project itself has."""
    with installed():
        yield


@pytest.fixture(scope="module")
def linear(planted: None, tmp_path_factory: pytest.TempPathFactory) -> Linear:
    """One for the tests of a file, which do not change it."""
    return make(tmp_path_factory.mktemp("linear"))
