"""``manifest.json``: what a server must know to answer, and the hash of everything it will read."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.core.contract import Contract
from roadworthy.core.evidence import Tolerance
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature

FORMAT = 1
NAME = "manifest.json"
SIDECAR = "manifest.json.sha256"


@dataclass(frozen=True)
class File:
    """One file of the bundle: its POSIX path below the bundle's root, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Variant:
    """One packed candidate. ``path`` is its directory below the root.

    ``requires`` pins the distributions that answer it (``name==version``), ``features`` the CPU flags it was made
    for and does not run without. ``gate`` is the largest error, relative to the output's scale, that its golden
    answers may show on a host: the error it was certified with, doubled, never under the float32 tolerance.
    """

    name: str
    plan: Plan
    path: str
    requires: tuple[str, ...]
    features: tuple[str, ...]
    framework: bool
    gate: float


@dataclass(frozen=True)
class Golden:
    """Samples with the original's answers: an ``.npz`` with ``in.<name>`` and ``out.<name>``, samples first."""

    path: str
    samples: int


@dataclass(frozen=True)
class Manifest:
    """The whole of ``manifest.json``. Variants are in order of preference: the winner, then the fallback."""

    format: int
    name: str
    version: str
    created: str
    roadworthy: str
    signature: Signature
    contract: Contract
    variants: tuple[Variant, ...]
    golden: Golden
    tolerance: Tolerance
    files: tuple[File, ...]
