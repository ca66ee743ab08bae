"""The page's modules run in Node, which is quicker than a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.export import _browser
from roadworthy.core import codec
from roadworthy.core.types import Array, Arrays
from roadworthy.preprocess.steps import Step
from support.waiting import HANG_SECONDS

HERE = Path(__file__).parent
MODULES = Path(_browser.__file__).with_name("js")


def node() -> str:
    """The program Node; the test is skipped without it."""
    return shutil.which("node") or pytest.skip("needs Node: apt-get install nodejs")


def samples(cases: Sequence[tuple[Sequence[Step], Array | bytes]], folder: Path) -> list[Array | str]:
    """What the page's steps make of each image, uint8 pixels [H,W,C] or a PNG file's bytes; what the page says where it refuses."""
    stated = []
    for number, (steps, image) in enumerate(cases):
        file = folder / f"{number}.image"
        file.write_bytes(image if isinstance(image, bytes) else image.tobytes())
        shape = None if isinstance(image, bytes) else image.shape
        stated.append({"steps": list(steps), "image": str(file), "shape": shape, "out": str(folder / f"{number}.sample")})
    (folder / "cases.json").write_bytes(codec.to_json(stated))
    command = [node(), str(HERE / "preprocess.mjs"), str(MODULES), str(folder / "cases.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    return [
        said["error"] if "error" in said else np.fromfile(folder / f"{number}.sample", said["dtype"]).reshape(said["shape"])
        for number, said in enumerate(json.loads(done.stdout))
    ]


def answers(export: Path, feeds: Arrays, folder: Path) -> tuple[dict[str, Array], dict[str, float]]:
    """What the export gives in Node for ``feeds``, and the errors of its self-check by output."""
    stated = {}
    for name, array in feeds.items():
        (folder / f"{name}.feed").write_bytes(array.tobytes())
        stated[name] = {"dtype": array.dtype.name, "shape": array.shape, "file": str(folder / f"{name}.feed")}
    command = [node(), str(HERE / "run.mjs"), str(export), json.dumps(stated)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0 and not done.stderr, done.stderr[-2000:]
    said = json.loads(done.stdout)
    found = {
        name: np.frombuffer(bytes.fromhex(array["data"]), array["dtype"]).reshape(array["shape"]) for name, array in said["outputs"].items()
    }
    return found, {one["name"]: one["error"] for one in said["errors"]}
