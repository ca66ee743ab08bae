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
from roadworthy.core.stages import Source
from roadworthy.preprocess import spec
from roadworthy.preprocess.spec import Layout

__all__ = ["Found", "ReadRequest", "disagreement", "read_step", "suggested", "write_live", "write_of_model"]


@dataclass(frozen=True)
class ReadRequest:
    """``asked`` is what the user names, None for what the model brings; ``layout`` is where the model has the channels."""

    asked: str | None
    source: Source
    layout: Layout


def read_step(request: ReadRequest) -> Found | None:
    """The preprocessing that the user names, or what the model brings or else does itself: None where there is none of these.

    Where it states no size, images get that of the model's input. Raises DataError where what is named cannot be read, where it cannot be
    carried out as it is, and where it would normalise pixels for a model that does so itself.
    """
    pictures = sizes.pictures_of(request.source, request.layout)
    layout = pictures.layout if pictures else request.layout
    asked = request.asked
    twice = asked is not None and asked.startswith(inside.TWICE)
    found = _read(replace(request, asked=asked.removeprefix(inside.TWICE) if asked else None, layout=layout))
    if found is None:
        return inside.outside(request.source, pictures) or applications.unchosen(request.source, pictures)
    found = sizes.fitted(found, pictures)
    return inside.allowed(found, request.source) if twice else inside.checked(found, request.source, asked)


def _read(request: ReadRequest) -> Found | None:
    if request.asked is None:
        return forms.only("beside", request.source, request.layout)
    path = Path(request.asked)
    if path.name.endswith(kept.SUFFIX):
        return kept.read(path, request.layout)
    if path.exists() and path.suffix != ".toml":
        found = forms.only("of_path", path, request.layout)
        if found is None:
            raise DataError(f"{path} is not a file of preprocessing of a known form")
        return found
    if (found := forms.only("of_name", request.asked, request.layout)) is not None:
        return found
    if not spec.is_spec(request.asked) and (named := objects.named_in(request.asked)) is not None:
        return objects.read(named, request.layout)
    return Found(spec.read(request.asked, request.layout), request.asked)
