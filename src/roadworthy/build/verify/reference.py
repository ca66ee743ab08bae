"""The original's own answers, with which every candidate is compared, and how far float32 itself is from the truth for this model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.build.verify import feeding, parity
from roadworthy.build.verify.feeding import Piece
from roadworthy.core import numerics, registry
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Tolerance
from roadworthy.core.interfaces import Session
from roadworthy.core.isolation import reported
from roadworthy.core.numerics import ROWS
from roadworthy.core.samples import SampleSet, file_of, read_array, write, write_array
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BYTES, Array, Arrays, Signature
from roadworthy.runtimes import FrontSession, open_session

BATCH = 32
NOISE, NOISE_SEED = 1e-7, 7
NOISE_SAMPLES, DOUBLE_SAMPLES = 1000, 64
SIZED_SAMPLES = 3
"""The samples that are answered at other sizes of the symbolic axes."""

MULTIPLE, EPSILONS, CEILING = 32, 16, 0.05
"""The limit is ``MULTIPLE`` times the larger of the two distances, plus ``EPSILONS`` float32 epsilons, never above ``CEILING``.

Measured on an AVX2 CPU against the original framework, errors relative to the output's scale (a CIFAR ResNet-20, a small CNN on
digits, an inverted-residual net, a plain 3x3 net, a small transformer; two other inference runtimes, channels_last): a
correct float32 conversion was 1.1e-7 to 6.7e-7 away, never more than 2.6 times the larger distance. Winograd convolutions,
which other CPUs use, lose about one decimal digit more. The smallest silent fault, weights rounded to float16, was 2.1e-4 to
8.7e-4 away, and bfloat16 3e-3 to 9e-3. The limit is about twenty times larger than the former and smaller than the latter.
Above ``CEILING`` "the same function" would mean nothing.

Where neither distance can be measured (the inputs are whole numbers or byte strings, and the original does not run in float64), one
rounding of the coarsest output type takes its place. The smallest change of a quantised output is one step, and rounding alone may
move a value to the next step: the limit is never below ``STEP`` steps, as the step itself is rounded too.
"""
STEP = 1.001
VALUES = "values"
"""The folder in a reference's folder for the values that quantised outputs stand for."""


@dataclass(frozen=True)
class ReferenceRequest:
    """``graph`` is the original in a format that a runtime takes as it is; ``out`` is an empty or new directory.

    ``remedy`` is what to do about samples that the original has no answer to.
    """

    graph: Graph
    samples: SampleSet
    threads: int
    out: Path
    remedy: str = "check the preprocessing and the weights"


@dataclass(frozen=True)
class SizedReference:
    """The original's answers, in ``path``, to a few of the samples with the symbolic axes at other sizes, given here by symbol."""

    sizes: dict[str, int]
    samples: SampleSet
    path: Path

    def __str__(self) -> str:
        return ", ".join(f"{symbol} = {size}" for symbol, size in self.sizes.items())


@dataclass(frozen=True)
class Reference:
    """The original's outputs in ``path``, one array for each name, samples first; for a quantised one also the values that it represents.

    ``scales`` holds each output's largest finite magnitude, ``batch`` the samples in one call of the run. ``quantized`` says that
    the original computes in whole numbers. ``classes`` is how many different top classes its answers have, counted to two, and 0
    where no output has a class axis. ``sized`` are the answers at other sizes of the symbolic axes.
    """

    path: Path
    outputs: tuple[str, ...]
    scales: tuple[float, ...]
    samples: int
    batch: int
    tolerance: Tolerance
    quantized: bool = False
    classes: int = 0
    sized: tuple[SizedReference, ...] = ()

    def open(self) -> dict[str, Array]:
        """Every output as the original gave it, memory-mapped read-only; byte strings are read into memory."""
        return {name: read_array(self.path, name) for name in self.outputs}

    def values(self, sized: SizedReference | None = None) -> dict[str, Array]:
        """The same with quantised outputs as the values they stand for, at other sizes if asked: candidates are compared with these."""
        path = self.path if sized is None else sized.path
        values = path / VALUES
        return {name: read_array(values if (values / file_of(name)).is_file() else path, name) for name in self.outputs}

    def scale(self) -> dict[str, float]:
        """Each output's scale by name."""
        return dict(zip(self.outputs, self.scales, strict=True))


@dataclass(frozen=True)
class RepeatRequest:
    """Whether the original of ``asked`` still gives the ``earlier`` answers."""

    asked: ReferenceRequest
    earlier: Reference


@dataclass(frozen=True)
class Repeated:
    """Whether the answers are the same, to the last bit."""

    same: bool


def establish(request: ReferenceRequest) -> Reference:
    """A step: run the original in its own precision over all samples, and compute the tolerance from it.

    Raises DataError where there are no samples, or where the original's answers are not numbers.
    """
    graph, samples = request.graph, request.samples
    if samples.count == 0:
        raise DataError("there are no samples to verify with")
    request.out.mkdir(parents=True, exist_ok=True)
    plan = Plan(registry.runtime_for(graph.format), graph.precision, threads=request.threads)
    with open_session(graph.path, graph.signature, plan) as session:
        names = record(feeding.answers(session, graph.signature, samples, BATCH), graph.signature, samples.count, request.out)
        no_tolerance = Tolerance(None, 0.0, 0.0)
        draft = Reference(request.out, names, (1.0,) * len(names), samples.count, graph.signature.call_size(BATCH), no_tolerance)
        outputs = draft.values()
        scales = {name: numerics.scale_of(array) for name, array in outputs.items()}
        for name, array in outputs.items():
            if array.dtype.kind == "f" and not any(np.isfinite(array[start : start + ROWS]).any() for start in range(0, len(array), ROWS)):
                raise DataError(f"the original itself gives no finite number in {name!r} on these samples: {request.remedy}")
        classes = parity.top_classes(outputs)
        noisy = _Noisy(session, samples) if session.front is None else _NoisyBehind(session.front, graph.signature)
        pieces = feeding.answers(noisy, graph.signature, samples, BATCH, NOISE_SAMPLES)
        noise = parity.compare(feeding.valued(pieces, graph.signature), outputs, scales).worst
        sized = tuple(_sized(session, request, number) for number in range(len(graph.signature.size_cases())))
    double = _double(request, plan, outputs, scales)
    tolerance = Tolerance(double, noise, _limit(graph.signature, noise, double, outputs, scales))
    return Reference(request.out, names, tuple(scales.values()), samples.count, draft.batch, tolerance, graph.quantized, classes, sized)


def repeat(request: RepeatRequest) -> Repeated:
    """A step: run the original again over one call of the samples, and compare its answers with the ``earlier`` ones bit by bit."""
    asked, earlier = request.asked, request.earlier
    plan = Plan(registry.runtime_for(asked.graph.format), asked.graph.precision, threads=asked.threads)
    outputs = earlier.open()
    with open_session(asked.graph.path, asked.graph.signature, plan) as session:
        piece = next(feeding.answers(session, asked.graph.signature, asked.samples, BATCH))
    same = piece.outputs.keys() == outputs.keys() and all(
        np.array_equal(array, outputs[name][piece.start : piece.stop], equal_nan=array.dtype.kind == "f")
        for name, array in piece.outputs.items()
    )
    return Repeated(same)


def _sized(session: Session, request: ReferenceRequest, number: int) -> SizedReference:
    """The answers to the first samples in the sizes of case ``number``: each is cut, or continued from its beginning."""
    signature, out = request.graph.signature, request.out / f"sizes-{number}"
    case = signature.size_cases()[number]
    rows = request.samples.feeds(0, SIZED_SAMPLES)
    resized = {spec.name: spec.resized(rows[spec.name], case, rows=True) for spec in signature.inputs}
    out.mkdir()
    given = write(out / "samples", resized)
    record(feeding.answers(session, signature, given, BATCH), signature, given.count, out)
    return SizedReference(case, given, out)


def _limit(signature: Signature, noise: float, double: float | None, outputs: dict[str, Array], scales: dict[str, float]) -> float:
    rounding = max([float(np.finfo(np.float32).eps), *map(_grain, outputs.values())])
    distance = max(noise, double or 0.0) or (rounding if double is None else 0.0)
    steps = [STEP * spec.quantization.scale / scales[spec.name] for spec in signature.outputs if spec.quantization]
    return min(max(MULTIPLE * distance + EPSILONS * rounding, *steps, 0.0), CEILING)


def record(pieces: Iterator[Piece], signature: Signature, count: int, out: Path) -> tuple[str, ...]:
    """Write the outputs to ``out``, and the values of quantised ones, byte strings last; the names in the signature's order."""
    (out / VALUES).mkdir(exist_ok=True)
    files: dict[Path, Array] = {}
    names: dict[str, None] = {}
    for piece in pieces:
        values = feeding.values(piece.outputs, signature)
        for name, array in piece.outputs.items():
            names[name] = None
            _put(files, out / file_of(name), array, piece, count)
            if values[name] is not array:
                _put(files, out / VALUES / file_of(name), values[name], piece, count)
        reported.done(piece.stop, count, "samples")
    for file in files.values():
        getattr(file, "flush", lambda: None)()
    for name in names:
        if (strings := files[out / file_of(name)]).dtype == np.dtype(BYTES):
            write_array(out, name, strings)
    order = {spec.name: index for index, spec in enumerate(signature.outputs)}
    return tuple(sorted(names, key=lambda name: order.get(name, len(order))))


def _put(files: dict[Path, Array], path: Path, array: Array, piece: Piece, count: int) -> None:
    if path not in files:
        shape = (count, *array.shape[1:])
        strings = array.dtype == np.dtype(BYTES)
        files[path] = np.empty(shape, BYTES) if strings else np.lib.format.open_memmap(path, "w+", dtype=array.dtype, shape=shape)
    files[path][piece.start : piece.stop] = array


class _Noisy:
    """A session that moves floats by noise: ``NOISE`` of their own largest magnitude, within their range, the same in every run."""

    def __init__(self, session: Session, samples: SampleSet) -> None:
        self._session = session
        self._random = np.random.default_rng(NOISE_SEED)
        floats = {name: array for name, array in samples.open().items() if array.dtype.kind == "f"}
        self._amplitudes = {name: max(NOISE, _grain(array)) * numerics.scale_of(array) for name, array in floats.items()}
        self._bounds = {name: numerics.bounds_of(array) for name, array in floats.items()}

    def run(self, feeds: Arrays) -> Arrays:
        return self._session.run({name: self._with_noise(name, array) for name, array in feeds.items()})

    def close(self) -> None:
        pass

    def _with_noise(self, name: str, array: Array) -> Array:
        if name not in self._amplitudes:
            return array
        return np.asarray(numerics.nudged(array, self._amplitudes[name], self._random, self._bounds[name]))


class _NoisyBehind:
    """The same for a model behind steps that give it floats: those are moved, as no pixel can be moved by so little."""

    def __init__(self, session: FrontSession, signature: Signature) -> None:
        self._session, self._random = session, np.random.default_rng(NOISE_SEED)
        channels = signature.inputs[0].shape[-1]
        self._bounds = session.front.bounds(channels if isinstance(channels, int) else 1)
        self._amplitude = NOISE * max(map(abs, self._bounds))

    def run(self, feeds: Arrays) -> Arrays:
        return self._session.answer({name: self._moved(self._session.front.samples(pixels)) for name, pixels in feeds.items()})

    def close(self) -> None:
        pass

    def _moved(self, values: Array) -> Array:
        if values.dtype.kind != "f":
            return values
        return np.asarray(numerics.nudged(values, self._amplitude, self._random, self._bounds))


def _grain(array: Array) -> float:
    """The resolution of a float type coarser than float32: smaller noise would be rounded away."""
    return float(np.finfo(array.dtype).eps) if array.dtype == np.float16 else 0.0


def _double(request: ReferenceRequest, plan: Plan, outputs: dict[str, Array], scales: dict[str, float]) -> float | None:
    """The distance from the same model in float64; ``None`` where it does not run in float64."""
    graph = request.graph
    try:
        with open_session(graph.path, graph.signature, Plan(plan.runtime, "fp64", plan.threads)) as session:
            pieces = feeding.answers(session, graph.signature, request.samples, BATCH, DOUBLE_SAMPLES)
            return parity.compare(feeding.valued(pieces, graph.signature), outputs, scales).worst
    except Exception:  # each framework has its own error for an operator that it does not have in float64
        return None
