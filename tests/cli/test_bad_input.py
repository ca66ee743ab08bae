"""Every kind of bad input: one clear sentence, the documented exit code, nothing left behind, no traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.servers.commands import ROADWORTHY, SHORT_RACES
from support.warm_children import ADDRESS

pytestmark = pytest.mark.slow


NET = ("--arch", "net.py:Net")
GREY = ("--preprocess", "grey.toml")
IMAGES = ("--data", "images")

BAD = {
    "a missing file": (("missing.pt", *NET), 3, "missing.pt"),
    "an empty file": (("empty.pt", *NET), 3, "empty"),
    "a text file": (("notes.pt", *NET), 3, "notes.pt"),
    "a truncated checkpoint": (("cut.pt", *NET), 3, "cut.pt"),
    "a directory": (("images", *NET), 3, "images"),
    "a pickle that would run code": (("evil.pt", *NET), 3, "system"),
    "a state_dict without an architecture": (("net.pt",), 2, "--arch"),
    "an architecture file that is not there": (("net.pt", "--arch", "nett.py:Net"), 2, "nett.py"),
    "an architecture that is not there": (("net.pt", "--arch", "net.py:Nett"), 2, "Net"),
    "an architecture that raises": (("net.pt", "--arch", "net.py:raises", *GREY), 2, "the licence server is away"),
    "an architecture that is a number": (("net.pt", "--arch", "net.py:number", *GREY), 2, "number"),
    "weights of another network": (("other.pt", *NET, *GREY), 3, "conv.weight"),
    "another number of classes": (("net.pt", "--arch", "net.py:Net(classes=3)", *GREY), 3, "head.weight"),
    "an input that cannot be inferred": (("net.pt", *NET), 2, "--input"),
    "an input that is no input": (("net.pt", *NET, "--input", "image:float23[batch,1,8,8]"), 2, "float32"),
    "a wrong input shape": (("net.pt", *NET, "--input", "image:float32[batch,1,9,9]"), 3, "head"),
    "a wrong number of channels": (("net.pt", *NET, "--input", "image:float32[batch,3,8,8]"), 3, "conv"),
    "preprocessing to a wrong size": (("net.pt", *NET, *IMAGES, "--preprocess", "large.toml"), 3, "head"),
    "preprocessing with a typo": (("net.pt", *NET, *IMAGES, "--preprocess", "typo.toml"), 4, "colour"),
    "images without preprocessing": (("net.pt", *NET, *IMAGES), 4, "preprocess"),
    "no images": (("net.pt", *NET, *GREY, "--data", "none"), 4, "none"),
    "no data folder": (("net.pt", *NET, *GREY, "--data", "nowhere"), 4, "nowhere"),
    "unreadable images": (("net.pt", *NET, *GREY, "--data", "broken"), 4, "broken.png"),
    "one class more than the model has outputs": (("net.pt", *NET, *GREY, "--data", "eleven"), 4, "11"),
    "labels that do not match": (("net.pt", *NET, *GREY, *IMAGES, "--labels", "labels.txt"), 4, "label"),
    "a budget that is no percentage": (("net.pt", *NET, "--max-drop", "lots"), 2, "1%"),
    "a runtime that does not exist": (("net.pt", *NET, *GREY, "--runtimes", "onnxruntim"), 2, "onnxruntime"),
    "a precision that does not exist": (("net.pt", *NET, *GREY, "--precisions", "int3"), 2, "int8"),
    "an option that does not exist": (("net.pt", *NET, "--fast"), 2, "--fast"),
}


@pytest.fixture(scope="module")
def workplace(desk: Path) -> Path:
    shutil.copytree(desk / "images", desk / "broken")
    (desk / "broken" / "3" / "broken.png").write_bytes((desk / "images" / "3" / "0.png").read_bytes()[:40])
    shutil.copytree(desk / "images", desk / "eleven")
    shutil.copytree(desk / "images" / "9", desk / "eleven" / "ten")
    (desk / "labels.txt").write_text("".join(f"class {number}\n" for number in range(11)))
    return desk


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(torch_server: str, workplace: Path, name: str) -> None:
    arguments, code, says = BAD[name]
    before = sorted(path.name for path in workplace.iterdir())
    run = subprocess.run(
        [*SHORT_RACES, ROADWORTHY, "deploy", *arguments, "-o", "bundle"],
        cwd=workplace, env=os.environ | {ADDRESS: torch_server}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == code, run.stderr
    error = run.stderr.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert says in run.stderr
    assert "Traceback" not in run.stderr + run.stdout
    assert sorted(path.name for path in workplace.iterdir()) == before
    assert not (workplace / "marker").exists()
