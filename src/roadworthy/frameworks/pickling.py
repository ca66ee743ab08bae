"""Pickles that need no module of the user's: classes and functions from such modules are written by value."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import cloudpickle

from roadworthy.core.isolation import usercode


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
