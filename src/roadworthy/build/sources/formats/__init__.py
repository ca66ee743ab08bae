"""Source formats: one module a format, found by its file in this folder or by an entry point of the group with this folder's name.

To add a format, add a file. ``inspect``, ``identify`` and ``load`` go through the formats and name none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeGuard, cast

from roadworthy.build.sources import holding, source_file
from roadworthy.build.sources.holding import HeldModel, HoldingFormat
from roadworthy.build.sources.model import Model, Opened
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, SourceError, SourceUnreadable
from roadworthy.core.stages import Source


class SourceFormat(Protocol):
    """``formats/<KIND>.py``. Importing the module imports no framework; only ``open`` may.

    ``FRAMEWORK`` is the framework that the model is from. ``SUFFIXES`` are how such files are usually named, for messages alone: what
    a file is follows from its content. ``sniff`` is precise: of the formats here exactly one accepts a file, so their order has no
    meaning, and a file that two of them accept is refused. ``inspect`` reads the file without running anything in it, and raises
    SourceUnreadable where it is damaged. ``open`` gives the live model in inference mode, in the child process that reads it.

    Two things are optional. ``QUANTISED = True`` says that such a file may compute in whole numbers from the start. A format of several
    files, any of which may be named by the user, defines ``locate(path) -> Path | None``: the file that is read where ``path`` names such
    a model, ``None`` where it does not.
    """

    KIND: str
    FRAMEWORK: str
    SUFFIXES: tuple[str, ...]

    def sniff(self, file: SourceFile) -> bool: ...

    def inspect(self, file: SourceFile) -> StaticFacts: ...

    def open(self, source: Source) -> Model | Opened: ...


def every() -> tuple[SourceFormat, ...]:
    """Every format whose module can be imported."""
    return tuple(cast(SourceFormat, module) for module in _importable(__name__))


def every_holding() -> tuple[HoldingFormat, ...]:
    """Every kind of archive or repository whose module can be imported."""
    return tuple(cast(HoldingFormat, module) for module in _importable(holding.__name__))


def _importable(group: str) -> Iterator[ModuleType]:
    for name in registry.names(group):
        try:
            yield registry.backend(group, name)
        except BackendMissing:
            # One package with a broken format must not keep the files of all others from being read.
            continue


def named(kind: str) -> SourceFormat:
    """The format of that KIND; UsageError where there is none, BackendMissing where its module cannot be imported."""
    return cast(SourceFormat, registry.backend(__name__, kind))


def recognise(path: Path) -> tuple[SourceFormat | HoldingFormat, SourceFile]:
    """The format of what is at ``path``, and the file to read.

    Raises SourceUnreadable, saying what is there instead, where no format or more than one accepts it.
    """
    known = every()
    everything: tuple[SourceFormat | HoldingFormat, ...] = (*known, *every_holding())
    file = source_file.read(_located(path, everything))
    found = [format for format in everything if format.sniff(file)]
    if not found:
        raise SourceUnreadable(f"{file.path} {_instead(file, known)}")
    if len(found) > 1:
        kinds = " and ".join(format.KIND for format in found)
        raise SourceUnreadable(f"{file.path} is a file of several kinds ({kinds}), so its meaning depends on the reader; save it again")
    return found[0], file


def recognise_inside(held: HeldModel) -> tuple[SourceFormat, SourceFile]:
    """``recognise`` for the file that an archive or a repository holds; SourceError where that holds another one itself."""
    format, file = recognise(held.path)
    if holds(format):
        raise SourceError(f"{held.called} is an archive or a repository itself; deploy what that one holds")
    return cast(SourceFormat, format), file


def holds(format: SourceFormat | HoldingFormat) -> TypeGuard[HoldingFormat]:
    """Whether a file of the format holds one of another."""
    return hasattr(format, "unpack")


def _located(path: Path, known: tuple[SourceFormat | HoldingFormat, ...]) -> Path:
    for format in known:
        locate = getattr(format, "locate", None)
        if locate is not None and (found := locate(path)) is not None:
            return cast(Path, found)
    return path


def _instead(file: SourceFile, known: tuple[SourceFormat, ...]) -> str:
    """What a file is that no format accepts: the predicate of a sentence."""
    if file.path.is_dir():
        return "is a directory and not a model file"
    if file.head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer and not the model itself; run: git lfs pull"
    if file.head.lstrip()[:9].lower() in (b"<!doctype", b"<html>"):
        return "is a web page and not a model; the download went wrong"
    if file.is_text:
        return "is a text file and not a model"
    if file.head.startswith(source_file.ZIP):
        return "is a zip archive that holds no model of a known format" if file.members else "is an empty zip archive"
    suffixes = sorted({suffix for format in known for suffix in format.SUFFIXES})
    return f"is not a model file of a known format; known are {', '.join(suffixes)} and SavedModel directories"
