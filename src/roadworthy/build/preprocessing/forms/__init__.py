"""The forms in which people write preprocessing: one module a form, found by its file in this folder or by an entry point of the group
with this folder's name.

To add a form, add a file. ``only`` goes through the forms and names none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

from roadworthy.build.preprocessing.found import Found
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, DataError, SourceUnreadable
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.spec import Layout

OF_THE_MODEL = ("beside", "on_model")
"""The functions that read what the user did not name: what cannot be carried out there is a note, and ends no deployment."""


class PreprocessingForm(Protocol):
    """``forms/<NAME>.py``. Importing the module imports no framework and no library that its form is of.

    Each function returns None where what it is given is not of this form, and raises DataError, with the field, where it is but cannot be
    carried out. ``layout`` is where the model has the channels, unless the form itself states it. All functions are optional:

    - ``of_name(text, layout)``: a name that needs no library, such as ``keras.applications.resnet50.preprocess_input``.
    - ``of_path(path, layout)``: an existing file or folder that the user names.
    - ``of_object(value, layout)``: an object of the library, told by its class's module and its attributes, never by importing the library.
    - ``on_model(model, layout)``: what a live model carries as an attribute, for example timm's ``pretrained_cfg``.
    - ``beside(source, layout)``: what the model itself holds, or what lies beside it by the custom of its library.
    """

    def of_name(self, text: str, layout: Layout) -> Found | None: ...

    def of_path(self, path: Path, layout: Layout) -> Found | None: ...

    def of_object(self, value: Any, layout: Layout) -> Found | None: ...

    def on_model(self, model: Any, layout: Layout) -> Found | None: ...

    def beside(self, source: Source, layout: Layout) -> Found | None: ...


def names() -> tuple[str, ...]:
    """The name of every form."""
    return registry.names(__name__)


def _every(function: str) -> Iterator[tuple[str, Any]]:
    """``function`` of each form that has it, with the form's name."""
    for name in names():
        try:
            form = cast(PreprocessingForm, registry.backend(__name__, name))
        except BackendMissing:
            # One package with a broken form must not keep the others from being read.
            continue
        if (defined := getattr(form, function, None)) is not None:
            yield name, defined


def _left_out(why: str) -> Found:
    return Found(Contract(), "", (Note(why, warning=True),))


def only(function: str, value: Any, layout: Layout) -> Found | None:
    """What the one form that takes ``value`` reads by ``function``, None where no form does; DataError where two do.

    Of what the model brings nothing is read then, and a note says why.

    A form that states no steps, but names of classes or why there are no steps, gives way to the one that does; its notes stay.
    """
    found: list[tuple[str, Found]] = []
    for name, of_form in _every(function):
        try:
            read = of_form(value, layout)
        except (BackendMissing, DataError, SourceUnreadable) as problem:
            if function not in OF_THE_MODEL:
                raise
            read = _left_out(problem.message)
        if read is not None:
            found.append((name, read))
    stating = [(name, read) for name, read in found if replace(read.contract, answer=Answer()) != Contract()]
    if len(stating) > 1:
        what = getattr(value, "path", value)
        both = f"{what} can be read as preprocessing of {' and of '.join(name for name, _ in stating)}"
        if function in OF_THE_MODEL:
            return _left_out(f"{both}, so none was taken: name one with --preprocess")
        raise DataError(f"{both}; write a TOML file instead")
    if not found:
        return None
    _, chosen = (stating or sorted(found, key=lambda one: not one[1].contract.answer.labels))[0]
    others = (note for _, read in found if read is not chosen for note in read.notes)
    return replace(chosen, notes=(*chosen.notes, *others))
