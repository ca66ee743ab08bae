"""The evidence of a search for a smaller model: what was cut, how it was taught, what that gave, and why it stayed or left."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.core.evidence import Interval, Score

NAME = "compression.json"
"""The file beside a smaller model that ``roadworthy compress`` wrote: a ``CompressionProof``."""


@dataclass(frozen=True)
class CutLayer:
    """A layer whose channels were cut, by its name in the model: how many there were, and how many are left."""

    layer: str
    before: int
    after: int


@dataclass(frozen=True)
class Lessons:
    """How a model was taught: on how many ``samples`` (repeated ones counted again) in ``seconds``, with which learning ``rate``.

    ``start`` and ``best`` are the part of the validation samples that it answered rightly before and at its best, ``ended`` says why the
    teaching ended.
    """

    samples: int
    seconds: float
    rate: float
    start: float
    best: float
    ended: str


@dataclass(frozen=True)
class CompressionStep:
    """One smaller model. ``name`` is what the plans made from it have in their names (``pruned50``).

    ``speedup`` is the latency of ``beside``, the fastest plan of the uncompressed model, over that of ``plan``, the fastest one of this
    model, timed beside each other. ``score`` is on the validation samples, which took no part in the teaching; it is ``None`` where the
    plan gave no answers. ``kept`` says that the model went on to the search among all candidates, and ``reason`` why, or why not.
    """

    name: str
    layers: tuple[CutLayer, ...]
    parameters: int
    multiplications: int
    plan: str
    ms: float
    beside: str
    speedup: Interval
    lessons: Lessons
    score: Score | None
    kept: bool
    reason: str


@dataclass(frozen=True)
class CompressionProof:
    """A search for a smaller model of the original with ``parameters`` and ``multiplications`` (of one sample).

    ``ways`` are those that were asked for, ``data`` is the training data as the user named it, with how many samples of it taught and how
    many validated; ``labelled`` says that labels took part. ``seconds`` is the time that teaching could take. ``left`` are layers that
    cannot be cut, with the reason. ``outcome`` says in one sentence what came of it.
    """

    ways: tuple[str, ...]
    data: str
    training: int
    validation: int
    labelled: bool
    seconds: float
    parameters: int
    multiplications: int
    steps: tuple[CompressionStep, ...]
    left: tuple[tuple[str, str], ...]
    outcome: str

    @property
    def kept(self) -> tuple[CompressionStep, ...]:
        """The steps whose models went on."""
        return tuple(step for step in self.steps if step.kept)
