"""Each folder and file that the page on the architecture names exists, and each folder of the package is on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "roadworthy"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SPANS = sorted({span for span in re.findall(r"`([\w./]+)`", PAGE) if "/" in span and "NAME" not in span} - {"src/roadworthy/"})
PICTURED = sorted(set(re.findall(r"^ *(?:\+--> )?((?:build|serving)/\w+|runtimes)\b", PAGE, re.M)))


@pytest.mark.parametrize("span", SPANS)
def test_a_file_or_folder_that_is_named_exists(span: str) -> None:
    assert (PACKAGE / span).exists() or (ROOT / span).exists()


@pytest.mark.parametrize("place", PICTURED)
def test_a_module_of_the_pictures_exists(place: str) -> None:
    assert (PACKAGE / place).is_dir() or (PACKAGE / f"{place}.py").is_file()


def test_no_folder_is_left_out() -> None:
    places = [PACKAGE, PACKAGE / "build", PACKAGE / "serving"]
    folders = [one for place in places for one in place.iterdir() if (one / "__init__.py").is_file()]
    assert [name for one in folders if (name := str(one.relative_to(PACKAGE))) not in PAGE] == []
    assert len(SPANS) > 20 and len(PICTURED) > 8
