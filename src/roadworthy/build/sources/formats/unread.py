"""Files of PyTorch that are told by what they are and never read: compiled packages of ``torch._inductor``, and the tar archive of 2016."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.errors import SourceError
from roadworthy.core.stages import Source

KIND = "unread"
FRAMEWORK = "torch"
SUFFIXES = ()


@dataclass(frozen=True)
class UnreadFile:
    """``why`` is the predicate of a sentence; ``executes`` is what the file would run."""

    why: str
    executes: tuple[str, ...] = ()


COMPILED = UnreadFile(
    "is a compiled package of native code for one kind of CPU; deploy the model it was made from",
    ("native code (shared libraries in data/aotinductor)",),
)
TAR = UnreadFile("was written by a torch.save of 2016; read it with PyTorch and save its state_dict again")


def sniff(file: SourceFile) -> bool:
    """The package's own folder in a zip archive, or the mark of POSIX's tar format."""
    return _what(file) is not None


def inspect(file: SourceFile) -> StaticFacts:
    """Nothing of it is read."""
    found = _what(file)
    assert found is not None
    return StaticFacts(executes=found.executes, unsupported=found.why)


def open(source: Source) -> Opened:
    """Always SourceError."""
    raise SourceError(f"{source.path} is not read")


def _what(file: SourceFile) -> UnreadFile | None:
    if any(name.startswith("data/aotinductor/") for name in file.members):
        return COMPILED
    return TAR if file.head[257:262] == b"ustar" else None
