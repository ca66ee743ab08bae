"""``evidence.json`` of an export: what was compared with the original's answers, where, and with which result.

An export that its target answered has it from the build host. For any other the target itself writes ``evidence-target.json``, in the same
form, by the export's ``verify.py``.
"""

from __future__ import annotations

import hashlib
import math
import re
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from roadworthy.bundle.certificate import ON_TARGET
from roadworthy.core import codec
from roadworthy.core.errors import BundleError
from roadworthy.core.host import Host
from roadworthy.core.stages import Plan

FORMAT: Final = 1
NAME: Final = "evidence.json"
FROM_TARGET: Final = "evidence-target.json"
README: Final = "README.md"
BUILT: Final = "built"
"""The folder of an export that holds what is built from it on the target (an engine, a compiled model)."""
LARGEST: Final = 2**20
"""Bytes that such a file may have; real ones have about two thousand."""
LONGEST: Final = 300
"""Characters of a text in it."""


@dataclass(frozen=True)
class Tool:
    """A program or package that took part, by its version."""

    name: str
    version: str


@dataclass(frozen=True)
class ComparedSamples:
    """How many samples were compared: ``golden`` ones, and ``evaluated`` ones of the deployment or of the user's data.

    ``generated`` says that all of them were made up: they prove nothing about real ones.
    """

    golden: int
    evaluated: int
    generated: bool


@dataclass(frozen=True, kw_only=True)
class ExportEvidence:
    """The whole of ``evidence.json``.

    ``golden`` is the SHA-256 of ``golden.npz`` and ``files`` that of the export's own files (see ``files_sum``): it is about these.
    ``host`` is the machine that answered, and ``device`` what it answered with where that is not its CPU ("NVIDIA A10G", "Chromium 156");
    empty otherwise. ``max_rel`` is the largest error relative to its output's scale and ``max_abs`` the largest in output units; ``None``
    where an answer was infinitely far. It ``passed`` where ``max_rel`` is at most ``gate``. ``ms`` is the median time of one call of
    ``plan.batch`` samples, of one where any number fits; ``None`` where it was not timed. ``created`` is ISO 8601, UTC.
    """

    format: int = FORMAT
    target: str
    model: str
    version: str
    golden: str
    plan: Plan
    files: str
    verification: Literal["verified on the target", "not verified on the target"]
    host: Host
    device: str = ""
    tools: tuple[Tool, ...]
    samples: ComparedSamples
    max_rel: float | None
    max_abs: float | None
    gate: float
    passed: bool
    ms: float | None = None
    created: str

    @property
    def on_target(self) -> bool:
        """Whether the target itself answered."""
        return self.verification == ON_TARGET


def read(path: Path) -> ExportEvidence:
    """The evidence in the file ``path``; BundleError, naming the file, where it is none or contradicts itself."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise BundleError(f"{path} is not a regular file: give the file that verify.py wrote")
        if found.st_size > LARGEST:
            raise BundleError(f"{path} has {found.st_size} bytes, far more than evidence of an export: give the file that verify.py wrote")
        data = path.read_bytes()
    except OSError as problem:
        raise BundleError(f"{path} cannot be read: {problem.strerror}") from problem
    if (version := codec.from_json(_FormatOfEvidence, data, error=BundleError, what=str(path)).format) != FORMAT:
        raise BundleError(f"{path} has evidence of format {version}; this Roadworthy reads format {FORMAT}: use the version that made it")
    evidence = codec.from_json(ExportEvidence, data, error=BundleError, what=str(path))
    if wrong := fault(evidence):
        raise BundleError(f"{path}: {wrong}")
    return evidence


def write(path: Path, evidence: ExportEvidence) -> None:
    """Write ``evidence``; BundleError where it would not be read back as it is."""
    if wrong := fault(evidence):
        raise BundleError(f"{path} is not written: {wrong}")
    path.write_bytes(codec.to_json(evidence, indent=2))


def fault(evidence: ExportEvidence) -> str:
    """In words, how ``evidence`` contradicts itself or the format; empty where it does not."""
    figures = {"max_rel": evidence.max_rel, "max_abs": evidence.max_abs, "gate": evidence.gate, "ms": evidence.ms}
    if wrong := next((name for name, value in figures.items() if value is not None and not 0 <= value < math.inf), None):
        return f"its {wrong} is {figures[wrong]}, which is not a size"
    if wrong := next(
        (name for name, value in (("golden", evidence.golden), ("files", evidence.files)) if not _SHA256.fullmatch(value)), None
    ):
        return f"its `{wrong}` is not a SHA-256 in hexadecimal"
    if not _TARGET.fullmatch(evidence.target):
        return f"{evidence.target!r} is not the name of a target"
    if evidence.samples.golden < 0 or evidence.samples.evaluated < 0:
        return "it counts fewer samples than none"
    if wrong := next((text for text in _texts(evidence) if len(text) > LONGEST or not text.isprintable()), None):
        return f"it holds the text {wrong[:40]!r}, which is too long or cannot be printed"
    if not _is_time(evidence.created):
        return f"it was created at {evidence.created!r}, which is not a time"
    within = evidence.max_rel is not None and evidence.max_rel <= evidence.gate
    if evidence.passed != within:
        return f"it says passed: {str(evidence.passed).lower()}, and its largest error is {evidence.max_rel} with a gate of {evidence.gate}"
    return ""


def files_sum(folder: Path) -> str:
    """The SHA-256 over the names and contents of the export's own files in ``folder``, in the order of their names.

    Left out is what is not the export itself: both files of evidence and ``README.md`` beside them, what was built on the target
    (``built/``), and compiled Python. Of each file this is hashed: its name below ``folder`` in UTF-8 with ``/``, a zero byte, and its
    content's SHA-256. Raises BundleError for anything but files and folders.
    """
    whole = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleError(f"{path} is neither a file nor a folder; an export holds nothing else")
        if path.is_file() and _own(PurePosixPath(name)):
            with open(path, "rb") as file:
                whole.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _texts(evidence: ExportEvidence) -> tuple[str, ...]:
    """Every text that a report or a terminal shows."""
    host = evidence.host
    tools = (text for tool in evidence.tools for text in (tool.name, tool.version))
    shown = (host.cpu, host.architecture, host.system, host.python, *host.features, evidence.device, *tools)
    return (evidence.model, evidence.version, evidence.plan.runtime, evidence.plan.flavour, evidence.created, *shown)


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def made_by_use(name: PurePosixPath) -> bool:
    """Whether a file of an export, named below its folder, is made by using it: what is built on the target, and compiled Python."""
    return name.parts[0] == BUILT or "__pycache__" in name.parts


def _own(name: PurePosixPath) -> bool:
    return str(name) not in (NAME, FROM_TARGET, README) and not made_by_use(name)


@dataclass(frozen=True)
class _FormatOfEvidence:
    """The one field that every format of the evidence will have."""

    format: int


_SHA256 = re.compile(r"[0-9a-f]{64}")
_TARGET = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
