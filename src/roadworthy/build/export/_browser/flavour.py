"""What one flavour of the browser target is: a JavaScript runtime, the files that it loads and how they are made of a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature


@dataclass(frozen=True)
class NpmPackage:
    """A package of the npm registry, pinned: ``integrity`` is that of its archive, "sha512-" and base64, as npm states it.

    ``files`` are the paths inside the package that a page needs, each with its name in the folder ``runtime`` of the export.
    ``licence`` is the path of its licence inside the package, or the name of a text in ``licences`` where the package has none.
    """

    name: str
    version: str
    integrity: str
    files: Mapping[str, str]
    licence: str


@dataclass(frozen=True)
class Flavour:
    """``name`` is the plan's flavour, ``accepts`` the graph formats that ``write`` reads, best first.

    ``write(graph, plan, folder)`` writes the model's files into the existing empty ``folder``, gives the names of its inputs and outputs
    there where they are others than the signature's, and raises StepFailed naming what the runtime lacks. ``adapter`` is the module in
    ``adapters`` that opens the files in a page: see ``adapters/README.md``. ``threads`` says whether it can use several. ``batch`` is the
    number of samples a call that its files are for, None for any. ``imports`` is what an import map must map, by bare name, to a file of
    ``runtime``. ``limits`` are sentences for the README. ``unfit`` says in words why a signature cannot be given to the runtime; empty
    where it can.
    """

    name: str
    accepts: tuple[str, ...]
    packages: tuple[NpmPackage, ...]
    adapter: str
    write: Callable[[Graph, Plan, Path], Mapping[str, str]]
    unfit: Callable[[Signature], str]
    threads: bool = True
    batch: int | None = None
    limits: tuple[str, ...] = ()
    imports: Mapping[str, str] = field(default_factory=dict)
