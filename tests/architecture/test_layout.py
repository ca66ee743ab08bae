"""A class name exists once in the source, and no folder holds more files than a person can look over."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "roadworthy"
MOST = 17
"""Modules of one folder, its ``__init__`` left out."""


def repeated_classes(root: Path) -> dict[str, list[str]]:
    """Every public or private class name that is defined more than once below ``root``, with the files that define it."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path.relative_to(root).as_posix())
    return {name: files for name, files in places.items() if len(files) > 1}


def large_folders(root: Path) -> dict[str, int]:
    """Every folder below ``root`` with more than ``MOST`` modules, with their number."""
    counts = {
        folder.relative_to(root).as_posix(): len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir()))
    }
    return {folder: count for folder, count in counts.items() if count > MOST}


def test_a_class_name_exists_once() -> None:
    assert repeated_classes(SOURCE) == {}


def test_no_folder_is_large() -> None:
    assert large_folders(SOURCE) == {}


def test_a_planted_second_class_is_found(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "one.py").write_text("class Route:\n    pass\n")
    (tmp_path / "inner" / "two.py").write_text("def route():\n    class Route:\n        pass\n")
    assert repeated_classes(tmp_path) == {"Route": ["inner/two.py", "one.py"]}


def test_a_planted_large_folder_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "protocols"
    folder.mkdir()
    for number in range(MOST + 1):
        (folder / f"protocol_{number}.py").touch()
    (folder / "__init__.py").touch()
    assert large_folders(tmp_path) == {"protocols": MOST + 1}
