"""What must be done in a child before a library is first imported there, by whichever code; nothing where it never is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

BEFORE = {"torchvision": ("roadworthy.frameworks.torch.torchvision_ops", "declare_missing")}
"""The function to call first, by the library's name: its module, imported only then, and its name."""


def watch() -> None:
    """From now on the function of ``BEFORE`` runs in this process just before its library is imported for the first time."""
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


class _Watch:
    """Finds no module: it is asked first for each, and acts on those of ``BEFORE``."""

    def __init__(self) -> None:
        self._waiting = dict(BEFORE)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if (first := self._waiting.pop(name, None)) is not None:
            try:
                getattr(importlib.import_module(first[0]), first[1])()
            except ImportError:
                # Without the framework the library's own message says best what is missing.
                return None
        return None
