"""Pickles of ours that need nobody's code: what lives in the user's own modules is written by value."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import cloudpickle


@contextmanager
def by_value() -> Iterator[None]:
    """Inside the block cloudpickle writes the user's modules by value: the process that reads the file need not find them."""
    paths = sysconfig.get_paths()
    installed = [
        *(paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    ]
    folders = tuple(f"{folder}/" for folder in {*installed, *map(os.path.realpath, installed)})
    registered = []
    try:
        for name, module in [*sys.modules.items()]:
            file = getattr(module, "__file__", None)
            ours = name.partition(".")[0] == "roadworthy"
            if isinstance(module, ModuleType) and file and not ours and not file.startswith(folders) and module.__name__ == name:
                cloudpickle.register_pickle_by_value(module)
                registered.append(module)
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
