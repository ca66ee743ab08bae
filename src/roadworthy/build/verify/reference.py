"""The original's own answers, and how far float32 itself is from the truth for it: what every candidate is held against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.build.verify import feeding, parity
from roadworthy.build.verify.feeding import Piece
from roadworthy.core import registry
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Tolerance
from roadworthy.core.interfaces import Session
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Array, Arrays
from roadworthy.runtimes import open_session

BATCH = 32
NOISE, NOISE_SEED = 1e-7, 7
NOISE_SAMPLES, DOUBLE_SAMPLES = 1000, 64

MULTIPLE, EPSILONS, CEILING = 32, 16, 0.05
"""The gate is ``MULTIPLE`` times the larger of the two distances, plus ``EPSILONS`` float32 epsilons, never above ``CEILING``.

Measured on an AVX2 CPU against the original framework, errors relative to the output's scale (a CIFAR ResNet-20, a small CNN on
digits, an inverted-residual net, a plain 3x3 net, a small transformer; two other inference runtimes, channels_last): a
correct float32 conversion was 1.1e-7 to 6.7e-7 away, never more than 2.6 times the larger distance. Winograd convolutions,
which other CPUs get, lose about one decimal digit more. The nearest silent fault, weights rounded to float16, was 2.1e-4 to
8.7e-4 away, and bfloat16 3e-3 to 9e-3. These figures leave about twenty times room on either side.
Above ``CEILING`` "the same function" would say nothing.
"""


@dataclass(frozen=True)
class ReferenceRequest:
    """``graph`` is the original in a format that a runtime takes as it is; ``out`` a directory of its own."""

    graph: Graph
    samples: SampleSet
    threads: int
    out: Path


@dataclass(frozen=True)
class Reference:
    """The original's outputs in ``path``, one ``out.<index>.npy`` for each name, samples first.

    ``scales`` holds each output's largest finite magnitude, ``batch`` the samples in one call of the run.
    """

    path: Path
    outputs: tuple[str, ...]
    scales: tuple[float, ...]
    samples: int
    batch: int
    tolerance: Tolerance

    def open(self) -> dict[str, Array]:
        """Every output, mapped read-only."""
        files = (self.path / f"out.{index}.npy" for index in range(len(self.outputs)))
        return {name: np.load(file, mmap_mode="r", allow_pickle=False) for name, file in zip(self.outputs, files, strict=True)}

    def scale(self) -> dict[str, float]:
        """Each output's scale by name."""
        return dict(zip(self.outputs, self.scales, strict=True))


def establish(request: ReferenceRequest) -> Reference:
    """A step: run the original in float32 over all samples, and draw the tolerance from it.

    Raises DataError where there are no samples, or where the original's answers are not numbers.
    """
    graph, samples = request.graph, request.samples
    if samples.count == 0:
        raise DataError("there are no samples to verify with")
    request.out.mkdir(parents=True, exist_ok=True)
    plan = Plan(registry.runtime_for(graph.format), graph.precision, threads=request.threads)
    with open_session(graph.path, graph.signature, plan) as session:
        names = _record(feeding.answers(session, graph.signature, samples, BATCH), samples.count, request.out)
        draft = Reference(
            request.out, names, (1.0,) * len(names), samples.count, graph.signature.call_size(BATCH), Tolerance(None, 0.0, 0.0)
        )
        outputs = draft.open()
        scales = {name: parity.scale_of(array) for name, array in outputs.items()}
        for name, array in outputs.items():
            if array.dtype.kind == "f" and not any(np.isfinite(array[start : start + 256]).any() for start in range(0, len(array), 256)):
                raise DataError(
                    f"the original itself gives no finite number in {name!r} on these samples: check the preprocessing and weights"
                )
        noisy = _Noisy(session, samples)
        noise = parity.compare(feeding.answers(noisy, graph.signature, samples, BATCH, NOISE_SAMPLES), outputs, scales).worst
    double = _double(request, plan, outputs, scales)
    limit = MULTIPLE * max(noise, double or 0.0) + EPSILONS * float(np.finfo(np.float32).eps)
    tolerance = Tolerance(double, noise, min(limit, CEILING))
    return Reference(request.out, names, tuple(scales.values()), samples.count, draft.batch, tolerance)


def _record(pieces: Iterator[Piece], count: int, out: Path) -> tuple[str, ...]:
    files: dict[str, Array] = {}
    for piece in pieces:
        for index, (name, array) in enumerate(piece.outputs.items()):
            if name not in files:
                shape = (count, *array.shape[1:])
                files[name] = np.lib.format.open_memmap(out / f"out.{index}.npy", "w+", dtype=array.dtype, shape=shape)
            files[name][piece.start : piece.stop] = array
    for file in files.values():
        getattr(file, "flush", lambda: None)()
    return tuple(files)


class _Noisy:
    """A session whose continuous inputs shake by ``NOISE`` of their own largest magnitude, the same way each time."""

    def __init__(self, session: Session, samples: SampleSet) -> None:
        self._session = session
        self._random = np.random.default_rng(NOISE_SEED)
        self._reach = {name: NOISE * parity.scale_of(array) for name, array in samples.open().items() if array.dtype.kind == "f"}

    def run(self, feeds: Arrays) -> Arrays:
        return self._session.run({name: self._shaken(name, array) for name, array in feeds.items()})

    def close(self) -> None:
        pass

    def _shaken(self, name: str, array: Array) -> Array:
        if name not in self._reach:
            return array
        return (array + self._reach[name] * self._random.standard_normal(array.shape)).astype(array.dtype)


def _double(request: ReferenceRequest, plan: Plan, outputs: dict[str, Array], scales: dict[str, float]) -> float | None:
    """The distance from the same model in float64; ``None`` where it does not run so."""
    graph = request.graph
    try:
        with open_session(graph.path, graph.signature, Plan(plan.runtime, "fp64", plan.threads)) as session:
            pieces = feeding.answers(session, graph.signature, request.samples, BATCH, DOUBLE_SAMPLES)
            return parity.compare(pieces, outputs, scales).worst
    except Exception:  # a framework refuses an operator in float64 in whatever way it likes
        return None
