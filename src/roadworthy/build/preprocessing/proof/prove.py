"""A step: training's own transform and the deployment's steps on the same images of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.preprocessing.proof import shown, toml, transform
from roadworthy.build.preprocessing.proof.explain import Explanation, explain
from roadworthy.build.preprocessing.proof.levels import Gap, gap, unit_of
from roadworthy.build.preprocessing.proof.prepared import Compared, fitted, layout_note, prepare, size_of
from roadworthy.build.preprocessing.proof.stages import first_that_differs
from roadworthy.build.preprocessing.proof.transform import TrainingTransform
from roadworthy.bundle.pixels import TransformProof
from roadworthy.core import samples as sample_sets
from roadworthy.core.errors import DataError
from roadworthy.core.isolation import callables, reported
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array
from roadworthy.preprocess import steps as contract_steps
from roadworthy.preprocess.pictures import Pictures
from roadworthy.preprocess.pixels import SampleShape
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Normalize, Resize, Step

EXPLAINED = 4
"""Images on which the step that differs is looked for."""
KEPT_BYTES = 2**28
"""The most that the samples of either take that are kept for the original."""


@dataclass(frozen=True)
class ProofRequest:
    """``transform`` is the name of the user's callable, ``steps`` are those of the deployment. Where the two differ, samples of either are
    written below ``out`` for the original, under the name of its ``input``.
    """

    transform: str
    steps: tuple[Step, ...]
    pictures: Pictures
    input: str
    out: Path


@dataclass(frozen=True)
class Proven:
    """``proof``, and the same first images as samples of either, ``None`` where both are the same or where the original takes only one."""

    proof: TransformProof
    ours: SampleSet | None = None
    theirs: SampleSet | None = None


@dataclass(frozen=True)
class NearestRequest:
    """A transform that no form reads; ``layout`` is where the model has the channels."""

    transform: str
    pictures: Pictures
    layout: Layout


@dataclass(frozen=True)
class Nearest:
    """The steps that come nearest, as the text of a TOML file, and what is between them and the transform, in words."""

    toml: str
    left: str


def prove_step(request: ProofRequest) -> Proven:
    """Both on every image.

    Raises UsageError where the transform raises, DataError where it cannot be loaded, is random, or gives no image.
    """
    steps, pictures = request.steps, request.pictures
    first = steps[0]
    training = transform.load(request.transform, pictures, grey=isinstance(first, Decode) and first.color == "L")
    name, shape = callables.shown(request.transform), contract_steps.sample_shape(steps)
    raw = training.run(pictures, 0)
    beside = _beside(raw, prepare(pictures, 0, steps), shape)
    unit, total, worst, largest = unit_of(steps), Gap(), 0, (-1.0, -1.0)
    kept = _Kept(request.out, request.input)
    for index in range(len(pictures.files)):
        given = training.run(pictures, index)
        ours, theirs = prepare(pictures, index, steps), fitted(given, shape)
        if ours.shape != theirs.shape:
            both = f"training's transform gives {given.dtype} {list(given.shape)}, the preprocessing {list(ours.shape)}"
            said = f"on {pictures.names[index]} {both}"
            return Proven(_explained(_of_other_shape(name, training, pictures, said), request, training, [index]))
        one = gap(ours, theirs, unit)
        total = total.plus(one)
        if (one.largest, one.mean) > largest:
            worst, largest = index, (one.largest, one.mean)
        kept.add(ours, theirs)
        reported.done(index + 1, len(pictures.files), "images")
    proof = TransformProof(
        name, training.takes, total.images, total.verdict, total.share, total.largest, total.mean, total.ulp, beside=beside
    )
    if total.equal:
        return Proven(proof)
    ours, theirs = prepare(pictures, worst, steps), fitted(training.run(pictures, worst), shape)
    seen = shown.worst_image(pictures, worst, ours, theirs, unit, channels_first=shape.channels_first)
    others = [index for index in range(total.images) if index != worst][: EXPLAINED - 1]
    return Proven(_explained(replace(proof, worst=seen), request, training, [worst, *others]), *kept.written())


def nearest_step(request: NearestRequest) -> Nearest:
    """The steps that come nearest to a transform that no form reads, found by running it. Raises what ``prove_step`` does."""
    pictures = request.pictures
    training = transform.load(request.transform, pictures, grey=False)
    raw = training.run(pictures, 0)
    first = request.layout == "CHW"
    channels = raw.shape[0] if first and raw.shape[0] in (1, 3) else raw.shape[2]
    if channels not in (1, 3):
        raise DataError(f"the training transform {callables.shown(request.transform)} gives {list(raw.shape)}: neither 1 channel nor 3")
    shape = SampleShape("float32", None, None, channels, first)
    to = size_of(fitted(raw, shape), shape)
    start: tuple[Step, ...] = (Decode("L" if channels == 1 else "RGB"), Resize(to))
    if first:
        start = (*start, ChannelsFirst())
    if raw.dtype != np.uint8:
        start = (*start, Normalize(axis=0 if first else 2))
    count = min(EXPLAINED, len(pictures.files))
    theirs = tuple(fitted(training.run(pictures, index), shape) for index in range(count))
    found = explain(start, Compared(pictures, theirs, unit_of(start)), range(count), to)
    return Nearest(toml.of_steps(found.steps), found.left.words if found.left else "of another shape")


def _beside(raw: Array, ours: Array, shape: SampleShape) -> tuple[str, ...]:
    """How training's samples differ in type and layout from the deployment's."""
    said = [layout_note(raw, shape)]
    if raw.dtype != ours.dtype:
        said.append(f"training's transform gives {raw.dtype}, the preprocessing {ours.dtype}")
    return tuple(filter(None, said))


def _of_other_shape(name: str, training: TrainingTransform, pictures: Pictures, said: str) -> TransformProof:
    images = len(pictures.files)
    return TransformProof(name, training.takes, images, "different", 0.0, 0.0, 0.0, 0.0, comparable=False, beside=(said,))


def _explained(proof: TransformProof, request: ProofRequest, training: TrainingTransform, places: list[int]) -> TransformProof:
    """``proof`` with the steps that differ; the first of ``places`` is the worst image."""
    shape = contract_steps.sample_shape(request.steps)
    pictures = Pictures(tuple(request.pictures.files[place] for place in places), tuple(request.pictures.names[place] for place in places))
    theirs = tuple(fitted(training.run(pictures, index), shape) for index in range(len(places)))
    compared = Compared(pictures, theirs, unit_of(request.steps))
    found = explain(request.steps, compared, range(len(places)), size_of(theirs[0], shape))
    stage = first_that_differs(training, request.steps, pictures)
    differs = tuple(filter(None, (stage, *(change.words for change in found.changes))))
    return replace(
        proof, differs=differs, remedy="; ".join(_remedies(found)), after=found.left.words if found.changes and found.left else ""
    )


def _remedies(found: Explanation) -> Iterator[str]:
    for change in found.changes:
        yield change.remedy or "no step of the preprocessing does that"


def _as(dtype: np.dtype[Any], values: Array) -> Array:
    """``values`` in the type that the model takes; to whole numbers they are rounded."""
    if dtype.kind == "f" or values.dtype.kind != "f":
        return values.astype(dtype)
    return np.rint(values).clip(np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


class _Kept:
    """The first samples of both, as far as they fit, for the original."""

    def __init__(self, out: Path, input: str) -> None:
        self._out, self._input = out, input
        self._ours: list[Array] = []
        self._theirs: list[Array] = []

    def add(self, ours: Array, theirs: Array) -> None:
        """Keep one sample of either."""
        if (len(self._ours) + 1) * ours.nbytes <= KEPT_BYTES:
            self._ours.append(ours)
            self._theirs.append(_as(ours.dtype, theirs))

    def written(self) -> tuple[SampleSet | None, SampleSet | None]:
        """Both as sample sets; none where the samples have several shapes."""
        if len({sample.shape for sample in self._ours}) != 1:
            return None, None
        ours, theirs = (
            sample_sets.write(self._out / name, {self._input: np.stack(kept)})
            for name, kept in (("ours", self._ours), ("theirs", self._theirs))
        )
        return ours, theirs
