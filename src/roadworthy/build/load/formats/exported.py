"""An ExportedProgram, as ``torch.export.save`` writes it: reading one can run code."""

from __future__ import annotations

from roadworthy.build.load import programs
from roadworthy.build.load.archive import Archive
from roadworthy.build.load.facts import Refusal, StaticFacts
from roadworthy.build.load.opened import Opened
from roadworthy.build.load.source_file import SourceFile
from roadworthy.build.load.untrusted import listed
from roadworthy.core.stages import Source

KIND = "exported"
FRAMEWORK = "torch"
SUFFIXES = (".pt2",)


def sniff(file: SourceFile) -> bool:
    """A model as JSON; beside compiled code (``formats/compiled.py``) the archive is a package of that."""
    compiled = any(name.startswith("data/aotinductor/") for name in file.members)
    return "archive_format" in file.members and any(name.startswith("models/") for name in file.members) and not compiled


def inspect(file: SourceFile) -> StaticFacts:
    """Its weights, signature and operators, by its JSON."""
    with Archive(file.path) as archive:
        executes = programs.executes(archive)
        tensors, signature = programs.tensors(archive), programs.signature(archive)
    asked = listed(executes) or "its format is read by unpickling"
    return StaticFacts(tensors, signature, executes, refusal=Refusal(f"is an ExportedProgram, and reading one can run code ({asked})"))


def open(source: Source) -> Opened:
    """The program and its module."""
    from roadworthy.build.load import exported

    return exported.read(source)
