"""TorchScript without its warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """torch says of each of its TorchScript functions that it is deprecated; that is known here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.* is (deprecated|not supported)", category=DeprecationWarning)
        yield
