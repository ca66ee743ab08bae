"""From an untrusted file to a Source: what kind it is, and whether it may be read at all."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.load import arch as architectures
from roadworthy.build.load.inspect import Inspection, inspect
from roadworthy.core.errors import SourceError, SourceRefused, UsageError
from roadworthy.core.stages import Source

NAMED = 4
WEIGHTS = ("checkpoint", "safetensors")


def identify(path: Path, *, arch: str | None = None, trust: bool = False, signature: str = "", outputs: tuple[str, ...] = ()) -> Source:
    """The source at ``path``, for ``load`` to read; nothing in it is run and no framework is imported.

    Raises SourceUnreadable (missing, empty, damaged, no model), SourceError (a kind that is not supported),
    SourceRefused (reading it could run code, and ``trust`` is not given) and UsageError (weights without ``arch``,
    or an ``arch`` that is not of the form ``FILE.py:CALLABLE``).
    """
    if arch is not None:
        architectures.parse(arch)
    seen = inspect(path)
    if seen.unsupported:
        raise SourceError(f"{path} {seen.unsupported}")
    if not trust:
        _refuse_code(seen)
    if seen.kind in WEIGHTS and arch is None:
        raise UsageError(f"{path} holds weights and not the model they belong to; name the code that builds it: --arch FILE.py:CALLABLE")
    if seen.kind in ("jit", "exported", "npz") and arch is not None:
        raise UsageError(f"{path} brings its own architecture; leave --arch {arch} out")
    return Source(path.absolute(), seen.kind, seen.framework, seen.sha256, seen.size, arch, trust, signature, outputs)


def _refuse_code(seen: Inspection) -> None:
    asked = ", ".join(seen.executes[:NAMED]) + (f" and {len(seen.executes) - NAMED} more" if len(seen.executes) > NAMED else "")
    if seen.kind == "jit":
        raise SourceRefused(f"{seen.path} is {asked}, which runs when the model does; pass --trust if you know where it comes from")
    if seen.kind == "exported":
        raise SourceRefused(
            f"{seen.path} is an ExportedProgram, and reading one can run code ({asked or 'its format is read by unpickling'}); "
            "pass --trust if you know where it comes from"
        )
    if seen.kind == "pickled":
        raise SourceRefused(
            f"{seen.path} is a pickle that asks for code when it is read: {asked or 'an object of unknown make'}; "
            "save the model's state_dict instead, or pass --trust if you know where the file comes from"
        )
    if seen.executes:
        raise SourceRefused(
            f"{seen.path} asks for code beside its weights when it is read: {asked}; "
            "save the state_dict alone, or pass --trust if you know where the file comes from"
        )
