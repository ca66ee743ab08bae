"""Two or more models side by side, as data: whether they are the same function, and what each way of running them costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roadworthy.core.evidence import FirstCall, Interval, Parity, Tolerance
from roadworthy.core.host import Host
from roadworthy.core.stages import Plan, Rejected
from roadworthy.core.types import Signature

Family = Literal["original", "own", "shared"]
"""The original as it was loaded; another form in its own framework; a runtime that needs no training framework."""


@dataclass(frozen=True)
class Steady:
    """The median call of ``batch`` samples once warm, in ms, with its 95 % interval over rounds.

    ``ratio`` is the time of the original of the same side over this one's: the quotient of the two figures, ``paired`` where enough
    undisturbed rounds of both stand behind it, ``None`` where the original has no rounds at this size. ``rounds`` counts the
    undisturbed rounds of this one; ``trusted`` says that these are enough and agree.
    """

    batch: int
    ms: Interval
    ratio: Interval | None
    rounds: int
    trusted: bool
    paired: bool = True


@dataclass(frozen=True)
class Form:
    """One way to run one model, measured in a process of its own.

    ``graph`` is the captured format it was made from, ``made_s`` what lowering took, ahead of time (0 for the original).
    ``import_ms``, ``load_ms`` and ``first_calls`` are the times of a fresh process before its steady state; ``throughput`` is
    samples a second at the best of the batch sizes in ``steady``; ``memory_mb`` the peak resident size, ``error`` the
    largest difference from the original, relative to the output's scale.
    """

    family: Family
    plan: Plan
    graph: str
    error: float
    made_s: float
    size_mb: float
    import_ms: float
    load_ms: float
    first_calls: tuple[FirstCall, ...]
    steady: tuple[Steady, ...]
    throughput: float
    best_batch: int
    memory_mb: float

    def at(self, batch: int) -> Steady | None:
        """The figures of one batch size."""
        return next((one for one in self.steady if one.batch == batch), None)

    @property
    def trusted(self) -> bool:
        """Whether ``throughput`` is of enough undisturbed rounds."""
        best = self.at(self.best_batch)
        return best is not None and best.trusted


@dataclass(frozen=True)
class Side:
    """One of the models. ``score`` is the metric of the original on these samples, which reads as a percentage where it is a ``share``;
    ``failed`` is what could not be run, and why.
    """

    name: str
    file: str
    framework: str
    kind: str
    parameters: int
    signature: Signature
    metric: str
    score: Interval
    tolerance: Tolerance
    forms: tuple[Form, ...]
    failed: tuple[Rejected, ...]
    notes: tuple[str, ...]
    share: bool = True


@dataclass(frozen=True)
class LayerPair:
    """A layer of each side that match, in the order of the first side. ``how`` says by what: the name, or the order.

    ``error`` is the largest difference of their outputs relative to their scale, ``None`` where the shapes differ.
    """

    a: str
    b: str
    kind: str
    how: str
    shape_a: tuple[int, ...]
    shape_b: tuple[int, ...]
    error: float | None
    same: bool


@dataclass(frozen=True)
class Pairing:
    """The first side compared with another one, on the same samples.

    ``verdict`` is one sentence; ``parity`` is ``None`` where the outputs have different shapes. ``first`` names the
    first pair of layers that differ, empty where none does; ``explanations`` are sentences, each checked by computing.
    ``notes`` are differences that change nothing here.
    """

    a: str
    b: str
    same: bool
    verdict: str
    limit: float
    parity: Parity | None
    layers: tuple[LayerPair, ...]
    first: str
    explanations: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Everything ``roadworthy compare`` found. ``data`` says what the samples were: labelled, unlabelled or generated."""

    created: str
    roadworthy: str
    host: Host
    packages: tuple[str, ...]
    data: str
    samples: int
    sides: tuple[Side, ...]
    pairings: tuple[Pairing, ...]
    seconds: float
