"""A text and a sound by every protocol, in the way its clients send them, against a real server; and what is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from roadworthy.serving.engine.local import LocalEngine, Prediction
from roadworthy.serving.protocols.proto import inference
from roadworthy.serving.protocols.proto import tensorflow_serving as tfs
from roadworthy.serving.protocols.proto import torchserve_inference as torchserve
from support.files import wav_files
from support.models import item_bundles
from support.servers.serving import Server, outputs_of
from support.waiting import HANG_SECONDS

TEXT = "A good film, naïve 🙂"
SOUND = wav_files.wav(wav_files.tone(12))
ITEMS: dict[str, bytes] = {"texts": TEXT.encode(), "sounds": SOUND}
NAMES = {"texts": ("input_ids", "text"), "sounds": ("x", "audio")}
MEDIA = {"texts": "text/plain; charset=utf-8", "sounds": "audio/wav"}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("items")
    return {"texts": item_bundles.write_text(folder / "texts"), "sounds": item_bundles.write_audio(folder / "sounds")}


@pytest.fixture(scope="module")
def wanted(stored: dict[str, Path]) -> dict[str, Prediction]:
    """The answers in Python."""
    found = {}
    for name, path in stored.items():
        with LocalEngine(path) as model:
            found[name] = model([ITEMS[name]])
    return found


@pytest.fixture(scope="module")
def server(stored: dict[str, Path]) -> Iterator[Server]:
    running = Server(*stored.values(), grpc_port=0)
    running.wait_ready()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_address) as made:
        yield made


def in_json(name: str) -> str:
    return TEXT if name == "texts" else base64.b64encode(SOUND).decode()


def call(channel: grpc.Channel, method: str, request: Any, answer: Any) -> Any:
    asked = channel.unary_unary(method, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString)
    return asked(request, timeout=HANG_SECONDS)


@pytest.mark.parametrize("name", ["texts", "sounds"])
def test_open_inference_over_http(client: httpx.Client, wanted: dict[str, Prediction], name: str) -> None:
    want = wanted[name].outputs["y"]
    path, labels = f"/v2/models/{name}/infer", [one.label for one in wanted[name].ranked[0]]
    whole = client.post(path, content=ITEMS[name], headers={"Content-Type": MEDIA[name]})
    assert whole.status_code == 200, whole.text
    found = outputs_of(whole.content, whole.headers)
    np.testing.assert_allclose(found["y"], want, rtol=1e-5)
    assert found["label"] == labels
    for called in NAMES[name]:
        sent = {"inputs": [{"name": called, "datatype": "BYTES", "shape": [2], "data": [in_json(name)] * 2}]}
        answer = client.post(path, json=sent)
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(outputs_of(answer.content, answer.headers)["y"], np.repeat(want, 2, axis=0), rtol=1e-5)
        body = len(ITEMS[name]).to_bytes(4, "little") + ITEMS[name]
        head = json.dumps(
            {"inputs": [{"name": called, "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(body)}}]}
        ).encode()
        answer = client.post(path, content=head + body, headers={"Inference-Header-Content-Length": str(len(head))})
        np.testing.assert_allclose(outputs_of(answer.content, answer.headers)["y"], want, rtol=1e-5)
    properties = client.get(f"/v2/models/{name}").json()["properties"]
    assert properties["items"] == NAMES[name][1] and properties["item_names"] == ", ".join(NAMES[name]) and properties["item_steps"]


@pytest.mark.parametrize("name", ["texts", "sounds"])
def test_open_inference_over_grpc(channel: grpc.Channel, wanted: dict[str, Prediction], name: str) -> None:
    for called in NAMES[name]:
        for raw in (False, True):
            request = inference.ModelInferRequest(model_name=name)
            tensor = request.inputs.add(name=called, datatype="BYTES", shape=[1])
            if raw:
                request.raw_input_contents.append(len(ITEMS[name]).to_bytes(4, "little") + ITEMS[name])
            else:
                tensor.contents.bytes_contents.append(ITEMS[name])
            answer = call(channel, "/inference.GRPCInferenceService/ModelInfer", request, inference.ModelInferResponse)
            place = [output.name for output in answer.outputs].index("y")
            np.testing.assert_allclose(np.frombuffer(answer.raw_output_contents[place], "<f4"), wanted[name].outputs["y"][0], rtol=1e-5)


@pytest.mark.parametrize("name", ["texts", "sounds"])
def test_tensorflow_serving(client: httpx.Client, channel: grpc.Channel, wanted: dict[str, Prediction], name: str) -> None:
    want = wanted[name].outputs["y"]
    encoded = {"b64": base64.b64encode(ITEMS[name]).decode()}
    called = NAMES[name][1]
    rows: list[Any] = [[encoded], [{called: encoded}], *([[TEXT], [{called: TEXT}]] if name == "texts" else [])]
    for instances in rows:
        answer = client.post(f"/v1/models/{name}:predict", json={"instances": instances, "signature_name": called})
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(answer.json()["predictions"], want, rtol=1e-5)
    for columns in ({called: [encoded, encoded]}, [encoded] * 2):
        answer = client.post(f"/v1/models/{name}:predict", json={"inputs": columns})
        np.testing.assert_allclose(answer.json()["outputs"], np.repeat(want, 2, axis=0), rtol=1e-5)
    answer = client.post(f"/v1/models/{name}:classify", json={"examples": [{called: encoded}]})
    assert [label for label, _ in answer.json()["results"][0]] == [one.label for one in wanted[name].ranked[0]]
    signatures = client.get(f"/v1/models/{name}/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", called} and signatures[called]["inputs"][called]["dtype"] == "DT_STRING"
    request = tfs.PredictRequest(model_spec={"name": name, "signature_name": called})
    request.inputs[called].dtype = 7
    request.inputs[called].tensor_shape.dim.add(size=1)
    request.inputs[called].string_val.append(ITEMS[name])
    found = call(channel, "/tensorflow.serving.PredictionService/Predict", request, tfs.PredictResponse)
    np.testing.assert_allclose(np.array(_floats(found.outputs["y"])), want[0], rtol=1e-5)


def _floats(tensor: Any) -> Any:
    return np.frombuffer(tensor.tensor_content, "<f4") if tensor.tensor_content else list(tensor.float_val)


@pytest.mark.parametrize("name", ["texts", "sounds"])
def test_torchserve(client: httpx.Client, channel: grpc.Channel, wanted: dict[str, Prediction], name: str) -> None:
    want = pytest.approx({one.label: one.score for one in wanted[name].ranked[0]}, rel=1e-4)
    path, item = f"/predictions/{name}", ITEMS[name]
    answers = [
        client.put(path, content=item),
        client.post(path, content=item, headers={"Content-Type": MEDIA[name]}),
        client.post(path, files={"data": ("item", item)}),
        client.post(path, files={"body": ("item", item, MEDIA[name])}),
        client.post(path, json={"data": in_json(name)}),
        client.post(path, json={"b64": base64.b64encode(item).decode()}),
        client.post(path, json=in_json(name)),
    ]
    if name == "texts":
        answers += [client.post(path, data={"data": TEXT}), client.post(path, json={"text": TEXT})]
    for number, answer in enumerate(answers):
        assert (answer.status_code, answer.json()) == (200, want), (number, answer.text)
    several = client.post(path, json={"instances": [in_json(name)] * 2})
    assert several.json() == {"predictions": [want, want]}
    request = torchserve.PredictionsRequest(model_name=name)
    request.input["data"] = item
    answer = call(channel, "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions", request, torchserve.PredictionResponse)
    assert json.loads(answer.prediction) == want


def test_what_a_client_may_not_send(client: httpx.Client) -> None:
    def post(name: str, content: bytes) -> httpx.Response:
        return client.post(f"/v2/models/{name}/infer", content=content, headers={"Content-Type": MEDIA[name]})

    for name, content, status, says in (
        ("texts", b"\xff\xfe", 400, "text 0 is not UTF-8 text"), ("texts", b"x" * 100_001, 413, "more than the limit of 100,000"),
        ("sounds", b"RIFFnothing", 400, "sound 0 is not a wav file"), ("sounds", SOUND[:-1], 400, "cut off"),
        ("sounds", wav_files.wav(np.zeros((12, 2), np.int16)), 400, "2 channels"),
        ("sounds", wav_files.wav(np.zeros(1000, np.int16), rate=1), 413, "more than the limit"),
    ):  # fmt: skip
        answer = post(name, content)
        assert answer.status_code == status and says in answer.json()["error"], answer.text
    for name, sent in (("texts", [5]), ("sounds", ["not base64!"]), ("sounds", [None])):
        body = {"inputs": [{"name": NAMES[name][1], "datatype": "BYTES", "shape": [1], "data": sent}]}
        answer = client.post(f"/v2/models/{name}/infer", json=body)
        assert answer.status_code == 400 and "should be" in answer.json()["error"]
    wrong = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2, 1], "data": ["a", "b"]}, {"name": "x"}]}
    assert client.post("/v2/models/texts/infer", json=wrong).status_code == 400
    for row in ([{"text": "a"}, 5], [{"text": 5}], ["a", None]):
        assert client.post("/v1/models/texts:predict", json={"instances": row}).status_code == 400


def test_the_page_knows_what_a_model_takes(client: httpx.Client) -> None:
    takes = {model["name"]: model["takes"] for model in client.get("/page/status").json()["models"]}
    assert {name: found["kind"] for name, found in takes.items()} == {"texts": "text", "sounds": "audio"}
    assert takes["texts"]["name"] == "input_ids" and "tokenized by tokenizer.json" in takes["texts"]["steps"][0]
