"""A backend's name stands in its own files, in ``pyproject.toml`` and in the docs: nowhere else in the source.

Its own files are the two of its name, and parts of these whose names begin with an underscore and its name.
"""

from __future__ import annotations

import re
from pathlib import Path

from roadworthy.core import registry

SOURCE = Path(__file__).parents[2] / "src" / "roadworthy"
FRAMEWORKS = {"tensorflow", "torchscript"}
"""Backends that have the name of a framework, of its server's protocol, of its file format or of its data sets: the folders that read
and write these say that name too."""
FRAMEWORK_ROOMS = (
    "build/data/live/", "build/preprocessing/", "build/sources/", "build/capture/", "build/compress/",
    "build/compare/layer_diff/", "frameworks/", "runtimes/_", "build/lower/_", "serving/protocols/",
)  # fmt: skip
ELSEWHERE = ("build/export/", "runtimes/exported/", "other_servers/", "build/sources/holding/")
"""Other places have words of their own: a backend of Triton's has the name of the library that it runs."""


def scattered(root: Path) -> list[str]:
    """Every line below ``root`` that names a backend outside the backend's own files, as ``file:line: name``."""
    found = {*registry.names(registry.RUNTIMES), *registry.names(registry.LOWERINGS)} - {"null"}
    # Other tests may have installed runtimes of third parties.
    names = {name for name in found if (SOURCE / "runtimes" / f"{name}.py").is_file()}
    found = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).as_posix()
        if place.startswith(ELSEWHERE):
            continue
        own = {path.stem, path.parent.name.removeprefix("_")}
        others = {name for name in names if name not in own and not path.stem.startswith(f"_{name}_")}
        others -= FRAMEWORKS if place.startswith(FRAMEWORK_ROOMS) else set()
        # Behind a slash it is a path inside a file format, before a hyphen a distribution that backends may share.
        pattern = re.compile(rf"(?<![\w./])({'|'.join(sorted(others))})(?![\w-])")
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found += [f"{path.relative_to(root)}:{number}: {match[1]}" for match in pattern.finditer(line)]
    return found


def test_no_backend_is_named_outside_its_own_files() -> None:
    assert scattered(SOURCE) == []


def test_a_framework_is_named_where_its_models_are_read_and_nowhere_else(tmp_path: Path) -> None:
    for room in ("sources", "verify"):
        (tmp_path / "build" / room).mkdir(parents=True)
        (tmp_path / "build" / room / "one.py").write_text("import tensorflow\n")
    assert scattered(tmp_path) == ["build/verify/one.py:1: tensorflow"]


def test_a_planted_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text('"""A room."""\nif runtime == "openvino":\n    pass\n')
    for own in ("openvino.py", "_openvino_graph.py"):
        (tmp_path / own).write_text("import openvino\n")
    assert scattered(tmp_path) == ["room.py:2: openvino"]
