"""A really trained network from its checkpoint to answers over HTTP, as a user would do it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.servers.commands import roadworthy, served

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``digits.pt`` and ``images/`` as the example's training leaves them."""
    folder = tmp_path_factory.mktemp("digits")
    subprocess.run([sys.executable, DIGITS / "train.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def bundle(trained: Path, torch_server: str) -> Path:
    """The checkpoint deployed with a runtime that serves without a framework; the README's first program has all of them."""
    target = trained / "digits.bundle"
    options = ["--preprocess", DIGITS / "preprocess.toml", "--runtimes", "onnxruntime", "--name", "digits", "-o", target]
    arch = f"{DIGITS / 'net.py'}:DigitsNet"
    roadworthy("deploy", trained / "digits.pt", "--arch", arch, "--data", trained / "images", *options, steps=torch_server)
    return target


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[tuple[str, int]]:
    """The bundle served: its URL and process id."""
    with served(bundle, "digits") as found:
        yield found


def test_the_certificate_holds_the_evidence(bundle: Path) -> None:
    certificate = json.loads((bundle / "certificate.json").read_text())
    assert certificate["original"]["value"]["value"] > 0.95
    assert certificate["samples"]["kind"] == "labelled"
    assert certificate["samples"]["calibrated"] == 180
    verified = {entry["verified"]["candidate"]["plan"]["runtime"]: entry["verified"] for entry in certificate["measured"]}
    assert set(verified) == {"onnxruntime"}
    for entry in certificate["measured"]:
        parity, score = entry["verified"]["parity"], entry["verified"]["score"]
        exact = entry["verified"]["candidate"]["plan"]["precision"] == "fp32"
        assert parity["equivalent"] if exact else score["bound"] <= score["budget"]


def test_served_answers_are_those_of_predict_and_mostly_right(trained: Path, bundle: Path, server: tuple[str, int]) -> None:
    url, _ = server
    files = [sorted((trained / "images" / str(digit)).glob("*.png"))[0] for digit in range(10)]
    predicted = [answer["samples"][0][0]["label"] for answer in json.loads(roadworthy("predict", bundle, *files, "--json"))]
    served = []
    for file in files:
        response = httpx.post(f"{url}/v2/models/digits/infer", content=file.read_bytes(), headers={"Content-Type": "image/png"})
        outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
        served.append(outputs["label"][0])
    assert served == predicted
    assert sum(label == str(digit) for digit, label in enumerate(served)) >= 8


def test_the_serving_process_maps_no_torch_and_little_memory(server: tuple[str, int]) -> None:
    _, pid = server
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "libtorch" not in maps
    resident = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) < 200 * 1024
