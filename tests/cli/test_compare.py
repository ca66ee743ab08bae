"""``roadworthy compare`` as a real process: options for one source, the table, the page, and how it ends."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    weight = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    for name, scale in (("a.npz", 1.0), ("b.npz", 1.1)):
        np.savez(tmp_path / name, weight=weight * np.float32(scale), bias=np.zeros(3, np.float32))
    return tmp_path


def test_options_go_to_every_source_or_to_the_one_they_name(cli: Cli, pair: Path) -> None:
    said = ("--input", "A=left:float32[batch,6]", "--input", "B=right:float32[batch,6]", "--samples", "40")
    run = cli("compare", "a.npz", "b.npz", *said, "--only-parity", "--json", "-o", "page.html", cwd=pair)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert [side["signature"]["inputs"][0]["name"] for side in found["sides"]] == ["left", "right"]
    assert not found["pairings"][0]["same"]
    assert "not the same function" in (pair / "page.html").read_text()
    plain = cli("compare", "a.npz", "a.npz", "--input", "x:float32[batch,6]", "--samples", "40", "--only-parity", cwd=pair)
    assert plain.returncode == 0, plain.stderr
    assert "the same function" in plain.stdout and "a.npz (2)" in plain.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.npz",), "two sources at least"),
        (("a.npz", "b.npz", "--arch", "C=net.py:Net"), "there is no source C; they are A, B"),
        (("a.npz", "b.npz", "--preprocess", "unit", "--preprocess", "B=mnist"), "--preprocess was given 2 times for one source"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(cli: Cli, pair: Path, arguments: tuple[str, ...], words: str) -> None:
    run = cli("compare", *arguments, cwd=pair)
    assert run.returncode == 2 and words in run.stderr and len(run.stderr.splitlines()) == 1
