"""The table of limits in the docs is the one of the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from roadworthy.serving.limits import DEFAULT

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


def test_every_limit_is_in_the_table_with_its_default() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE.read_text(), re.MULTILINE))
    assert table == {
        limit.name: f"{getattr(DEFAULT, limit.name):g}"
        if isinstance(getattr(DEFAULT, limit.name), float)
        else str(getattr(DEFAULT, limit.name))
        for limit in fields(DEFAULT)
    }
