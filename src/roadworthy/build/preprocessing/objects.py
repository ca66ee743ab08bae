"""Preprocessing that is an object of the user's code or of a library: named, or live in this process."""

from __future__ import annotations

import inspect
import traceback
from functools import partial
from pathlib import Path
from typing import Any, get_args

from roadworthy.build import user_object
from roadworthy.build.preprocessing import forms, kept
from roadworthy.build.preprocessing.found import Found
from roadworthy.build.user_object import UserObject, named_in
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.text import named_line
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import Layout

__all__ = ["named_in", "read", "write_live", "write_of_model"]


def read(named: UserObject, layout: Layout) -> Found:
    """What the object ``named`` is as preprocessing, or else what it returns when it is called without arguments.

    Runs the user's code. Raises DataError where the object is not there, where a call of it raises, and where no form reads it.
    """
    value = user_object.find(named)
    found = forms.only("of_object", value, layout)
    if found is None and _callable_bare(value):
        value = user_object.call(named)
        found = forms.only("of_object", value, layout)
    if found is None:
        raise _unknown(str(named), value)
    return found


def write_live(value: Any, folder: Path) -> Path:
    """The same of an object in this process, as a new file in ``folder`` that ``read_step`` takes. Raises DataError as ``read`` does."""
    found = [forms.only("of_object", value, layout) for layout in get_args(Layout)]
    if None in found and _callable_bare(value):
        value = _called(value)
        found = [forms.only("of_object", value, layout) for layout in get_args(Layout)]
    chw, hwc = found
    if chw is None or hwc is None:
        raise _unknown("preprocess", value)
    return kept.write(kept.ReadByLayout(chw, hwc), folder)


def write_of_model(model: Any, inputs: tuple[TensorSpec, ...], folder: Path) -> Path | None:
    """The same of what a live model carries; None where it carries nothing. Where its ``inputs`` are of another shape, it is left out."""
    found = [forms.only("on_model", model, layout) for layout in get_args(Layout)]
    chw, hwc = (None if one is None else _fitting(one, inputs) for one in found)
    return None if chw is None or hwc is None else kept.write(kept.ReadByLayout(chw, hwc), folder)


def _fitting(found: Found, inputs: tuple[TensorSpec, ...]) -> Found:
    try:
        # Pictures of uint8 are not the model's inputs yet.
        found.contract.check_input(tuple(one for one in inputs if one.dtype != "uint8"))
    except DataError:
        given = found.contract.sample_shape()
        left_out = f"{found.origin} gives {given} for an image, and the inputs are {', '.join(map(str, inputs))}: it was left out"
        return Found(Contract(), "", (Note(left_out),))
    return found


def _called(function: Any) -> Any:
    try:
        return function()
    except Exception as problem:
        raise DataError(f"preprocess is a function that raised {named_line(problem)}", detail=traceback.format_exc()) from problem


def _callable_bare(value: Any) -> bool:
    """Whether ``value`` is a function or class that can be called without arguments."""
    if not callable(value) or not (inspect.isroutine(value) or inspect.isclass(value) or isinstance(value, partial)):
        return False
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


def _unknown(what: str, value: Any) -> DataError:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if inspect.isfunction(value):
        return DataError(
            f"{what} is the function {value.__name__}{inspect.signature(value)}, whose code a server does not run; let it return the "
            "transforms, or write the steps as a TOML file (docs/preprocessing.md)"
        )
    return DataError(
        f"{what} is a {name}, which is not preprocessing of a known form ({', '.join(forms.names())}); "
        "write the steps as a TOML file (docs/preprocessing.md)"
    )
