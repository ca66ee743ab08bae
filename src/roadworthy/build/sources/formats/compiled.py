"""A package that ``torch._inductor.aoti_compile_and_package`` wrote: shared libraries, which are not a source."""

from __future__ import annotations

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.errors import SourceError
from roadworthy.core.stages import Source

KIND = "compiled"
FRAMEWORK = "torch"
SUFFIXES = ()
WHY = "is a compiled package of native code for one kind of CPU; deploy the model it was made from"


def sniff(file: SourceFile) -> bool:
    """Files in the package's own folder."""
    return any(name.startswith("data/aotinductor/") for name in file.members)


def inspect(file: SourceFile) -> StaticFacts:
    """Nothing of it is read."""
    return StaticFacts(executes=("native code (shared libraries in data/aotinductor)",), unsupported=WHY)


def open(source: Source) -> Opened:
    """Always SourceError."""
    raise SourceError(f"{source.path} {WHY}")
