"""Pickles that need no module of the user's: classes and functions from such modules are written by value."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import cloudpickle

from roadworthy.core.isolation import usercode

MADE_AGAIN = ("_make_skeleton_class", "_make_skeleton_enum")
"""What cloudpickle makes a class with that it wrote by value; the last argument but one is a random identifier of that class."""


class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """The same model gives the same bytes: a class has no random identifier, and each file that is read gives classes of its own.

    A module of a class of its own, such as ``torch.ops``, is written by its name.
    """

    def reducer_override(self, obj: Any) -> Any:
        # cloudpickle meets ``torch.ops`` in each function that uses both ``torch`` and an attribute ``ops``, and cannot write it.
        if isinstance(obj, ModuleType) and type(obj) is not ModuleType and sys.modules.get(obj.__name__) is obj:
            return importlib.import_module, (obj.__name__,)
        made = super().reducer_override(obj)
        if isinstance(made, tuple) and getattr(made[0], "__name__", "") in MADE_AGAIN:
            *arguments, _, extra = made[1]
            return (made[0], (*arguments, None, extra), *made[2:])
        return made


@contextmanager
def by_value() -> Iterator[None]:
    """Inside the block cloudpickle writes the user's modules by value: the process that reads the file need not find them."""
    registered = []
    try:
        for name, module in [*sys.modules.items()]:
            file = getattr(module, "__file__", None)
            if isinstance(module, ModuleType) and file and usercode.is_users(file) and module.__name__ == name:
                cloudpickle.register_pickle_by_value(module)
                registered.append(module)
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
