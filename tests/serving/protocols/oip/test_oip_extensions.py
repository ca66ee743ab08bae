"""Triton's extensions of the Open Inference Protocol: classification, the model repository, configuration, statistics, a request's time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.serving.engine.counters import Counters, Executed, Span
from roadworthy.serving.protocols.oip import model_info as models
from roadworthy.serving.protocols.oip import repository
from roadworthy.serving.protocols.oip.outputs import classified
from roadworthy.serving.registry.catalogue import Catalogue, Served, Version
from roadworthy.serving.registry.commands import AnyCommand, Load, Unload
from support.models import bundles
from support.servers.asking import Ask, asking, assert_refused, infer
from support.servers.serving import LABELS, binary_request, json_request

X = np.array([[1, 0], [3, 0], [2, 0]], np.float32)


def want(name: str, classes: int, **more: object) -> dict[str, object]:
    return {"outputs": [{"name": name, "parameters": {"classification": classes, **more}}]}


# Classification


def test_the_top_classes_of_an_output_by_its_own_values(ask: Ask) -> None:
    x = {"image": np.random.default_rng(1).random((3, 3, 8, 8)).astype(np.float32)}
    logits = infer(ask, "picture", json_request(x)).outputs["logits"]
    answered = infer(ask, "picture", json_request(x, **want("logits", 3)))
    (output,) = answered.json["outputs"]
    assert output["datatype"] == "BYTES" and output["shape"] == [3, 3]
    for row, texts in zip(logits, np.reshape(output["data"], (3, 3)), strict=True):
        parts = [text.split(":") for text in texts]
        order = np.argsort(-row, kind="stable")[:3]
        assert [int(index) for _, index, _ in parts] == order.tolist()
        assert [np.float32(value) for value, _, _ in parts] == row[order].tolist()
        assert [label for _, _, label in parts] == [LABELS[index] for index in order]


def test_classes_in_binary_beside_the_output_itself(ask: Ask) -> None:
    body, headers = binary_request({"x": X}, outputs=[{"name": "y", "parameters": {"classification": 9, "binary_data": True}}])
    answered = infer(ask, "echo", body, headers)
    assert answered.json_head["outputs"][0]["shape"] == [3, 2]
    assert answered.outputs["y"] == ["1.0:0", "0.0:1", "3.0:0", "0.0:1", "2.0:0", "0.0:1"]


@pytest.mark.parametrize(
    ("output", "texts"),
    [
        (np.array([[0, 255]], np.uint8), ["255:1", "0:0"]),
        (np.array([[-128, 127]], np.int8), ["127:1", "-128:0"]),
        (np.array([[2**63 - 1, -(2**63)]]), [f"{2**63 - 1}:0", f"{-(2**63)}:1"]),
        (np.array([[1e-9, 1e-9, 0.1]], np.float32), ["0.1:2", "0.000000001:0"]),
        (np.array([[np.nan, -np.inf, 0.5]], np.float16), ["0.5:2", "-inf:1"]),
        (np.zeros((0, 4), np.float32), []),
        (np.zeros((1, 0), np.float32), []),
    ],
)
def test_values_are_exact_and_equal_ones_go_by_index(output: np.ndarray, texts: list[str]) -> None:
    assert classified(output, 2, (), batched=True).ravel().tolist() == texts


def test_an_output_without_samples_has_one_row_of_classes() -> None:
    assert classified(np.array([[1, 2], [4, 3]]), 3, ("a", "b", "c"), batched=False).tolist() == ["4:2:c", "3:3", "2:1:b"]
    assert classified(np.array([[1, 2], [4, 3]])[None], 3, (), batched=True).shape == (1, 3)


@pytest.mark.parametrize(("model", "output"), [("many", "flag"), ("files", "same"), ("picture", "label")])
def test_outputs_that_have_no_classes(ask: Ask, model: str, output: str, png: bytes) -> None:
    inputs = {
        "many": json_request({"a": np.ones((1, 2), np.float32), "b": np.array([1])}),
        "files": {"inputs": [{"name": "file", "datatype": "BYTES", "shape": [1], "data": ["a"]}]},
        "picture": json_request({"image": np.zeros((1, 3, 8, 8), np.float32)}),
    }
    assert_refused(infer(ask, model, {**inputs[model], **want(output, 1)}), says=f"output '{output}' holds no numbers")


# Statistics


def test_statistics_count_what_was_asked(ask: Ask) -> None:
    def stats() -> dict[str, object]:
        (found,) = ask("GET", "/v2/models/echo/stats").json["model_stats"]
        return found

    before = stats()
    infer(ask, "echo", json_request({"x": X}))
    infer(ask, "echo", json_request({"x": np.array([[13, 0]], np.float32)}))
    after = stats()
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["execution_count"] - before["execution_count"] == 2
    for outcome in ("success", "fail"):
        gained = after["inference_stats"][outcome]["count"] - before["inference_stats"][outcome]["count"]
        assert gained == 1 and after["inference_stats"][outcome]["ns"] > 0
    assert after["last_inference"] > 1.6e12
    assert 3 in [batch["batch_size"] for batch in after["batch_stats"]]


def test_the_three_paths_of_statistics(ask: Ask) -> None:
    every = ask("GET", "/v2/models/stats").json["model_stats"]
    assert [found["name"] for found in every] == ["echo", "files", "linear", "many", "picture", "quantised"]
    assert ask("GET", "/v2/models/picture/stats").json == ask("GET", "/v2/models/picture/versions/7/stats").json
    assert ask("GET", "/v2/models/picture/stats").json["model_stats"][0]["version"] == "7"
    for path in ("none/stats", "picture/versions/8/stats"):
        assert_refused(ask("GET", f"/v2/models/{path}"), says="no statistics")


def test_statistics_bear_tritons_names() -> None:
    counters = Counters()
    counted = counters.of("m", "1")
    counted.succeeded, counted.failed, counted.waited = Span(4, 40), Span(1, 9), Span(5, 5)
    counted.prepared, counted.ran, counted.parted = Span(4, 1), Span(4, 20), Span(4, 2)
    counted.samples, counted.last = 6, 77
    counted.batches = {4: Executed(Span(1, 1), Span(1, 2), Span(1, 3)), 2: Executed(Span(1, 4), Span(1, 5), Span(1, 6))}
    catalogue = Catalogue((Served(name="m", versions=(version("1"), version("2", state="failed"))),))
    (found,) = models.statistics(counters, catalogue)["model_stats"]
    inference, batches = found.pop("inference_stats"), found.pop("batch_stats")
    assert found == {
        "name": "m", "version": "1", "last_inference": 77, "inference_count": 6, "execution_count": 2,
        "response_stats": {}, "memory_usage": [],
    }  # fmt: skip
    assert {name: (stat["count"], stat["ns"]) for name, stat in inference.items()} == {
        "success": (4, 40), "fail": (1, 9), "queue": (5, 5), "compute_input": (4, 1), "compute_infer": (4, 20), "compute_output": (4, 2),
        "cache_hit": (0, 0), "cache_miss": (0, 0),
    }  # fmt: skip
    assert [batch["batch_size"] for batch in batches] == [2, 4]
    assert [batches[0][name] for name in ("compute_input", "compute_infer", "compute_output")] == [
        {"count": 1, "ns": ns} for ns in (4, 5, 6)
    ]


# Configuration and metadata


def test_the_configuration_has_dims_without_the_batch(ask: Ask) -> None:
    config = ask("GET", "/v2/models/many/config").json
    assert config == ask("GET", "/v2/models/many/versions/1/config").json
    assert config["name"] == "many" and config["max_batch_size"] > 0 and config["instance_group"][0]["count"] == 1
    assert config["input"] == [{"name": "a", "data_type": "TYPE_FP32", "dims": [2]}, {"name": "b", "data_type": "TYPE_INT64", "dims": []}]
    assert ask("GET", "/v2/models/files/config").json["input"] == [{"name": "file", "data_type": "TYPE_STRING", "dims": []}]
    assert_refused(ask("GET", "/v2/models/none/config"), 404)


def test_a_model_of_a_fixed_size_has_whole_dims_and_no_batch(tmp_path: Path) -> None:
    fixed = Signature((TensorSpec("x", "float32", (2, 12)),), (TensorSpec("y", "float32", (2, 4)),))
    contract = Contract((), Answer("none", 2, ("a", "b")))
    bundle = bundles.write_bundle(tmp_path / "b", signature=fixed, golden=bundles.linear_golden(), contract=contract)
    with asking(bundle) as ask:
        config = ask("GET", "/v2/models/linear/config").json
        assert config["max_batch_size"] == 0 and config["input"][0]["dims"] == [2, 12]
        request = json_request({"x": np.ones((2, 12), np.float32)}, **want("y", 2))
        output = infer(ask, "linear", request).json["outputs"][0]
        assert output["shape"] == [2] and output["data"][0].count(":") in (1, 2)


def test_the_properties_say_what_is_behind_the_version(ask: Ask) -> None:
    assert ask("GET", "/v2/models/linear").json["properties"] == {
        "version": "1",
        "variant": "null-fp32-t1",
        "precision": "fp32",
        "plan": "null-fp32-t1",
        "proof": "compared with the original on the build host",
    }


# The model repository


def version(name: str, **more: str) -> Version:
    return Version(**{"version": name, "path": f"/models/{name}", "state": "ready", **more})


def test_the_index_in_tritons_words() -> None:
    states = {"1": "ready", "2": "failed", "3": "loading", "4": "unloaded"}
    versions = tuple(version(name, state=state, reason="it lies" if state == "failed" else "") for name, state in states.items())
    catalogue = Catalogue((Served(name="m", versions=versions),))
    assert repository.index(catalogue) == [
        {"name": "m", "version": "1", "state": "READY"},
        {"name": "m", "version": "2", "state": "UNAVAILABLE", "reason": "it lies"},
        {"name": "m", "version": "3", "state": "LOADING"},
        {"name": "m", "version": "4", "state": "UNAVAILABLE", "reason": "unloaded"},
    ]
    assert repository.index(catalogue, ready=True) == [{"name": "m", "version": "1", "state": "READY"}]


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/repository/any/index"])
def test_the_index_is_a_bare_list(ask: Ask, path: str) -> None:
    for body in (b"", {}, {"ready": True}, {"ready": False}):
        answered = ask("POST", path, body)
        assert answered.status == 200 and {"name": "picture", "version": "7", "state": "READY"} in answered.json
    for body in ({"ready": 1}, [], b"{"):
        assert_refused(ask("POST", path, body))


@pytest.fixture(scope="module")
def managed(null_bundle: Path) -> Iterator[tuple[Ask, list[AnyCommand]]]:
    """A server that keeps the commands it is given."""
    commands: list[AnyCommand] = []
    with asking(null_bundle, commands=commands) as ask:
        yield ask, commands


@pytest.mark.parametrize(
    ("path", "body", "command"),
    [
        ("m/load", b"", Load(name="m")),
        ("m/load", {"parameters": {}}, Load(name="m")),
        ("m/load", {"parameters": {"version": "2", "path": "m/2"}}, Load(name="m", version="2", path="m/2")),
        ("m/unload", {}, Unload(name="m")),
        ("m/unload", {"parameters": {"unload_dependents": True}}, Unload(name="m")),
        ("m/unload", {"parameters": {"version": "1"}}, Unload(name="m", version="1")),
    ],
)
def test_requests_to_load_and_unload_are_commands(
    managed: tuple[Ask, list[AnyCommand]], path: str, body: object, command: AnyCommand
) -> None:
    ask, commands = managed
    answered = ask("POST", f"/v2/repository/models/{path}", body)
    assert (answered.status, answered.body) == (200, b"")
    assert commands.pop() == command and not commands


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("models/m/load", {"parameters": {"config": "{}"}}, 400, "parameter config is refused"),
        ("models/m/load", {"parameters": {"file:1/model.onnx": "aGk="}}, 400, "parameter file:1/model.onnx is refused"),
        ("models/m/load", {"parameters": {"speed": 3}}, 400, "no parameter 'speed'"),
        ("models/m/load", {"parameters": {"version": 3}}, 400, "version should be text"),
        ("models/m/load", {"parameters": 3}, 400, "parameters should be"),
        ("models/m/load", [], 400, "JSON object"),
        ("models/m/unload", {"parameters": {"unload_dependents": "no"}}, 400, "true or false"),
        ("models/m/unload", {"parameters": {"config": "{}"}}, 400, "no parameter 'config'"),
        ("r/models/m/load", {}, 501, "one model repository"),
        ("r/models/m/unload", {}, 501, "one model repository"),
    ],
)
def test_loading_that_is_refused(managed: tuple[Ask, list[AnyCommand]], path: str, body: object, status: int, says: str) -> None:
    ask, commands = managed
    assert_refused(ask("POST", f"/v2/repository/{path}", body), status, says)
    assert not commands


# Rights and time


def test_the_rights_of_every_route(ask: Ask) -> None:
    (protocol,) = ask.router.protocols
    rights = {route.path: route.right for route in protocol.routes}
    assert {path for path, right in rights.items() if right == "open"} == {"/v2/health/live", "/v2/health/ready"}
    assert {path for path, right in rights.items() if right == "management"} == {path for path in rights if "/repository/" in path}
    assert rights["/v2/models/{model}/infer"] == "inference"


def test_a_request_whose_time_ran_out_is_a_504(steady_bundle: Path) -> None:
    slow = {"x": np.array([[0, 0.3]], np.float32)}
    with asking(steady_bundle) as ask:
        assert_refused(infer(ask, "echo", json_request(slow, parameters={"timeout": 20_000})), 504, "ran out")
        for timeout in (0, 20_000_000):
            assert infer(ask, "echo", json_request(slow, parameters={"timeout": timeout})).status == 200
