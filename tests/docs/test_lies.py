"""Every silent wrong result that the page lists is held by tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLUMNS = 4


def rows() -> list[list[str]]:
    """The cells of each row of the page's tables."""
    lines = [line for line in (ROOT / "docs" / "lies.md").read_text().splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells for cells in found if cells[0] != "What lies"]


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the tests in a file, which is not run for that; those of a class behind its name."""
    tree = ast.parse((ROOT / file).read_text())
    groups = [("", tree.body), *((f"{node.name}::", node.body) for node in tree.body if isinstance(node, ast.ClassDef))]
    found = (f"{group}{node.name}" for group, body in groups for node in body if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def test_the_page_has_rows() -> None:
    assert len(rows()) >= 20
    assert len({cells[0] for cells in rows()}) == len(rows())


@pytest.mark.parametrize("cells", rows(), ids=lambda cells: re.sub(r"\W+", "-", cells[0])[:40])
def test_a_row_is_whole_and_its_tests_exist(cells: list[str]) -> None:
    assert len(cells) == COLUMNS and all(cells)
    named = re.findall(r"`([^`]+)`", cells[-1])
    assert named and not re.sub(r"`[^`]+`|\s", "", cells[-1]), "the last column names tests and nothing else"
    for name in named:
        file, _, test = name.partition("::")
        assert (ROOT / file).is_file(), file
        assert test in names_in(file), name
