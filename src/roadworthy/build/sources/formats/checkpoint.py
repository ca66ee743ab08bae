"""A state_dict, alone or inside a trainer's checkpoint, as ``torch.save`` writes it: weights without an architecture."""

from __future__ import annotations

from roadworthy.build.sources.hub import folder as hub
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers.untrusted import listed
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import Refusal, StaticFacts
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.stages import Source

KIND = "checkpoint"
FRAMEWORK = "torch"
SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")


def sniff(file: SourceFile) -> bool:
    """Tensors in plain dictionaries and lists, and nowhere else."""
    return file.pickle is not None and file.pickle.plain


def inspect(file: SourceFile) -> StaticFacts:
    """The tensors by their names, and the globals that a reader of weights alone would not need."""
    found = file.pickle
    if found is None:
        raise SourceUnreadable(f"{file.path} was not written by torch.save")
    refusal = Refusal(f"asks for code beside its weights when it is read: {listed(found.unsafe)}", "save the state_dict alone")
    sets = ", ".join(f"{place!r} ({count})" for place, count in found.sets if place)
    return StaticFacts(
        found.tensors,
        executes=found.code,
        notes=(*found.notes, f"tensors by dictionary: {sets}") if sets else found.notes,
        refusal=refusal if found.unsafe else None,
        takes_arch=True,
        takes_weights=True,
        needs_arch=hub.weights_alone(file.path),
    )


def open(source: Source) -> Opened:
    """The architecture of ``source.arch`` with the file's weights in it."""
    from roadworthy.build.sources.torch import state_dict

    return state_dict.read(source)
