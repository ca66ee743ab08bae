"""Roadworthy itself as a wheel in the bundle, so that a server can be installed without a package index that has it."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from roadworthy.core.errors import EnvironmentFault

EPOCH = (1980, 1, 1, 0, 0, 0)


def write(folder: Path) -> str:
    """The installed Roadworthy as a wheel in ``folder``; its file name.

    The same sources give the same bytes. The layout is that of the binary distribution format (PEP 427): the package,
    and beside it ``.dist-info`` with METADATA, WHEEL, entry points and a RECORD of every file's hash.
    """
    try:
        installed = distribution("roadworthy")
    except PackageNotFoundError:
        raise EnvironmentFault("roadworthy is not installed as a package, so its wheel cannot go into the bundle: pip install it") from None
    version = installed.version
    info = f"roadworthy-{version}.dist-info"
    entries = _package() | {
        f"{info}/METADATA": (installed.read_text("METADATA") or "").encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: roadworthy\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": (installed.read_text("entry_points.txt") or "").encode(),
    }
    if licence := installed.read_text("licenses/LICENSE"):
        entries[f"{info}/licenses/LICENSE"] = licence.encode()
    record = "".join(f"{name},sha256={_hash(data)},{len(data)}\n" for name, data in entries.items()) + f"{info}/RECORD,,\n"
    name = f"roadworthy-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in (*entries.items(), (f"{info}/RECORD", record.encode())):
            archive.writestr(zipfile.ZipInfo(path, EPOCH), data, zipfile.ZIP_DEFLATED)
    return name


def _package() -> dict[str, bytes]:
    home = Path(__file__).parents[2]
    files = (path for path in sorted(home.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(home.parent).as_posix(): path.read_bytes() for path in files}


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
