"""Preprocessing from where people wrote it, as the steps of the contract: a preset, a file, a name, an object, or what the model brings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.preprocessing import forms, kept, objects
from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.objects import write_live, write_of_model
from roadworthy.core.errors import DataError
from roadworthy.core.stages import Source
from roadworthy.preprocess import spec
from roadworthy.preprocess.spec import Layout

__all__ = ["Found", "ReadRequest", "read_step", "write_live", "write_of_model"]


@dataclass(frozen=True)
class ReadRequest:
    """``asked`` is what the user names, None for what the model brings; ``layout`` is where the model has the channels."""

    asked: str | None
    source: Source
    layout: Layout


def read_step(request: ReadRequest) -> Found | None:
    """The preprocessing that the user names, or what the model brings: None where it brings none.

    Raises DataError where what is named cannot be read, and where it cannot be carried out as it is.
    """
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
