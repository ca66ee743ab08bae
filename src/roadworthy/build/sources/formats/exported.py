"""An ExportedProgram, as ``torch.export.save`` writes it: reading one can run code."""

from __future__ import annotations

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers import exported_program
from roadworthy.build.sources.parsers.untrusted import listed
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import Refusal, StaticFacts
from roadworthy.core.stages import Source

KIND = "exported"
FRAMEWORK = "torch"
SUFFIXES = (".pt2",)


def sniff(file: SourceFile) -> bool:
    """A model as JSON; beside compiled code (``formats/unread.py``) the archive is a package of that."""
    compiled = any(name.startswith("data/aotinductor/") for name in file.members)
    return "archive_format" in file.members and any(name.startswith("models/") for name in file.members) and not compiled


def inspect(file: SourceFile) -> StaticFacts:
    """Its weights, signature and operators, by its JSON."""
    with Archive(file.path) as archive:
        executes = exported_program.executes(archive)
        tensors, methods = exported_program.tensors(archive), exported_program.methods(archive)
        signature = exported_program.signature(archive, methods[0]) if len(methods) == 1 else None
    asked = listed(executes) or "its format is read by unpickling"
    refusal = Refusal(f"is an ExportedProgram, and reading one can run code ({asked})")
    return StaticFacts(tensors, signature, executes, signatures=methods if len(methods) > 1 else (), refusal=refusal)


def open(source: Source) -> Opened:
    """The program and its module."""
    from roadworthy.build.sources.torch import exported_program

    return exported_program.read(source)
