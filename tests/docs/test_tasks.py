"""The program of each page of docs/tasks runs as it stands, in an empty folder. ``test_data_pages`` runs those that are about data."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from support.servers.commands import SHORT_RACES
from support.warm_children import ADDRESS

ABOUT_DATA = ("audio", "tables", "text")
OFTEN = ("classification", "regression")
"""The pages whose programs run each time; the others are like them, with other data, and are in the long form of the suite."""
PAGES = [page for page in sorted((Path(__file__).parents[2] / "docs" / "tasks").glob("*.md")) if page.stem not in ABOUT_DATA]


@pytest.mark.slow
@pytest.mark.parametrize("page", [pytest.param(page, marks=() if page.stem in OFTEN else pytest.mark.soak, id=page.stem) for page in PAGES])
def test_the_program_of_a_page_runs(page: Path, tmp_path: Path, torch_server: str) -> None:
    programs = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert programs
    # Of several, each goes on where the one before it ended.
    (tmp_path / "first.py").write_text("\n".join(programs))
    run = subprocess.run([*SHORT_RACES, "first.py"], cwd=tmp_path, capture_output=True, text=True, env=os.environ | {ADDRESS: torch_server})
    assert run.returncode == 0, run.stderr
    assert list(tmp_path.glob("*.bundle/manifest.json"))
