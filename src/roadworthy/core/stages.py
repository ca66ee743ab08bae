"""What a model is at each stage of a deployment: source, graph, candidate, verified, measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from roadworthy.core.evidence import FirstLook, Parity, Score, Timing
from roadworthy.core.types import Signature, TensorSpec

Precision = Literal["fp32", "bf16", "fp16", "int8", "fp64"]
"""``fp64`` is for the reference alone: the original in double precision, to learn how far float32 is from the truth."""
BITS: dict[Precision, int] = {"fp64": 64, "fp32": 32, "bf16": 16, "fp16": 16, "int8": 8}
"""Bits of one number in each precision."""
PINNED = "pinned"
"""The option of every runtime that binds the threads of a session to cores: for a process that has the whole machine."""


@dataclass(frozen=True)
class FileSum:
    """A file and the SHA-256 of its content, in hexadecimal."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class InnerLayer:
    """A layer by which a model itself changes pixels before its first trained layer, by its ``name`` and in ``words``.

    It gives ``x * scale + offset``, with one number for each channel or one for all; both are empty where the values are not known.
    ``size`` is (height, width) of a layer that resizes or crops, empty for others. ``stated`` is False where it is a guess.
    """

    name: str
    words: str
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    size: tuple[int, ...] = ()
    stated: bool = True


@dataclass(frozen=True)
class Source:
    """What the user handed in, after static inspection. ``kind`` names the loader that reads it.

    ``arch`` is ``FILE.py:CALLABLE`` or ``package.module:callable`` with optional keyword arguments. ``signature`` names one
    of several that the file offers, ``outputs`` the tensors to answer with where the file does not say, and ``inputs`` are the
    inputs in the user's words, for a file that does not say where it is fed; all may be empty. ``files`` are all that is read of it.
    ``weights`` names one of several sets of weights in the file. ``takes`` are its inputs, ``inner`` what it does to pixels itself,
    ``models`` the names of the model and of those in it, and ``labels`` those of its classes in the order of its outputs, where the file
    itself states them. ``holder`` is the archive or the repository that the user named, where ``path`` is a file that this holds, and
    ``notes`` are sentences on what is stated there.
    A source knows how to be loaded again, in any process.
    """

    path: Path
    kind: str
    framework: str
    sha256: str
    size: int
    arch: str | None = None
    trust: bool = False
    signature: str = ""
    outputs: tuple[str, ...] = ()
    inputs: tuple[TensorSpec, ...] = ()
    files: tuple[FileSum, ...] = ()
    weights: str = ""
    takes: tuple[TensorSpec, ...] = ()
    inner: tuple[InnerLayer, ...] = ()
    models: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    holder: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def named(self) -> Path:
        """What the user named."""
        return self.holder or self.path

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes of its inputs, where the file states them."""
        return tuple(spec.dtype for spec in self.takes)


@dataclass(frozen=True)
class Graph:
    """The captured model as files at ``path``; ``route`` is the way that gave it, ``notes`` what the exporter reported.

    ``precision`` is what the file itself computes in: a model that came quantised is ``int8`` from the start.
    A graph that is not the original function says so: ``derived_from`` names the graph or model that it was made from, and
    ``compression`` what was done to it, in letters fit for a file name (``pruned50``). Both are empty for the original function.
    ``unfolded`` says that the steps in front of the model are not in the graph: ``path`` is a folder of ``preprocess.front``.
    """

    format: str
    path: Path
    signature: Signature
    route: str
    notes: tuple[str, ...] = ()
    precision: Precision = "fp32"
    derived_from: str = ""
    compression: str = ""
    unfolded: bool = False

    @property
    def quantized(self) -> bool:
        """Whether it computes in whole numbers: kernels round these in different ways."""
        return self.precision == "int8"

    @property
    def size(self) -> int:
        """Bytes on disk."""
        files = self.path.rglob("*") if self.path.is_dir() else (self.path,)
        return sum(file.stat().st_size for file in files if file.is_file())


@dataclass(frozen=True)
class Plan:
    """One way to deploy, as pure data; every choice a runtime would otherwise make in silence is in it.

    ``batch`` is a fixed number of samples a call, ``None`` for a dynamic one. ``flavour`` is the
    runtime's own word for a variation of the files that the other fields cannot say; ``options`` are its words for how the same files
    are run (``pinned``). ``compression`` is that of the graph it starts from; ``unfolded`` says that the steps in front of the model are
    carried out before each call, and not in the graph.
    ``lossy`` says that the function is meant to differ from the original's: the plan computes in another precision than the
    graph it starts from, or that graph is not the original function. int8 is not lossy for a model that came in int8.
    """

    runtime: str
    precision: Precision = "fp32"
    threads: int = 1
    batch: int | None = None
    spin: bool = False
    flavour: str = ""
    compression: str = ""
    lossy: bool = False
    options: tuple[str, ...] = ()
    unfolded: bool = False

    @property
    def name(self) -> str:
        """A short name, unique among the plans of one deployment, fit for a file name."""
        return "-".join((self.artefact, f"t{self.threads}", *(("spin",) if self.spin else ()), *self.options))

    @property
    def artefact(self) -> str:
        """The name of the files this plan loads: plans that differ in threads, spinning or ``options`` alone share them."""
        unfolded = "unfolded" if self.unfolded else ""
        parts = (self.runtime, self.precision, self.compression, self.flavour, unfolded, f"b{self.batch}" if self.batch else "")
        return "-".join(part for part in parts if part)

    @property
    def bits(self) -> int:
        """Bits of one number in its precision."""
        return BITS[self.precision]

    def served(self, threads: int, *, alone: bool) -> Plan:
        """The same plan as a server runs it on ``threads`` threads.

        No thread spins: it would take the core from the event loop and from the other workers. Threads are bound to cores only where
        the worker is ``alone``: the runtimes of two workers would choose the same cores.
        """
        options = self.options if alone else tuple(option for option in self.options if option != PINNED)
        return replace(self, threads=threads, spin=False, options=options)

    def made_from(self, graph: Graph) -> Plan:
        """The same plan for a candidate that is made from ``graph``: with its compression and steps, and ``lossy`` where that is so."""
        lossy = self.precision != graph.precision or bool(graph.derived_from)
        return replace(self, compression=graph.compression, lossy=lossy, unfolded=graph.unfolded)


@dataclass(frozen=True)
class Candidate:
    """A plan carried out: the directory that its runtime loads. ``graph`` is the format that it was made from."""

    plan: Plan
    path: Path
    signature: Signature
    graph: str
    size: int
    seconds: float


@dataclass(frozen=True)
class Rejected:
    """A plan that failed: the stage where it stopped, the reason in one line, and ``detail`` for a developer.

    Nothing is wrong with a plan that was left out: it was too slow at its first look, or the time budget ended before it.
    ``look`` is that first look, where there was one.
    """

    plan: Plan
    stage: Literal["lower", "verify", "measure", "first look", "time budget", "not needed"]
    reason: str
    detail: str = ""
    parity: Parity | None = None
    score: Score | None = None
    look: FirstLook | None = None

    @property
    def left_out(self) -> bool:
        """Whether it was left out, and not found to be wrong."""
        return self.stage in ("first look", "time budget", "not needed")


@dataclass(frozen=True)
class Verified:
    """A candidate that gives the original's answers or, where it is lossy, stays within the budget that the user set.

    ``choosing`` is the score by which it was chosen, where ``score`` is of other samples. ``alike`` names the plan of the same files whose
    answers, and so whose score, it has on the samples on which the two were compared; it is empty where all samples were answered under
    this plan. ``look`` is the first look at it, where there was one.
    """

    candidate: Candidate
    parity: Parity
    score: Score | None
    choosing: Score | None = None
    alike: str = ""
    look: FirstLook | None = None


@dataclass(frozen=True)
class Measured:
    """A verified candidate with its figures from the race."""

    verified: Verified
    timing: Timing
