"""The Open Inference Protocol over HTTP, in this process and without a socket: its paths, its forms, its refusals."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.core.version import __version__
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols.oip.inputs import OipInputs
from support.servers.asking import Ask, assert_refused, infer
from support.servers.serving import LABELS, binary_request, json_request

X = np.arange(24, dtype=np.float32).reshape(2, 12) / 24
A, B = np.array([[1, 2], [3, 4]], np.float32), np.array([-7, 2**40])


# Paths


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_says_what_it_is(ask: Ask, path: str) -> None:
    offered = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]
    assert ask("GET", path).json == {"name": "roadworthy", "version": __version__, "extensions": offered}


def test_health(ask: Ask) -> None:
    assert ask("GET", "/v2/health/live").json == {"live": True}
    assert ask("GET", "/v2/health/ready").json == {"ready": True}
    assert ask("GET", "/v2/models/picture/versions/7/ready").json == {"name": "picture", "ready": True}


def test_a_model_says_what_it_takes_and_gives(ask: Ask) -> None:
    answered = ask("GET", "/v2/models/many").json
    assert answered == ask("GET", "/v2/models/many/versions/1").json
    assert answered["name"] == "many" and answered["versions"] == ["1"]
    assert answered["inputs"] == [{"name": "a", "datatype": "FP32", "shape": [-1, 2]}, {"name": "b", "datatype": "INT64", "shape": [-1]}]
    assert [output["datatype"] for output in answered["outputs"]] == ["FP32", "BOOL", "FP16", "INT64"]


@pytest.mark.parametrize(
    "path",
    ["/v2/nope", "/v2/health", "/v2/models", "/v2/models/", "/v2/models/linear/nope", "/v2/models/linear/infer/x",
     "/v2/models//infer", "/v2/models/linear/versions", "/v2/models/linear/versions//infer", "/v2/repository",
     "/v2/repository/models/linear",
     "/v2/repository/models//load", "/v2/logging", "/v2/systemsharedmemory/status", "/v2/models/linear/trace/setting"],
)  # fmt: skip
def test_unknown_paths(ask: Ask, path: str) -> None:
    assert_refused(ask("GET", path), 404)


@pytest.mark.parametrize("path", ["/v2/models/none", "/v2/models/none/ready", "/v2/models/picture/versions/1"])
def test_unknown_models(ask: Ask, path: str) -> None:
    assert_refused(ask("GET", path), 404, "there is no model")
    assert_refused(ask("POST", f"{path.removesuffix('/ready')}/infer", {}), 404, "there is no model")


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/v2"),
        ("PUT", "/v2/health/live"),
        ("DELETE", "/v2/models/linear"),
        ("GET", "/v2/repository/index"),
        ("GET", "/v2/repository/models/linear/load"),
        ("POST", "/v2/models/stats"),
        ("POST", "/v2/models/linear/config"),
    ],
)
def test_wrong_verbs(ask: Ask, verb: str, path: str) -> None:
    assert_refused(ask(verb, path), 405)
    answered = ask("GET", "/v2/models/linear/infer")
    assert_refused(answered, 405)
    assert answered.headers["allow"] == "POST"


# Tensors


@pytest.mark.parametrize("nested", [False, True])
def test_json_inference(ask: Ask, nested: bool, null_bundle: Path) -> None:
    request = {"inputs": [{"name": "x", "shape": [2, 12], "datatype": "FP32", "data": X.tolist() if nested else X.ravel().tolist()}]}
    answered = infer(ask, "linear", request)
    assert answered.headers["content-type"] == "application/json"
    assert answered.json.keys() == {"model_name", "model_version", "outputs"}
    with LocalEngine(null_bundle) as model:
        assert np.array_equal(answered.outputs["y"], model(X).outputs["y"])


def test_the_id_comes_back_only_if_sent(ask: Ask) -> None:
    assert infer(ask, "linear", json_request({"x": X}, id="")).json["id"] == ""
    assert infer(ask, "linear", json_request({"x": X}, id="42")).json["id"] == "42"


def test_several_inputs_and_outputs_in_either_form(ask: Ask) -> None:
    asked = [{"name": name} for name in ("count", "flag", "sum")]
    want = {"count": B * 2, "flag": B > 0, "sum": A + B[:, None].astype(np.float32)}
    plain = infer(ask, "many", json_request({"a": A, "b": B}, outputs=asked))
    mixed = binary_request({"a": A, "b": B}, outputs=[{"name": "count", "parameters": {"binary_data": True}}, *asked[1:]])
    for answered in (plain, infer(ask, "many", *mixed)):
        assert list(answered.outputs) == ["count", "flag", "sum"]
        assert all(np.array_equal(answered.outputs[name], want[name]) for name in want)
    assert "inference-header-content-length" not in plain.headers


def test_all_in_binary(ask: Ask) -> None:
    answered = infer(ask, "many", *binary_request({"b": B, "a": A}, parameters={"binary_data_output": True}))
    assert answered.headers["content-type"] == "application/octet-stream"
    assert np.array_equal(answered.outputs["half"], A.astype(np.float16))
    assert list(answered.outputs) == ["sum", "flag", "half", "count"]


def test_an_output_may_differ_from_the_requests_default(ask: Ask) -> None:
    own = [{"name": "count", "parameters": {"binary_data": False}}, {"name": "flag"}]
    body, headers = binary_request({"a": A, "b": B}, outputs=own, parameters={"binary_data_output": True})
    answered = infer(ask, "many", body, headers)
    count, flag = json.loads(answered.body[: int(answered.headers["inference-header-content-length"])])["outputs"]
    assert "data" in count and "data" not in flag


def test_json_and_binary_inputs_mixed(ask: Ask) -> None:
    body, headers = binary_request({"b": B})
    size = int(headers["Inference-Header-Content-Length"])
    request = json.loads(body[:size])
    request["inputs"].insert(0, {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": A.ravel().tolist()})
    request["outputs"] = [{"name": "sum"}]
    head = json.dumps(request).encode()
    answered = infer(ask, "many", head + body[size:], {"Inference-Header-Content-Length": str(len(head))})
    assert np.array_equal(answered.outputs["sum"], A + B[:, None].astype(np.float32))


def test_a_raw_binary_request(ask: Ask) -> None:
    want = infer(ask, "linear", json_request({"x": X})).outputs["y"]
    answered = infer(ask, "linear", X.tobytes(), {"Inference-Header-Content-Length": "0"})
    assert answered.headers["content-type"] == "application/octet-stream"
    assert np.array_equal(answered.outputs["y"], want)
    for body, model in ((X.tobytes()[:-1], "linear"), (b"", "linear"), (bytes(8), "many")):
        assert_refused(infer(ask, model, body, {"Inference-Header-Content-Length": "0"}), says="raw binary request")


def test_outputs_that_are_not_finite(ask: Ask) -> None:
    x = {"x": np.array([[-1, 0]], np.float32)}
    assert infer(ask, "echo", json_request(x)).json["outputs"][0]["data"] == [None, None]
    exact = infer(ask, "echo", *binary_request(x, parameters={"binary_data_output": True})).outputs["y"]
    assert np.isnan(exact[0, 0]) and np.isposinf(exact[0, 1])


def test_fp16_has_no_json_form(ask: Ask) -> None:
    assert_refused(infer(ask, "many", json_request({"a": A, "b": B})), says="output 'half' is FP16")


def test_a_failing_model_is_a_500_of_one_sentence_and_no_more(ask: Ask) -> None:
    answered = infer(ask, "echo", json_request({"x": np.array([[13, 0]], np.float32)}))
    assert_refused(answered, 500, "echo failed on this request (RuntimeError)")
    assert "thirteen" not in answered.json["error"]
    assert infer(ask, "echo", json_request({"x": np.zeros((1, 2), np.float32)})).status == 200


def test_a_long_body_comes_as_a_bytearray(ask: Ask, png: bytes, files_bundle: Path) -> None:
    kinds = {"files": (WAV, {"Inference-Header-Content-Length": "0"}), "picture": (png, {"Content-Type": "image/png"})}
    for model, (body, headers) in {"linear": binary_request({"x": X}), **kinds}.items():
        long, short = infer(ask, model, bytearray(body), headers), infer(ask, model, body, headers)
        assert long.status == 200 and long.body == short.body
    with LocalEngine(files_bundle) as model:
        inputs = OipInputs(model)
        inputs.add_file(bytearray(WAV))
        assert [type(element) for element in inputs.feeds["file"]] == [bytes]
    deep = bytearray(json.dumps(json_request({"x": X}, outputs=[]), indent=1).encode() + b" " * 100)
    assert infer(ask, "linear", deep).status == 200


# Images


def test_an_image_in_every_way_it_may_come(ask: Ask, png: bytes, pixels: np.ndarray, picture_bundle: Path) -> None:
    with LocalEngine(picture_bundle) as model:
        want = model(pixels)
    text = base64.b64encode(png).decode()
    item = {"name": "image", "shape": [1], "datatype": "BYTES"}
    head = json.dumps({"inputs": [{**item, "parameters": {"binary_data_size": len(png) + 4}}]}).encode()
    for answered in (
        infer(ask, "picture", png, {"Content-Type": "image/png"}),
        infer(ask, "picture", {"inputs": [{**item, "data": [text]}]}),
        infer(ask, "picture", {"inputs": [{**item, "shape": [1, 1], "data": [[text]]}]}),
        infer(ask, "picture", head + len(png).to_bytes(4, "little") + png, {"Inference-Header-Content-Length": str(len(head))}),
    ):
        assert list(answered.outputs) == ["logits", "label", "probability"]
        assert np.array_equal(answered.outputs["logits"], want.outputs["logits"])
        assert answered.outputs["label"] == [ranked.label for ranked in want.ranked[0]]
        assert np.allclose(answered.outputs["probability"], [[ranked.score for ranked in want.ranked[0]]])
        assert answered.json["outputs"][1]["shape"] == [1, 2]


def test_a_batch_of_images(ask: Ask, png: bytes) -> None:
    texts = [base64.b64encode(png).decode()] * 3
    answered = infer(ask, "picture", {"inputs": [{"name": "image", "shape": [3], "datatype": "BYTES", "data": texts}]})
    assert answered.outputs["logits"].shape == (3, 4) and len(answered.outputs["label"]) == 6


def test_the_top_classes_are_given_to_who_asks(ask: Ask) -> None:
    asked = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probability"}]
    x = {"image": np.ones((2, 3, 8, 8), np.float32)}
    answered = infer(ask, "picture", *binary_request(x, outputs=asked))
    assert list(answered.outputs) == ["label", "probability"]
    assert set(answered.outputs["label"]) <= set(LABELS)
    assert "label" not in infer(ask, "picture", json_request(x)).outputs


@pytest.mark.parametrize("body", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_bodies_that_are_no_image(ask: Ask, body: bytes) -> None:
    assert_refused(infer(ask, "picture", body, {"Content-Type": "image/png"}))


def test_an_image_for_a_model_that_sees_none(ask: Ask, png: bytes) -> None:
    assert_refused(infer(ask, "linear", png, {"Content-Type": "image/png"}), says="it takes x:float32[batch,12]")
    request = {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(png).decode()]}]}
    assert_refused(infer(ask, "linear", request), says="is BYTES")


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([1], ["not base64!"]),
        ([1], [3]),
        ([1], ["grün"]),
        ([2], ["aGk="]),
        ([0], []),
        ([], ["aGk="]),
        ([1, 2], ["aGk=", "aGk="]),
        ([1], None),
    ],
)
def test_images_in_json_that_are_none(ask: Ask, shape: list[int], data: object) -> None:
    assert_refused(infer(ask, "picture", {"inputs": [{"name": "image", "shape": shape, "datatype": "BYTES", "data": data}]}))


# Byte strings and quantised tensors

WAV = b"RIFF\x24\0\0\0WAVE\xff\0"


@pytest.mark.parametrize("kind", ["application/octet-stream", "audio/wav", "image/png", "video/mp4"])
def test_a_file_as_the_whole_body(ask: Ask, kind: str) -> None:
    answered = infer(ask, "files", {"inputs": [], "id": "no JSON is read here"}, {"Content-Type": kind})
    assert answered.outputs["same"] == ['{"inputs": [], "id": "no JSON is read here"}']
    assert answered.outputs["label"] == ["first", "length"] and answered.outputs["score"].tolist() == [[ord("{"), 44]]


def test_byte_strings_in_binary_and_text_in_json(ask: Ask) -> None:
    body = b"".join(len(one).to_bytes(4, "little") + one for one in (WAV, b"", "grün".encode()))
    wanted = {"outputs": [{"name": "same", "parameters": {"binary_data": True}}]}
    item = {"name": "file", "shape": [3], "datatype": "BYTES"}
    head = json.dumps({"inputs": [{**item, "parameters": {"binary_data_size": len(body)}}], **wanted}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    answered = infer(ask, "files", head + body, headers)
    assert answered.status == 200 and answered.body.endswith(body)
    assert infer(ask, "files", {"inputs": [{**item, "shape": [2], "data": ["grün", "x"]}]}).outputs["same"] == ["grün", "x"]


def test_a_raw_binary_request_is_one_byte_string(ask: Ask) -> None:
    answered = infer(ask, "files", WAV, {"Inference-Header-Content-Length": "0"})
    assert answered.status == 200 and answered.body.endswith(len(WAV).to_bytes(4, "little") + WAV)


def test_bytes_that_are_no_text_have_no_json_form(ask: Ask) -> None:
    assert_refused(infer(ask, "files", WAV, {"Content-Type": "audio/wav"}), says="ask for it with binary_data")


@pytest.mark.parametrize(
    ("shape", "data", "says"),
    [
        ([1], [3], "text in JSON, but its data holds whole numbers"),
        ([1], [{"b64": "aGk="}], "holds objects"),
        ([2], ["a"], "2 elements"),
        ([0], [], "shape [0]"),
        ([1, 1], ["a"], "shape [1, 1]"),
        ([0, 2**62], [], "'file'"),
        ([1], None, "needs data"),
    ],
)
def test_byte_strings_in_json_that_are_none(ask: Ask, shape: list[int], data: object, says: str) -> None:
    assert_refused(infer(ask, "files", {"inputs": [{"name": "file", "shape": shape, "datatype": "BYTES", "data": data}]}), says=says)


def test_a_file_that_the_model_cannot_read_is_the_clients_fault(ask: Ask) -> None:
    assert_refused(infer(ask, "files", b"unreadable", {"Content-Type": "audio/wav"}), says="not a file that it knows")


def test_a_file_for_a_model_that_takes_numbers(ask: Ask) -> None:
    assert_refused(infer(ask, "linear", WAV, {"Content-Type": "audio/wav"}), says="not JSON")


def test_metadata_of_byte_strings_and_quantised_tensors(ask: Ask) -> None:
    assert ask("GET", "/v2/models/files").json["inputs"] == [{"name": "file", "datatype": "BYTES", "shape": [-1]}]
    quantised = ask("GET", "/v2/models/quantised").json
    assert quantised["inputs"] == [{"name": "x", "datatype": "UINT8", "shape": [-1, 2], "parameters": {"scale": 0.25, "zero_point": 0}}]
    assert quantised["outputs"][0]["parameters"] == {"scale": 0.125, "zero_point": 128}


def test_a_quantised_answer_goes_as_it_is_and_is_ranked_by_what_it_stands_for(ask: Ask) -> None:
    item = {"name": "x", "datatype": "UINT8", "shape": [1, 2], "data": [130, 0]}
    outputs = infer(ask, "quantised", {"inputs": [item], "outputs": [{"name": "y"}, {"name": "probability"}]}).json["outputs"]
    assert [output["data"] for output in outputs] == [[130, 0], [0.25, -16.0]]


# Refusals

GOOD = json_request({"x": X})


def with_input(**changes: object) -> dict[str, Any]:
    return {"inputs": [{**GOOD["inputs"][0], **changes}]}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'{"inputs": [NaN]}', "is not JSON"),
        (b"[" * 5000, "deeper than 32"),
        (with_input(data=json.loads("[" * 30 + "1" + "]" * 30)), "deeper than 32"),
        ([], "JSON object"),
        ({}, "list of inputs"),
        ({"inputs": {}}, "list of inputs"),
        ({"inputs": []}, "no inputs"),
        ({"inputs": [1]}, "a JSON object with a name"),
        ({"inputs": [{"name": 1}]}, "a JSON object with a name"),
        (with_input(name="z"), "'x' is missing"),
        (with_input(datatype="FP64"), "float64"),
        (with_input(datatype="INT3"), "datatype 'INT3'"),
        (with_input(shape=[24]), "shape [24]"),
        (with_input(shape=[2, 13]), "26 elements"),
        (with_input(shape=[0, 12], data=[]), "shape [0, 12]"),
        (with_input(shape=[0, 2**62], data=[]), "elements"),
        (with_input(parameters=[]), "parameters"),
        (with_input(parameters={"binary_data_size": 4}), "0 bytes are left"),
        (with_input(parameters={"binary_data_size": 0}), "both data and"),
        ({**GOOD, "inputs": GOOD["inputs"] * 2}, "twice"),
        ({**GOOD, "id": 3}, "id should be text"),
        ({**GOOD, "parameters": 3}, "parameters"),
        ({**GOOD, "parameters": {"binary_data_output": 1}}, "true or false"),
        ({**GOOD, "outputs": {}}, "outputs should be a list"),
        ({**GOOD, "outputs": [{"name": "z"}]}, "there is no output 'z'"),
        ({**GOOD, "outputs": [{"name": "y", "parameters": {"shared_memory_region": "here"}}]}, "not offered"),
        ({**GOOD, "outputs": [{"name": "y", "parameters": {"classification": -1}}]}, "classification should be a whole number"),
        ({**GOOD, "outputs": [{"name": "y", "parameters": {"classification": True}}]}, "classification should be a whole number"),
        ({**GOOD, "outputs": [{"name": "label", "parameters": {"classification": 1}}]}, "no numbers to rank"),
        ({**GOOD, "parameters": {"timeout": -1}}, "timeout should be a whole number"),
        ({**GOOD, "parameters": {"timeout": 0.5}}, "timeout should be a whole number"),
        ({**GOOD, "outputs": [{"name": "y", "parameters": {"binary_data": "yes"}}]}, "true or false"),
    ],
)
def test_requests_that_are_none(ask: Ask, body: object, says: str) -> None:
    assert_refused(infer(ask, "linear", body), says=says)


@pytest.mark.parametrize("length", ["-1", "x", "", "1e3", "99999", "9" * 5000, "١"])
def test_header_lengths_that_are_none(ask: Ask, length: str) -> None:
    assert_refused(infer(ask, "linear", b"{}", {"Inference-Header-Content-Length": length}), says="Inference-Header-Content-Length")


def test_binary_data_too_long_and_too_short(ask: Ask) -> None:
    body, headers = binary_request({"x": X})
    assert_refused(infer(ask, "linear", body + b"\0", headers), says="goes on for 1 bytes")
    assert_refused(infer(ask, "linear", body[:-1], headers), says="95 bytes are left")
