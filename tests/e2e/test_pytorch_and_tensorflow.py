"""The example of one network in both frameworks: trained in one, carried to the other, held side by side by the command itself.

What ``wrong.keras`` forgets is planted in tests/layers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.soak]

EXAMPLE = Path(__file__).parents[2] / "examples" / "pytorch_and_tensorflow"
ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))


def test_the_network_is_the_same_function_in_both(tmp_path: Path) -> None:
    for script in ("in_pytorch.py", "carry.py"):
        subprocess.run([sys.executable, EXAMPLE / script, tmp_path], check=True, capture_output=True)
    command = [
        ROADWORTHY, "compare", "net.pt", "net.keras", "--arch", f"A={EXAMPLE / 'in_pytorch.py'}:Net", "--data", "digits.npz",
        "--samples", "100", "--only-parity", "--json", "-o", "page.html",
    ]  # fmt: skip
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr or run.stdout
    found = json.loads(run.stdout)
    (pairing,) = found["pairings"]
    assert pairing["same"] and pairing["parity"]["max_rel"] <= pairing["limit"] and pairing["parity"]["agreement"] == 1.0
    assert [pair["a"] for pair in pairing["layers"] if pair["kind"] in ("conv", "dense")] == ["conv1", "conv2", "dense1", "dense2"]
    assert all(pair["same"] for pair in pairing["layers"])
    assert [side["score"]["value"] > 0.85 for side in found["sides"]] == [True, True]
    assert "transposed to height, width, channels for net.keras" in " ".join(found["sides"][1]["notes"])
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
