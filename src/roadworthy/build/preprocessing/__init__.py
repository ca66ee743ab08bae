"""Preprocessing from where people wrote it, as the steps of the contract: a preset, a file, a name, an object, or what the model brings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.build.preprocessing import forms, inside, kept, objects, sizes
from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.inside import disagreement
from roadworthy.build.preprocessing.keras import applications
from roadworthy.build.preprocessing.keras.applications import suggested
from roadworthy.build.preprocessing.objects import write_live, write_of_model
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess import spec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import Layout

__all__ = ["Found", "ReadRequest", "disagreement", "held_against", "read_step", "suggested", "write_live", "write_of_model"]


@dataclass(frozen=True)
class ReadRequest:
    """``asked`` is what the user names, None for what the model brings; ``layout`` is where the model has the channels."""

    asked: str | None
    source: Source
    layout: Layout


def read_step(request: ReadRequest) -> Found | None:
    """The preprocessing that the user names, or what the model brings or else does itself: None where there is none of these.

    Where it states no size, images get that of the model's input. Raises DataError where what is named cannot be read or carried out. What
    the model brings and cannot be carried out, or does not fit its inputs, is left out with a note.
    """
    image = sizes.image_of(request.source, request.layout)
    found = _read(replace(request, layout=image.layout if image else request.layout))
    if found is None:
        return inside.outside(request.source, image) or applications.unchosen(request.source, image)
    if request.asked is None and not _may_take(request.source, found.contract):
        takes = ", ".join(map(str, request.source.takes))
        return Found(Contract(), "", (*found.notes, Note(f"{found.origin} was left out: the model's inputs are {takes}")))
    return sizes.fitted(found, image)


def held_against(found: Found, source: Source, asked: str | None, *, twice: bool) -> Found:
    """``found`` with notes on what the model does to pixels itself; ``asked`` is what the user named.

    Raises DataError where it would normalise pixels for a model that does so itself, and where training did so ``twice`` and this does not.
    """
    return inside.allowed(found, source) if twice else inside.checked(found, source, asked)


def _may_take(source: Source, contract: Contract) -> bool:
    """Whether the inputs that the file states may be what the contract makes: one of four axes for images, rows of numbers for texts."""
    axes = [len(spec.shape) for spec in source.takes]
    fits = {"image": axes == [4], "text": set(axes) == {2}, "audio": len(axes) == 1}
    return not axes or contract.kind is None or fits[contract.kind]


def _read(request: ReadRequest) -> Found | None:
    if request.asked is None:
        return forms.only("beside", request.source, request.layout)
    path = Path(request.asked)
    if path.name.endswith(kept.SUFFIX):
        return kept.read(path, request.layout)
    if path.exists() and not spec.is_spec(request.asked):
        found = forms.only("of_path", path, request.layout)
        if found is None:
            raise DataError(f"{path} is not a file of preprocessing of a known form")
        return found
    if (found := forms.only("of_name", request.asked, request.layout)) is not None:
        return found
    if not spec.is_spec(request.asked) and (named := objects.named_in(request.asked)) is not None:
        return objects.read(named, request.layout)
    return Found(spec.read(request.asked, request.layout), request.asked)
