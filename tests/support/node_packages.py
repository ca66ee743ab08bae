"""Packages of the npm registry for tests, installed once a machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support import kept

LIMIT_S = 240


def installed(name: str, *packages: str) -> Path:
    """The folder of the environment ``name`` with these packages, as ``package@version``; the test is skipped where it cannot be had."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("it needs Node and npm: apt-get install nodejs npm")
    folder = kept.FOLDER / name
    stamp, wanted = folder / "installed.txt", "\n".join(packages)
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error", *packages]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {', '.join(packages)} within {LIMIT_S} s")
    if done.returncode:
        pytest.skip(f"npm cannot install {', '.join(packages)}: {done.stderr.strip()[:300]}")
    stamp.write_text(wanted)
    return folder
