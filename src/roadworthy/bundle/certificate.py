"""``certificate.json``: all the evidence of one deployment, the rejected included, on the host that gave it."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.core.evidence import Score, Tolerance
from roadworthy.core.host import Host
from roadworthy.core.stages import Measured, Rejected
from roadworthy.core.types import Signature

NAME = "certificate.json"


@dataclass(frozen=True)
class Package:
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
    """The data behind the evidence. ``kind`` says what it was: labelled, unlabelled, or generated noise."""

    kind: str
    evaluated: int
    calibrated: int
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Route:
    """One capture route: ``outcome`` is "used", "kept in reserve" or the reason in words why it failed."""

    format: str
    route: str
    outcome: str
    ok: bool


@dataclass(frozen=True)
class Goal:
    """What the user asked for. ``metric`` is what the budget is stated on."""

    objective: str
    metric: str
    max_drop: float


@dataclass(frozen=True)
class Choice:
    """The winner's plan name, the fallback's, and why in a few sentences, each a fact from the figures."""

    winner: str
    fallback: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    """The whole of ``certificate.json``. ``baseline`` is the original itself in the race.

    ``unavailable`` names what this host could not try (a missing CPU feature or package), each with its reason.
    """

    name: str
    created: str
    roadworthy: str
    host: Host
    packages: tuple[Package, ...]
    origin: Origin
    signature: Signature
    samples: Samples
    goal: Goal
    tolerance: Tolerance
    original: Score | None
    routes: tuple[Route, ...]
    baseline: Measured
    measured: tuple[Measured, ...]
    rejected: tuple[Rejected, ...]
    unavailable: tuple[str, ...]
    choice: Choice
    seconds: float
