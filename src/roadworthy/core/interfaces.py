"""What a backend's module must define. A backend is one file in its package, found by its name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Arrays, Signature

SERVER = "server"
"""The target of the runtimes that serve; what is made for any other target is exported and never served."""


class Session(Protocol):
    """A candidate loaded by its runtime. One call at a time; feeds are C-contiguous and fit the signature.

    One whose model runs in another program, to which each call has a way that users do not have, also has
    ``time_calls(feeds, calls) -> tuple[int, ...]``: the nanoseconds of each of so many calls, on the clock of that program.
    """

    def run(self, feeds: Arrays) -> Arrays: ...

    def close(self) -> None: ...


class Runtime(Protocol):
    """``runtimes/<name>.py``: executes what its namesake in ``build/lower`` made, or a graph as it was captured.

    Importing the module imports its packages: an ImportError is how a missing extra shows.

    ``load`` gets the candidate's directory, or a graph's own file when its format is among ``RUNS``: a capture is
    checked that way, and the original runs that way as the reference. ``signature`` is already fixed to
    ``plan.batch``. A precision that it cannot honour exactly raises UsageError, never another precision.
    ``PACKAGES`` lists the distributions a server needs to answer, nothing more; ``FRAMEWORK`` says that one of
    them is a training framework, which the user must allow at serve time. ``NATIVE`` says that its artefacts are
    machine code for the very CPU that made them, which run on no lesser one.
    Two more have defaults. ``OPTIONS`` lists the words that ``plan.options`` may hold: none if it is not defined.
    A module in ``runtimes/exported/`` is for the target of its name. ``ON_TARGET`` says that its sessions run there during the build
    too, as those for a server always do; where only the machine can tell, it is False, the session has an attribute ``on_target``, and
    ``lacking() -> str`` says in words what the machine lacks for that, or "".
    All others are literals: ``registry.facts`` reads them without importing the module.
    """

    RUNS: tuple[str, ...]
    PACKAGES: tuple[str, ...]
    FRAMEWORK: bool
    NATIVE: bool

    def load(self, path: Path, signature: Signature, plan: Plan) -> Session: ...


class Lowering(Protocol):
    """``build/lower/<name>.py``, or ``build/export/<name>.py``: turns a graph into files for its runtime.

    Importing it and ``plans`` are cheap.

    ``ACCEPTS`` lists graph formats, best first. ``plans`` gives every plan that makes sense on ``host``, simplest
    first. ``lower`` writes into the existing empty directory ``out``, and raises when it cannot. A module that has
    plans which some hosts cannot carry out also defines ``unavailable(host) -> Mapping[str, str]``: for each such
    precision the reason in words; its plans then leave that precision out. One whose artefacts take tens of seconds each, as a compiler
    does, defines ``SECONDS``, about how many on two cores: cheaper ones go first. ``REPAIRS`` are words of a flavour that is worth a
    try only where the same plan without them failed. One with ways to run a graph that are of interest in a comparison only also
    defines ``forms(graph, host) -> Iterable[Plan]``. One whose ``lower`` imports for seconds what its runtime does not, or less,
    defines ``imports(graph, plan) -> str``: the module that does, or "".
    """

    ACCEPTS: tuple[str, ...]

    def plans(self, graph: Graph, host: Host) -> Iterable[Plan]: ...

    def lower(self, graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None: ...
