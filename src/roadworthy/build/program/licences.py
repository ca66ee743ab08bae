"""The licences of libraries that go along with a program, where this machine has them on disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

FOLDER = "licences"
IMAGES = {"libjpeg-turbo.txt": "libjpeg62-turbo-dev", "libpng.txt": "libpng-dev", "zlib.txt": "zlib1g-dev"}
"""Packages of Debian that a program reads images with, by the names that their licences get."""
STATIC = {"glibc.txt": "libc6-dev", "gcc.txt": "gcc-12-base"}
"""The same for what is in every program that is linked statically."""


def of_debian(out: Path, packages: Mapping[str, str]) -> None:
    """Copy the notices of ``packages`` into ``out/licences``."""
    write(out, {name: Path("/usr/share/doc") / package / "copyright" for name, package in packages.items()})


def write(out: Path, notices: Mapping[str, Path]) -> None:
    """Copy files into ``out/licences``, each under the name that it gets there."""
    (out / FOLDER).mkdir(exist_ok=True)
    for name, notice in notices.items():
        if notice.is_file():
            shutil.copyfile(notice, out / FOLDER / name)
