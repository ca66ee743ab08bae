"""``certificate.json``: all the evidence of one deployment, rejected candidates included, and the host that it was measured on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from roadworthy.bundle.compression import CompressionProof
from roadworthy.bundle.course import Course
from roadworthy.bundle.peak import ModelWork
from roadworthy.bundle.pixels import PreprocessingProof
from roadworthy.bundle.shares import ShareProof
from roadworthy.core.evidence import Interval, Note, Score, Timing, Tolerance
from roadworthy.core.host import Host
from roadworthy.core.stages import Measured, Plan, Rejected, Verified
from roadworthy.core.types import Signature

NAME = "certificate.json"


@dataclass(frozen=True)
class InstalledPackage:
    """An installed distribution that took part."""

    name: str
    version: str


@dataclass(frozen=True)
class Origin:
    """The source as it was found, and what loading proved: each proof is one sentence."""

    file: str
    kind: str
    framework: str
    sha256: str
    size: int
    parameters: int
    proofs: tuple[str, ...]


@dataclass(frozen=True)
class Samples:
    """The data behind the evidence. ``kind`` is ``labelled``, ``unlabelled`` or ``generated``.

    Of the ``evaluated`` samples ``kept`` took no part in choosing: the figures of what was chosen are of these. 0 where there were too few,
    and in certificates that were written before any were kept.
    """

    kind: str
    evaluated: int
    calibrated: int
    classes: tuple[str, ...]
    kept: int = 0

    @property
    def words(self) -> str:
        """``samples``, or ``generated samples``, which prove nothing about real ones."""
        return "generated samples" if self.kind == "generated" else "samples"


@dataclass(frozen=True)
class TriedRoute:
    """One capture route: ``outcome`` is "used", "kept in reserve" or the reason for which it failed."""

    format: str
    route: str
    outcome: str
    ok: bool


@dataclass(frozen=True)
class Goal:
    """What the user asked for. ``metric`` is what the budget is stated on, ``max_drop`` by how much a candidate may be worse than the
    original, in the metric's units, and ``budget`` the same as it was stated ("1 %" of the original's score, or "0.01").
    """

    objective: str
    metric: str
    max_drop: float
    budget: str = ""


@dataclass(frozen=True)
class FrameworkForm:
    """The fastest form of the original's own framework in the race: an original that is called step by step is not its fastest form.

    ``plan`` is its name and ``speedup`` its latency of one sample over the winner's with a 95 % interval: the
    quotient of the two figures, ``paired`` where enough undisturbed rounds of both stand behind it.
    """

    plan: str
    speedup: Interval
    paired: bool


@dataclass(frozen=True)
class Choice:
    """The winner's plan name, the fallback's, and why in a few sentences, each a fact from the figures.

    ``framework`` is ``None`` where the framework has no faster form than the original as it is called, or where the winner is one.
    """

    winner: str
    fallback: str | None
    reasons: tuple[str, ...]
    framework: FrameworkForm | None = None


@dataclass(frozen=True)
class Undecided:
    """A candidate that may be faster than the winner: what was seen of it is within the budget, and ``samples`` were too few to prove it.

    ``needed`` is about how many samples to evaluate on would. ``ms`` is what a sample took at first sight, ``winner_ms`` the same of the
    winner; neither is a figure of the race.
    """

    plan: str
    metric: str
    ms: float
    winner_ms: float
    samples: int
    needed: int

    def __str__(self) -> str:
        return (
            f"{self.plan} may be faster: at first sight a sample took {self.ms:.3g} ms, and {self.winner_ms:.3g} ms with the winner. Its "
            f"{self.metric} was within the budget, but {self.samples:,} samples are too few to prove it; about {self.needed:,} like these "
            "to evaluate on would be enough: give more --data"
        )


@dataclass(frozen=True)
class StepTime:
    """One child process of a deployment by the name of its work, and its seconds of wall time from start to end.

    ``reused`` says when its result was made (ISO 8601), where an earlier deployment made it: then no process ran. It is empty otherwise.
    """

    name: str
    seconds: float
    reused: str = ""


@dataclass(frozen=True)
class StageTime:
    """One stage of a deployment, and its seconds of wall time. ``steps`` are its child processes; several may have run at once."""

    name: str
    seconds: float
    steps: tuple[StepTime, ...] = ()


ON_TARGET: Final = "verified on the target"
NOT_ON_TARGET: Final = "not verified on the target"


@dataclass(frozen=True)
class TargetProof:
    """What the target itself showed, by the evidence that was brought back from it: ``golden`` samples, answered on ``host``.

    ``device`` is what answered there where that is not the host's CPU; empty otherwise. ``max_rel`` is the largest error relative to the
    output's scale, ``max_abs`` in output units, ``ms`` the median time of one call, ``None`` where it was not timed, ``created`` when
    (ISO 8601). It is a claim of the person who brought it.
    """

    host: Host
    device: str
    golden: int
    max_rel: float
    max_abs: float | None
    ms: float | None
    created: str

    @property
    def words(self) -> str:
        """All of it in one clause."""
        where = f"{self.device}, {self.host.cpu}" if self.device else self.host.cpu
        timed = f", {self.ms:.3g} ms a call" if self.ms is not None else ""
        return f"on {where}, {self.golden} golden samples were at most {self.max_rel:.2g} of the output's scale away{timed}"


@dataclass(frozen=True)
class CertifiedExport:
    """A candidate for another ``target`` than the server, which is never served. It is made after the bundle, and becomes part of it.

    One candidate of each target is chosen: it is packed in the bundle's folder ``path`` for ``reasons``. Both are empty for the others.
    ``verified`` is what was found when it was made, and ``timing`` the times on that host, beside the bundle's winner; ``None`` where it
    did not run on its target. ``verification`` says whether it did, there or, by its ``proof``, where the target is.
    """

    target: str
    path: str
    verification: Literal["verified on the target", "not verified on the target"]
    verified: Verified
    timing: Timing | None = None
    reasons: tuple[str, ...] = ()
    proof: TargetProof | None = None


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The whole of ``certificate.json``. ``baseline`` is the original itself in the race.

    ``claim`` is what was proven of the winner, in one sentence; certificates of older versions have none.
    ``preprocessing`` describes the steps from an image, a text or a sound to a sample, in order; it is empty where the model takes
    tensors as they are.
    ``preprocessing_proof`` says where they were read from, and what was proven of them; it is empty in certificates of older versions.
    ``notes`` holds what was noticed about the original, its data and its graphs, warnings first. Certificates of older versions have
    neither. ``unavailable`` names what this host could not try (a missing CPU feature or package), each with its reason.
    ``exports`` are the candidates for other targets, timed apart from ``measured``, which are all for a server. ``course`` is how the race
    of ``measured`` went; certificates of older versions have none.
    ``stages`` say where the ``seconds`` went, to which they add up. A bundle is sealed before its last stage, ``pack``, ends: its own
    certificate counts up to there, and the one that ``deploy`` returns has that stage too. Certificates of older versions have none.
    ``shares`` hold what was proven of the packed variants on parts of the host's cores, and ``work`` how much a
    sample is to compute, beside the host's peak. Certificates of older versions have neither.
    ``compression`` is the search for a smaller model, where one was asked for.
    ``undecided`` is the fastest of those that were rejected for want of samples alone, if it may be faster than the winner.
    """

    name: str
    created: str
    roadworthy: str
    claim: str = ""
    notes: tuple[Note, ...] = ()
    host: Host
    packages: tuple[InstalledPackage, ...]
    origin: Origin
    signature: Signature
    preprocessing: tuple[str, ...] = ()
    samples: Samples
    goal: Goal
    tolerance: Tolerance
    original: Score | None
    routes: tuple[TriedRoute, ...]
    baseline: Measured
    measured: tuple[Measured, ...]
    rejected: tuple[Rejected, ...]
    unavailable: tuple[str, ...]
    choice: Choice
    seconds: float
    exports: tuple[CertifiedExport, ...] = ()
    undecided: Undecided | None = None
    course: Course | None = None
    stages: tuple[StageTime, ...] = ()
    shares: tuple[ShareProof, ...] = ()
    work: ModelWork | None = None
    preprocessing_proof: PreprocessingProof = PreprocessingProof()  # noqa: RUF009 (it is frozen)
    compression: CompressionProof | None = None

    def timed(self, stages: tuple[StageTime, ...]) -> Certificate:
        """The same with the time that was spent in ``stages``."""
        return replace(self, stages=stages, seconds=sum(stage.seconds for stage in stages))


def by_reason(rejected: Iterable[Rejected]) -> tuple[tuple[Rejected, ...], ...]:
    """The rejected in groups of the same stage, reason and score, in their order."""
    groups: dict[tuple[object, ...], list[Rejected]] = {}
    for one in rejected:
        groups.setdefault((one.stage, one.reason, one.score), []).append(one)
    return tuple(map(tuple, groups.values()))


def plan_names(plans: Iterable[Plan]) -> str:
    """The plans' names in one line; of plans that share an artefact only the first in full, as in "a-int8-t1, -t2, b-int8-t1"."""
    words: list[str] = []
    before = ""
    for plan in plans:
        words.append(plan.name.removeprefix(plan.artefact) if plan.artefact == before else plan.name)
        before = plan.artefact
    return ", ".join(words)
