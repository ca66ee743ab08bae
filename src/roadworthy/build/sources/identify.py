"""From an untrusted file to a Source: what kind it is, and whether it may be read at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roadworthy.build.sources import user_code as architectures
from roadworthy.build.sources.inspect import Inspection, inspect
from roadworthy.core.errors import SourceError, SourceRefused, UsageError
from roadworthy.core.stages import Source

NAMED = 4
WEIGHTS = ("checkpoint", "safetensors", "keras_weights")
COMPLETE = ("jit", "exported", "npz", "saved_model", "graphdef", "tf1", "tflite", "onnx")
"""Kinds that bring their own architecture and ask for no class of the user's."""
SIGNED = ("saved_model",)
OPEN_ENDED = ("graphdef", "tf1")


@dataclass(frozen=True)
class IdentifyRequest:
    """The arguments of ``identify``."""

    path: Path
    arch: str | None = None
    trust: bool = False
    signature: str = ""
    outputs: tuple[str, ...] = ()


def identify_step(request: IdentifyRequest) -> Source:
    """``identify`` as a step for ``isolate.call``: a file that brings a parser down costs a child process."""
    return identify(request.path, arch=request.arch, trust=request.trust, signature=request.signature, outputs=request.outputs)


def identify(path: Path, *, arch: str | None = None, trust: bool = False, signature: str = "", outputs: tuple[str, ...] = ()) -> Source:
    """The source at ``path``, for ``load`` to read; nothing in it is run and no framework is imported.

    Raises SourceUnreadable (missing, empty, damaged, no model), SourceError (a kind that is not supported),
    SourceRefused (reading it could run code, and ``trust`` is not given) and UsageError (weights or custom classes without
    ``arch``, an ``arch`` that is not of the form ``FILE.py:CALLABLE``, a ``signature`` that the file does not have, and any of
    these for a kind of file that they say nothing about).
    """
    if arch is not None:
        architectures.parse(arch)
    seen = inspect(path)
    if seen.unsupported:
        raise SourceError(f"{path} {seen.unsupported}")
    if not trust:
        _refuse_code(seen)
    _check_arch(seen, arch)
    _check_ends(seen, signature, outputs)
    return Source(
        seen.path.absolute(), seen.kind, seen.framework, seen.sha256, seen.size, arch, trust, signature, outputs, files=seen.files
    )


def layout(source: Source) -> Literal["CHW", "HWC"]:
    """Where images have their channels by the custom of the source's framework."""
    return "HWC" if source.framework == "tensorflow" else "CHW"


def _check_arch(seen: Inspection, arch: str | None) -> None:
    if seen.kind in WEIGHTS and arch is None:
        raise UsageError(
            f"{seen.path} holds weights and not the model they belong to; name the code that builds it: --arch FILE.py:CALLABLE"
        )
    if seen.kind in COMPLETE and arch is not None:
        raise UsageError(f"{seen.path} brings its own architecture; leave --arch {arch} out")
    # A file of Keras 3 says which classes are not its own; of an older one its reader knows better.
    if seen.kind == "keras" and seen.needs and arch is None:
        raise UsageError(
            f"{seen.path} was made with classes that are not Keras's own ({_listed(seen.needs)}); "
            "name the code that defines them: --arch FILE.py:CALLABLE"
        )


def _check_ends(seen: Inspection, signature: str, outputs: tuple[str, ...]) -> None:
    if signature and seen.kind not in SIGNED:
        raise UsageError(f"{seen.path} has no signatures to choose from; leave --signature {signature} out")
    if signature and signature not in seen.signatures:
        raise UsageError(f"{seen.path} has no signature {signature!r}; it has {', '.join(map(repr, seen.signatures)) or 'none'}")
    if outputs and seen.kind not in OPEN_ENDED:
        raise UsageError(f"{seen.path} says itself what it answers with; leave --outputs {','.join(outputs)} out")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _refuse_code(seen: Inspection) -> None:
    asked = _listed(seen.executes)
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
    if seen.framework == "tensorflow" and seen.executes:
        raise SourceRefused(
            f"{seen.path} does more than compute when it is loaded or called: {asked}; "
            f"{_remedy(seen.kind)}, or pass --trust if you know where it comes from"
        )
    if seen.executes:
        raise SourceRefused(
            f"{seen.path} asks for code beside its weights when it is read: {asked}; "
            "save the state_dict alone, or pass --trust if you know where the file comes from"
        )


def _remedy(kind: str) -> str:
    if kind in ("keras", "hdf5"):
        return "replace these layers by ones that Keras brings or by classes of your own (--arch)"
    return "save the model without these operators"
