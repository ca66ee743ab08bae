"""A state_dict, alone or inside a trainer's checkpoint: weights only, into the architecture that the user names."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from roadworthy.build.sources import source_file, user_code
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers import pickle_scan
from roadworthy.build.sources.parsers.torch_save import TorchSave
from roadworthy.build.sources.parsers.untrusted import listed
from roadworthy.build.sources.torch import pickled_module, weights
from roadworthy.core.errors import SourceRefused, SourceUnreadable, UsageError
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line


def read(source: Source) -> Opened:
    """The architecture of ``source.arch`` with the file's weights in it."""
    if source.arch is None:
        raise UsageError(
            f"{source.path} holds weights and not the model they belong to; name the code that builds it: --arch FILE.py:CALLABLE"
        )
    scan = source_file.read(source.path).pickle
    if scan is None:
        raise SourceUnreadable(f"{source.path} was not written by torch.save")
    unread = _unread(scan)
    try:
        held = weights_only(source.path, scan)
    except SourceRefused:
        if not source.trust:
            raise
        held, unread = pickled_module.unpickle(source), ()
    module = user_code.build(source.arch)
    notes = weights.fill(module, held, source.path, source.weights)
    tensors = len(torch.nn.Module.state_dict(module))
    proof = f"the {tensors} tensors of {source.arch} are those of the file, name by name and shape by shape"
    return Opened(module, proofs=(proof,), notes=(*notes, *unread))


def _unread(scan: TorchSave) -> tuple[str, ...]:
    """A note on what lies beside the weights and was not made."""
    if not scan.records:
        return ()
    return (f"the file also holds objects that were not made, as they are no weights: {listed(tuple(name for name, _ in scan.records))}",)


def weights_only(path: Path, scan: TorchSave) -> Any:
    """What ``torch.load`` reads without running anything: classes of data beside the weights (``scan.records``) stay inert.

    Raises SourceRefused where that is not enough, SourceUnreadable for a damaged file.
    """
    inert = [(FORMS[form], spelled) for name, form in scan.records for spelled in (name, pickle_scan.in_python_3(name))]
    try:
        with torch.serialization.safe_globals([*inert, *FORMS.values()]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:
        message = str(problem)
        if "Only persistent_load of storage" in message:
            raise SourceRefused(
                f"{path} holds a whole module beside its weights, in torch.save's format from before version 1.6; save the state_dict "
                "alone, or pass --trust if you know where the file comes from",
                detail=message,
            ) from problem
        if asked := re.findall(r"GLOBAL ([\w.]+)|Unsupported (?:global|class)[: ]+([\w.]+)", message):
            names = ", ".join(sorted({first or second for first, second in asked}))
            raise SourceRefused(
                f"{path} asks for {names} when it is read, which is not part of weights; save the state_dict alone, "
                "or pass --trust if you know where the file comes from",
                detail=message,
            ) from problem
        if said := re.search(r"WeightsUnpickler error:\s*(\S.*)", message):
            raise SourceRefused(
                f"{path} cannot be read as weights alone ({said[1]}); save the state_dict alone, or pass --trust if you know where the "
                "file comes from",
                detail=message,
            ) from problem
        raise SourceUnreadable(f"{path} is cut short or damaged ({first_line(problem)}); fetch it again", detail=message) from problem


class _Record:
    """In place of an object of any class: takes whatever a pickle gives it and keeps nothing."""

    def __new__(cls, *given: object) -> _Record:
        return object.__new__(cls)

    def __init__(self, *given: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Pairs:
    """In place of a class of dictionaries: an OrderedDict, the one kind with attributes that torch's reader fills."""

    def __new__(cls, *given: object) -> Any:
        return OrderedDict()


class _Items:
    """In place of a class of lists: a list, the one kind that torch's reader fills."""

    def __new__(cls, *given: object) -> Any:
        return []


FORMS: dict[str, type] = {"record": _Record, "pairs": _Pairs, "items": _Items}
