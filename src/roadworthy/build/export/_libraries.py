"""Libraries that are built or downloaded once a machine, in the user's cache.

They lie beside the cache of results and not in it: everything that is there without being in its ledger is removed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def folder(name: str) -> Path:
    """Where the library ``name`` lies, or will."""
    stated = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (stated if stated.is_absolute() else Path.home() / ".cache") / "roadworthy-libraries" / name


@contextmanager
def making(folder: Path) -> Iterator[None]:
    """Waits until no other process makes what will lie in ``folder``."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
