"""Bundle to answers: the model, a dataplane that knows no transport, the protocols, and HTTP around them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Door(ModuleType):
    """``rw.serve(...)`` and the package ``roadworthy.serve`` share a name: importing the one would hide the other."""

    def __call__(self, *arguments: Any, **options: Any) -> None:
        from roadworthy.serving.server import serve

        serve(*arguments, **options)


sys.modules[__name__].__class__ = _Door
