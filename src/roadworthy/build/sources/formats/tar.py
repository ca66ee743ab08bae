"""The tar archive that ``torch.save`` wrote in 2016, which is not read."""

from __future__ import annotations

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.errors import SourceError
from roadworthy.core.stages import Source

KIND = "tar"
FRAMEWORK = "torch"
SUFFIXES = ()
WHY = "was written by a torch.save of 2016; read it with PyTorch and save its state_dict again"


def sniff(file: SourceFile) -> bool:
    """The mark of POSIX's tar format."""
    return file.head[257:262] == b"ustar"


def inspect(file: SourceFile) -> StaticFacts:
    """Nothing of it is read."""
    return StaticFacts(unsupported=WHY)


def open(source: Source) -> Opened:
    """Always SourceError."""
    raise SourceError(f"{source.path} {WHY}")
