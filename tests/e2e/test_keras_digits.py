"""A really trained Keras network from its ``.keras`` file to answers over HTTP, as a user would do it."""

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

DIGITS = Path(__file__).parents[2] / "examples" / "keras_digits"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``digits.keras`` and ``images/`` as the example's training leaves them."""
    folder = tmp_path_factory.mktemp("keras_digits")
    subprocess.run([sys.executable, DIGITS / "train.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def bundle(trained: Path, tensorflow_server: str) -> Path:
    """The model deployed for two runtimes that serve without a framework."""
    target = trained / "digits.bundle"
    options = ["--preprocess", DIGITS / "preprocess.toml", "--runtimes", "litert,onnxruntime", "--precisions", "fp32", "--samples", "300"]
    roadworthy("deploy", trained / "digits.keras", "--data", trained / "images", *options, "-o", target, steps=tensorflow_server)
    return target


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[tuple[str, int]]:
    """The bundle served: its URL and process id."""
    with served(bundle, "digits") as found:
        yield found


def test_the_certificate_holds_the_evidence(bundle: Path) -> None:
    certificate = json.loads((bundle / "certificate.json").read_text())
    assert certificate["original"]["value"]["value"] > 0.93
    assert certificate["samples"]["kind"] == "labelled"
    verified = [entry["verified"] for entry in certificate["measured"]]
    assert {entry["candidate"]["plan"]["runtime"] for entry in verified} == {"litert", "onnxruntime"}
    assert all(entry["parity"]["equivalent"] for entry in verified)


def test_the_model_keeps_its_names_and_its_layout(server: tuple[str, int]) -> None:
    metadata = httpx.get(f"{server[0]}/v2/models/digits").json()
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 8, 8, 1]}]
    assert metadata["outputs"] == [{"name": "digit", "datatype": "FP32", "shape": [-1, 10]}]


def test_served_answers_are_those_of_predict_mostly_right_and_probabilities(trained: Path, bundle: Path, server: tuple[str, int]) -> None:
    files = [sorted((trained / "images" / str(digit)).glob("*.png"))[0] for digit in range(10)]
    predicted = [answer["samples"][0][0] for answer in json.loads(roadworthy("predict", bundle, *files, "--json"))]
    certain = []
    for digit, file in enumerate(files):
        response = httpx.post(f"{server[0]}/v2/models/digits/infer", content=file.read_bytes(), headers={"Content-Type": "image/png"})
        outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
        assert outputs["label"][0] == predicted[digit]["label"]
        assert outputs["probability"][0] == pytest.approx(max(outputs["digit"])), "the network's own softmax is not the answer"
        certain.append(outputs["label"][0] == str(digit) and outputs["probability"][0] > 0.5)
    assert sum(certain) >= 8


def test_the_serving_process_maps_no_tensorflow_and_little_memory(server: tuple[str, int]) -> None:
    maps = Path(f"/proc/{server[1]}/maps").read_text()
    assert "libtensorflow" not in maps and "tensorflow/python" not in maps
    resident = next(line for line in Path(f"/proc/{server[1]}/status").read_text().splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) < 200 * 1024
