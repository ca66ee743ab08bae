"""A whole module as ``torch.save`` or ``pickle`` writes it: an object whose reading runs the code that it asks for."""

from __future__ import annotations

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers.untrusted import listed
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import Refusal, StaticFacts
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.stages import Source

KIND = "pickled"
FRAMEWORK = "torch"
SUFFIXES = (".pt", ".pth", ".pkl")


def sniff(file: SourceFile) -> bool:
    """A pickle that is more than plain weights."""
    return file.pickle is not None and not file.pickle.plain


def inspect(file: SourceFile) -> StaticFacts:
    """The tensors below the object, and every global that it asks for and weights would not need."""
    found = file.pickle
    if found is None:
        raise SourceUnreadable(f"{file.path} is not a pickle")
    asked = listed(found.code) or "an object of an unknown class"
    refusal = Refusal(f"is a pickle that asks for code when it is read: {asked}", "save the model's state_dict instead")
    return StaticFacts(found.tensors, executes=found.code, notes=found.notes, refusal=refusal, takes_arch=True, takes_weights=True)


def open(source: Source) -> Opened:
    """The module in the file."""
    from roadworthy.build.sources.torch import pickled_module

    return pickled_module.read(source)
