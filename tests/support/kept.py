"""What tests download is kept once a machine, though every test has a cache directory of its own."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(os.environ.get("ROADWORTHY_TEST_CACHE") or Path.home() / ".cache" / "roadworthy-tests")


def in_cache(cache: str) -> None:
    """Let the new cache directory ``cache`` hold the packages of npm that were downloaded before."""
    packages, libraries = FOLDER / "npm", Path(cache, "roadworthy-libraries")
    packages.mkdir(parents=True, exist_ok=True)
    libraries.mkdir(parents=True)
    (libraries / "npm").symlink_to(packages)
