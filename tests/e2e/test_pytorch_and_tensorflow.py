"""The example of one network in both frameworks: trained in one, carried to the other, held side by side by the command itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "pytorch_and_tensorflow"
ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))


def test_the_network_is_the_same_in_both_and_the_forgotten_flatten_order_is_named(tmp_path: Path) -> None:
    for script in ("in_pytorch.py", "carry.py"):
        subprocess.run([sys.executable, EXAMPLE / script, tmp_path], check=True, capture_output=True)
    command = [
        ROADWORTHY, "compare", "net.pt", "net.keras", "wrong.keras", "--arch", f"A={EXAMPLE / 'in_pytorch.py'}:Net", "--data", "digits.npz",
        "--samples", "100", "--only-parity", "--json", "-o", "page.html",
    ]  # fmt: skip
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr or run.stdout
    found = json.loads(run.stdout)
    right, wrong = found["pairings"]
    assert right["same"] and right["parity"]["max_rel"] <= right["limit"] and right["parity"]["agreement"] == 1.0
    assert [pair["a"] for pair in right["layers"] if pair["kind"] in ("conv", "dense")] == ["conv1", "conv2", "dense1", "dense2"]
    assert all(pair["same"] for pair in right["layers"])
    assert not wrong["same"] and wrong["first"].startswith("dense1 ")
    assert wrong["explanations"][0].startswith("flatten order: dense1 gets 32 channels of 2x2 in another order")
    assert found["sides"][0]["score"]["value"] > 0.85 > found["sides"][2]["score"]["value"]
    assert "transposed to height, width, channels for net.keras" in " ".join(found["sides"][1]["notes"])
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
