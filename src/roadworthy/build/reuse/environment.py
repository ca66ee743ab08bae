"""What every step depends on beside its request: the packages, this program's own code, the CPU, the compiler, variables of libraries."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from roadworthy.core.host import library_caps, this_host

READ_BY_LIBRARIES = (
    "ATEN_", "CC", "CFLAGS", "CUDA_", "CXX", "DNNL_", "KERAS_", "KMP_", "LD_", "MKL_", "OMP_", "ONEDNN_", "OPENBLAS_", "OPENVINO_", "ORT_",
    "OV_", "PYTHON", "PYTORCH_", "ROADWORTHY_", "TF_", "TORCH", "XLA_", "XNN",
)  # fmt: skip
"""How the variables begin that a framework, a runtime or a compiler reads."""
OWN = Path(__file__).parents[2]
COMPILERS = ("c++", "g++", "gcc", "clang++", "ld", "as")
PLUGINS = "roadworthy."
"""How the groups of entry points begin by which other packages add runtimes and formats."""


def environment() -> str:
    """One line for each thing that may change the files that a step makes."""
    host = this_host()
    lines = [f"host {host.cpu} {host.architecture} {host.features} {host.cores} {host.python}"]
    lines += [f"{name}={value}" for name, value in sorted({**os.environ, **library_caps()}.items()) if name.startswith(READ_BY_LIBRARIES)]
    lines += _distributions()
    lines += [f"compiler {name} {_state(Path(found).resolve())}" for name in COMPILERS if (found := shutil.which(name))]
    lines += [f"code {folder} {_code(folder)}" for folder in (OWN, *_plugins())]
    return "\n".join(lines)


def _distributions() -> list[str]:
    """The installed distributions with their versions, and when each was installed: a build of one version may replace another."""
    found = []
    for folder in dict.fromkeys(sys.path):
        if Path(folder).is_dir():
            with os.scandir(folder) as entries:
                found += [
                    f"{entry.name} {entry.stat().st_mtime_ns}" for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))
                ]
    return sorted(found)


def _plugins() -> Iterator[Path]:
    """The folders of code of other packages that take part in making candidates."""
    points = [point for group in sorted(entry_points().groups) if group.startswith(PLUGINS) for point in entry_points(group=group)]
    for top in sorted({point.module.partition(".")[0] for point in points}):
        spec = importlib.util.find_spec(top)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            yield origin.parent if origin.name == "__init__.py" else origin


def _code(place: Path) -> str:
    """The digest of a Python file, or of all in a folder."""
    digest = hashlib.sha256()
    for path in sorted(place.rglob("*.py")) if place.is_dir() else (place,):
        digest.update(f"{path.relative_to(place)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _state(path: Path) -> str:
    found = path.stat()
    return f"{path} {found.st_size} {found.st_mtime_ns}"
