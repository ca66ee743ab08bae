"""A deployment of an ONNX file with names and types as they come: spelled on the command line, found in data, kept on the wire."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

import roadworthy as rw
from roadworthy.build import deploy, sources
from roadworthy.build.job import Job
from roadworthy.bundle import store
from roadworthy.core.types import BATCH, BYTES, Array, TensorSpec
from support.files.onnx_files import node, written
from support.servers.serving import Server

pytestmark = pytest.mark.slow

IMAGE, COUNT, TEXT = "input_1:0", "0", "serving default/kind.é"
SAMPLES = 24
KINDS = ["red", "blå", "red", "none"]


def model(folder: Path) -> Path:
    return written(
        folder / "odd.onnx",
        [
            node("GlobalAveragePool", IMAGE, "pooled"), node("Flatten", "pooled", "Identity:0"),
            node("Cast", COUNT, "wide", to=TensorProto.INT64), node("Mul", "wide two", "1"),
        ],
        [(IMAGE, TensorProto.FLOAT, ["n", 3, "h", None]), (COUNT, TensorProto.UINT16, ["n"]), (TEXT, TensorProto.STRING, [None, 1])],
        [("Identity:0", TensorProto.FLOAT, ["n", 3]), ("1", TensorProto.INT64, ["n"]), ("label 1", TensorProto.STRING, None)],
        {"two": np.array(2)},
        domains=("ai.onnx.ml:2",),
    )  # fmt: skip


def test_names_and_types_as_they_come(tmp_path: Path, warm_steps: None) -> None:
    path = model(tmp_path)
    import onnx

    made = onnx.load(path)
    label = node("LabelEncoder", "kind", "label 1", domain="ai.onnx.ml", keys_strings=["red", "blå"], values_strings=["RØD", "BLÅ"],
                 default_string="?")  # fmt: skip
    label.input[0] = TEXT
    made.graph.node.append(label)
    onnx.save(made, path)
    generator = np.random.default_rng(0)
    images: Array = generator.standard_normal((SAMPLES, 3, 5, 4)).astype(np.float32)
    counts = generator.integers(0, 65536, SAMPLES, np.uint16)
    kinds = np.array([[KINDS[row % 4]] for row in range(SAMPLES)])
    np.savez(tmp_path / "data.npz", **{IMAGE: images, COUNT: counts, TEXT: kinds})
    inputs, _ = sources.parse_inputs(
        (f"{IMAGE}:float32[batch,3,5,4]", f"{COUNT}:uint16[batch]", f"{TEXT}:string[batch,1]"),
    )
    job = Job(
        path, tmp_path / "b", data=str(tmp_path / "data.npz"), inputs=inputs, runtimes=("onnxruntime", "openvino"), precisions=("fp32",)
    )
    certificate = deploy.deploy(job).certificate
    assert any("LabelEncoder" in rejected.reason for rejected in certificate.rejected)
    signature = store.read(job.output).signature
    assert signature.inputs == (
        TensorSpec(IMAGE, "float32", (BATCH, 3, 5, 4)), TensorSpec(COUNT, "uint16", (BATCH,)), TensorSpec(TEXT, BYTES, (BATCH, 1)),
    )  # fmt: skip
    assert [(spec.name, spec.dtype) for spec in signature.outputs] == [("Identity:0", "float32"), ("1", "int64"), ("label 1", BYTES)]
    texts = np.array([[b"bl\xc3\xa5"], [b"else"]], BYTES)
    with rw.load(job.output) as loaded:
        answer = loaded({IMAGE: images[:2], COUNT: counts[:2], TEXT: texts}).outputs
    assert np.allclose(answer["Identity:0"], images[:2].mean((2, 3)), atol=1e-5)
    assert answer["1"].tolist() == (2 * counts[:2].astype(int)).tolist()
    assert answer["label 1"].ravel().tolist() == ["BLÅ".encode(), b"?"]
    served = Server(job.output, workers=1)
    try:
        with served.client() as client:
            triton = client.post("/v2/models/odd/infer", json={"inputs": [
                {"name": IMAGE, "datatype": "FP32", "shape": [2, 3, 5, 4], "data": images[:2].ravel().tolist()},
                {"name": COUNT, "datatype": "UINT16", "shape": [2], "data": counts[:2].tolist()},
                {"name": TEXT, "datatype": "BYTES", "shape": [2, 1], "data": ["blå", "else"]},
            ]}).json()  # fmt: skip
            found = {output["name"]: output["data"] for output in triton["outputs"]}
            assert found["label 1"] == ["BLÅ", "?"] and found["1"] == answer["1"].tolist()
            columns = {"inputs": {IMAGE: images[:2].tolist(), COUNT: counts[:2].tolist(), TEXT: [["blå"], ["else"]]}}
            serving = client.post("/v1/models/odd:predict", json=columns).json()
            assert serving["outputs"]["1"] == answer["1"].tolist() and set(serving["outputs"]) == {"Identity:0", "1", "label 1"}
            missing = client.post("/v1/models/odd:predict", json={"inputs": {COUNT: [1], TEXT: [["red"]]}})
            assert missing.status_code == 400 and IMAGE in missing.json()["error"]
    finally:
        served.kill()
