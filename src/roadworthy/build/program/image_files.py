"""The libraries of the distribution by which a program reads image files; PNM files need none."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.program import compiler, steps
from roadworthy.preprocess.contract import Contract

PROBE_LIMIT_S = 60.0


@dataclass(frozen=True)
class ImageLibrary:
    """The ``format`` that it reads, what the compiler and the linker are told, and the ``package`` of Debian that has it."""

    format: str
    package: str
    header: str
    define: str
    link: tuple[str, ...]
    archives: tuple[str, ...]


JPEG = ImageLibrary("JPEG", "libjpeg-dev", "jpeglib.h", "-DWITH_JPEG", ("-ljpeg",), ("libjpeg.a",))
PNG = ImageLibrary("PNG", "libpng-dev", "png.h", "-DWITH_PNG", ("-lpng", "-lz", "-lm"), ("libpng.a", "libz.a"))


def found() -> tuple[ImageLibrary, ...]:
    """The libraries that are installed here with their header and as a static archive. Raises ProgramMissing without a compiler."""
    return tuple(library for library in (JPEG, PNG) if _installed(library))


def wanted(contract: Contract) -> tuple[ImageLibrary, ...]:
    """Those of ``found`` that a program for ``contract`` is compiled with."""
    return found() if steps.from_images(contract) else ()


def _installed(library: ImageLibrary) -> bool:
    program = str(compiler.require())
    # The compiler answers with the bare name where it finds no such file.
    places = (_said([program, f"-print-file-name={archive}"]) for archive in library.archives)
    if not all(Path(place).is_absolute() for place in places):
        return False
    probe = [program, "-fsyntax-only", "-include", "cstdio", "-include", library.header, "-x", "c++", "/dev/null"]
    return subprocess.run(probe, capture_output=True, timeout=PROBE_LIMIT_S).returncode == 0


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=PROBE_LIMIT_S).stdout.strip()
