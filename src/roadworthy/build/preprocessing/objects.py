"""Preprocessing that is an object of the user's code or of a library: named, or live in this process."""

from __future__ import annotations

import inspect
from typing import Any

from roadworthy.build import user_object
from roadworthy.build.preprocessing import forms
from roadworthy.build.preprocessing.found import Found
from roadworthy.build.user_object import UserObject, named_in
from roadworthy.core.errors import DataError
from roadworthy.preprocess.spec import Layout

__all__ = ["named_in", "read", "read_live"]


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


def read_live(value: Any, layout: Layout) -> Found:
    """The same of an object in this process; raises DataError where no form reads it."""
    found = forms.only("of_object", value, layout)
    if found is None and _callable_bare(value):
        value = value()
        found = forms.only("of_object", value, layout)
    if found is None:
        raise _unknown("preprocess", value)
    return found


def _callable_bare(value: Any) -> bool:
    """Whether ``value`` is a function or class that can be called without arguments."""
    if not callable(value):
        return False
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


def _unknown(what: str, value: Any) -> DataError:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    signature = f"{value.__name__}{inspect.signature(value)}, a " if inspect.isfunction(value) else ""
    return DataError(
        f"{what} is {signature}{name}, which is not preprocessing of a known form ({', '.join(forms.names())}); "
        "write the steps as a TOML file (docs/preprocessing.md)"
    )
