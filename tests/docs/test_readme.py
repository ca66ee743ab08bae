"""The README's first program runs as it stands, and what the README names is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.servers.commands import SHORT_RACES
from support.warm_children import ADDRESS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_first_program_runs(tmp_path: Path, torch_server: str) -> None:
    program = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert program
    (tmp_path / "first.py").write_text(program[1])
    run = subprocess.run([*SHORT_RACES, "first.py"], cwd=tmp_path, capture_output=True, text=True, env=os.environ | {ADDRESS: torch_server})
    assert run.returncode == 0, run.stderr
    assert "original" in run.stdout
    assert (tmp_path / "digits.bundle" / "report.html").is_file()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_every_option_that_the_readme_names_exists() -> None:
    help_text = "".join(
        subprocess.run([Path(sys.executable).with_name("roadworthy"), name, "--help"], capture_output=True, text=True, check=True).stdout
        for name in ("deploy", "compare", "serve", "check", "predict")
    )
    named = set(re.findall(r"`(--[a-z-]+)", README)) - {"--index-url", "--real", "--no-deps"}
    assert named
    assert {option for option in named if option not in help_text} == set()
