"""TensorFlow Serving's REST interface, asked in this process without a socket: its paths, its forms, its refusals."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.core.errors import InvalidRequest, TooLarge, Unavailable
from roadworthy.core.types import BYTES, Signature, TensorSpec
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols import nested_json as values
from roadworthy.serving.protocols.messages import Request
from roadworthy.serving.protocols.routes import Router, refusal
from roadworthy.serving.protocols.tfserving.http import TensorFlowServing
from roadworthy.serving.registry.catalogue import Catalogue, Served, Version
from support.models import bundles
from support.servers.dataplanes import opened
from support.servers.serving import LABELS, strings

X = np.arange(24, dtype=np.float32).reshape(2, 12) / 24
A, B = [[1.0, 2.0], [3.0, 4.0]], [-7, 5]
ONE = Signature((TensorSpec("x", "float32", ("batch", 3)),), (TensorSpec("y", "float32", ("batch", 1)),))


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    body: bytes
    headers: dict[bytes, bytes]

    @property
    def json(self) -> Any:
        """The body as JSON; Python's reader takes NaN and Infinity."""
        return json.loads(self.body)


Ask = Callable[..., Answered]


@pytest.fixture(scope="module")
def price_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One number for each sample."""
    return bundles.write_bundle(tmp_path_factory.mktemp("bundles") / "price", name="price", version="v2-final", signature=ONE)


@pytest.fixture(scope="module")
def plane(
    null_bundle: Path, many_bundle: Path, picture_bundle: Path, echo_bundle: Path, files_bundle: Path, price_bundle: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[DataPlane, asyncio.Runner]]:  # fmt: skip
    """Six models, one of them in two versions, and the loop that they live in."""
    second = bundles.write_bundle(tmp_path_factory.mktemp("bundles") / "linear2", version="2")

    async def entered(stack: ExitStack) -> DataPlane:
        paths = (null_bundle, second, many_bundle, picture_bundle, echo_bundle, files_bundle, price_bundle)
        plane = stack.enter_context(opened(*paths))
        linear = plane.catalogue.find("linear")
        assert linear is not None
        plane.catalogue = plane.catalogue.with_model(Served(name="linear", versions=linear.versions, labels={"stable": "1"}))
        return plane

    with asyncio.Runner() as runner, ExitStack() as stack:
        yield runner.run(entered(stack)), runner


@pytest.fixture(scope="module")
def ask(plane: tuple[DataPlane, asyncio.Runner]) -> Ask:
    """``ask(method, path, body)``."""
    router = Router(plane[0], (TensorFlowServing(plane[0]),))

    def ask(method: str, path: str, body: object = b"") -> Answered:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = plane[1].run(router.handle(Request(method, path, body=data)))
        assert reply.content_type == b"application/json"
        return Answered(reply.status, reply.body, dict(reply.headers))

    return ask


@pytest.fixture(scope="module")
def expected(null_bundle: Path) -> list[list[float]]:
    """What the linear model says to ``X`` in Python."""
    with LocalEngine(null_bundle) as model:
        return model.run({"x": X})["y"].tolist()


def predict(ask: Ask, model: str, **body: Any) -> Answered:
    return ask("POST", f"/v1/models/{model}:predict", body)


def assert_refused(answered: Answered, status: int = 400, says: str = "") -> None:
    assert answered.status == status, answered.body
    assert list(answered.json) == ["error"]
    sentence = answered.json["error"]
    assert sentence and "\n" not in sentence and "Traceback" not in sentence and says in sentence, sentence


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


# Status and metadata


def test_the_states_of_all_versions_newest_first(ask: Ask) -> None:
    fine = {"error_code": "OK", "error_message": ""}
    two, one = ({"version": version, "state": "AVAILABLE", "status": fine} for version in "21")
    assert ask("GET", "/v1/models/linear").json == {"model_version_status": [two, one]}
    assert ask("GET", "/v1/models/linear/versions/1").json == {"model_version_status": [one]}
    assert ask("GET", "/v1/models/linear/labels/stable").json == {"model_version_status": [one]}


def test_every_state_has_its_word_and_a_failure_its_reason(ask: Ask, plane: tuple[DataPlane, asyncio.Runner]) -> None:
    states = ("loading", "ready", "failed", "unloaded")
    versions = tuple(Version(version=str(index), path="", state=state, reason=f"because {state}") for index, state in enumerate(states))
    before = plane[0].catalogue
    plane[0].catalogue = Catalogue((Served(name="many", versions=versions),))
    try:
        found = ask("GET", "/v1/models/many").json["model_version_status"]
    finally:
        plane[0].catalogue = before
    assert [one["state"] for one in reversed(found)] == ["LOADING", "AVAILABLE", "END", "END"]
    assert [one["status"]["error_code"] for one in reversed(found)] == ["OK", "OK", "FAILED_PRECONDITION", "OK"]
    assert found[1]["status"]["error_message"] == "because failed"


def test_who_is_not_ready_yet_says_so(null_bundle: Path) -> None:
    async def early() -> list[int]:
        with opened() as plane:
            plane.opened = False
            router = Router(plane, (TensorFlowServing(plane),))
            requests = (Request("GET", "/v1/models/linear"), Request("POST", "/v1/models/linear:predict", body=b"{}"))
            return [(await router.handle(request)).status for request in requests]

    assert asyncio.run(early()) == [503, 503]


def test_the_metadata_is_the_signature_with_every_default_printed(ask: Ask) -> None:
    def tensor(name: str, dtype: str, *sizes: str) -> dict[str, Any]:
        shape = {"dim": [{"size": size, "name": ""} for size in sizes], "unknown_rank": False}
        return {"dtype": dtype, "tensor_shape": shape, "name": f"{name}:0"}

    assert ask("GET", "/v1/models/many/metadata").json == {
        "model_spec": {"name": "many", "signature_name": "", "version": "1"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {"a": tensor("a", "DT_FLOAT", "-1", "2"), "b": tensor("b", "DT_INT64", "-1")},
                        "outputs": {
                            "sum": tensor("sum", "DT_FLOAT", "-1", "2"),
                            "flag": tensor("flag", "DT_BOOL", "-1"),
                            "half": tensor("half", "DT_HALF", "-1", "2"),
                            "count": tensor("count", "DT_INT64", "-1"),
                        },
                        "method_name": "tensorflow/serving/predict",
                        "defaults": {},
                    }
                }
            }
        },
    }
    assert ask("GET", "/v1/models/linear/versions/1/metadata").json["model_spec"]["version"] == "1"
    assert ask("GET", "/v1/models/linear/labels/stable/metadata").json["model_spec"]["version"] == "1"


# Predict


def test_rows_and_columns(ask: Ask, expected: list[list[float]]) -> None:
    rows = X.tolist()
    for body in (
        {"instances": rows},
        {"instances": [{"x": row} for row in rows]},
        {"instances": rows, "signature_name": "serving_default"},
    ):
        answered = predict(ask, "linear", **body)
        assert answered.status == 200 and list(answered.json) == ["predictions"]
        np.testing.assert_allclose(answered.json["predictions"], expected, rtol=1e-6)
    for body in ({"inputs": rows}, {"inputs": {"x": rows}}):
        answered = predict(ask, "linear", **body)
        assert answered.status == 200 and list(answered.json) == ["outputs"]
        np.testing.assert_allclose(answered.json["outputs"], expected, rtol=1e-6)


def test_several_inputs_and_outputs_by_name(ask: Ask) -> None:
    outputs = {"sum": [[-6.0, -5.0], [8.0, 9.0]], "flag": [False, True], "half": A, "count": [-14, 10]}
    assert predict(ask, "many", inputs={"a": A, "b": B}).json == {"outputs": outputs}
    rows = [{name: column[index] for name, column in outputs.items()} for index in range(2)]
    assert predict(ask, "many", instances=[{"a": a, "b": b} for a, b in zip(A, B, strict=True)]).json == {"predictions": rows}


@pytest.mark.parametrize(
    "path", ["/v1/models/linear:predict", "/V1/Models/linear/Versions/1:Predict", "/v1/models/linear/labels/stable:predict",
             "/v1/models/linear/labels/2:predict"],
)  # fmt: skip
def test_paths_do_not_mind_capitals(ask: Ask, path: str) -> None:
    assert ask("POST", path, {"instances": X.tolist()}).status == 200


def test_a_version_may_be_any_text(ask: Ask) -> None:
    assert ask("GET", "/v1/models/price").json["model_version_status"][0]["version"] == "v2-final"
    assert ask("POST", "/v1/models/price/versions/v2-final:predict", {"instances": [[1, 2, 3]]}).status == 200


def test_numbers_that_are_not_finite_come_and_go(ask: Ask) -> None:
    assert ask("POST", "/v1/models/echo:predict", {"instances": [[-1, 0]]}).body == b'{"predictions":[[NaN,Infinity]]}'
    given = b'{"instances": [[NaN, 0], [2, -Infinity], [Infinity, 0.5]]}'
    assert ask("POST", "/v1/models/echo:predict", given).body == b'{"predictions":[[NaN,0.0],[2.0,-Infinity],[Infinity,0.5]]}'


def test_encoded_images_in_place_of_tensors(ask: Ask, picture_bundle: Path, png: bytes) -> None:
    with LocalEngine(picture_bundle) as model:
        wanted = model(png).outputs["logits"].tolist()
    for body in ({"instances": [b64(png)]}, {"instances": [{"image": b64(png)}]}):
        np.testing.assert_allclose(predict(ask, "picture", **body).json["predictions"], wanted, rtol=1e-6)
    for body in ({"inputs": b64(png)}, {"inputs": [b64(png)]}, {"inputs": {"image": [b64(png)]}}):
        np.testing.assert_allclose(predict(ask, "picture", **body).json["outputs"], wanted, rtol=1e-6)
    assert_refused(predict(ask, "picture", instances=[b64(b"no image")]))
    assert_refused(predict(ask, "picture", instances=[{"b64": "no base64!"}]), says="base64")
    assert_refused(predict(ask, "picture", instances=[b64(png), 3]), says="whole numbers")


def test_byte_strings_as_text_and_as_base64(ask: Ask) -> None:
    answered = predict(ask, "files", inputs=["grün", b64(b"\xff\0"), b64(b"two")])
    assert answered.json["outputs"] == {"scores": [[5.0, 103.0], [2.0, 255.0], [3.0, 116.0]], "same": ["grün", b64(b"\xff\0"), "two"]}


@pytest.mark.parametrize("text", ["AP8QYg==", "AP8QYg", "AP8Q\nYg==\n", " AP8Q Yg="])
def test_base64_with_line_breaks_or_without_its_end(text: str) -> None:
    assert values.decoded("x", {"b64": text}) == b"\x00\xff\x10b"


@pytest.mark.parametrize("text", ["AP8QY", "AP8Q-g==", "grün", "A===="])
def test_text_that_is_no_base64(text: str) -> None:
    with pytest.raises(InvalidRequest, match="base64"):
        values.decoded("x", {"b64": text})


def test_an_output_called_bytes_is_base64() -> None:
    assert values.jsonable("image_bytes", strings(b"text", b"\xff")) == [b64(b"text"), b64(b"\xff")]
    assert values.jsonable("image", strings(b"text", b"\xff")) == ["text", b64(b"\xff")]


@pytest.mark.parametrize(
    ("dtype", "given", "says"),
    [("int64", [1.0], "fractions"), ("int64", [2**63], "outside"), ("uint8", [256], "outside"), ("uint8", [-1], "outside"),
     ("float32", [1e39], "outside"), ("float32", [10**400], "outside"), ("float16", [70000], "outside"),
     ("float32", [0.5, 16777217], r"16777217 at \[1\], which float32 has only rounded"), ("float64", [2**53 + 1], "only rounded"),
     ("int32", [2**32 + 3], r"4294967299 at \[0\]"), ("float16", [2049], "only rounded"),
     ("float32", [True, 1.5], "booleans"), ("float32", ["1.5"], "text"), ("float32", [None], "null"), ("float32", [{}], "objects"),
     ("int32", [[1], 2], "row 1"), ("bool", [1], "whole"), (BYTES, [1], "whole"), (BYTES, ["\ud800"], "Unicode"),
     (BYTES, [{"b64": 1}], "objects")],
)  # fmt: skip
def test_elements_of_another_kind(dtype: str, given: list[Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        values.tensor(TensorSpec("x", dtype, ("batch",) if says != "row 1" else ("batch", 1)), given)


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"]
)
def test_every_dtype_comes_and_goes(dtype: str) -> None:
    wanted = np.array([[0, 1], [1, 0]], dtype)
    given = [[False, True], [True, False]] if dtype == "bool" else [[0, 1], [1, 0]]
    array = values.tensor(TensorSpec("x", dtype, ("batch", 2)), given)
    assert array.dtype == dtype and np.array_equal(array, wanted)
    assert json.loads(values.written(values.jsonable("x", array))) == given
    assert values.tensor(TensorSpec("x", dtype, ("batch", 2)), []).shape == (0,)


# Classify and regress


def test_classes_by_label(ask: Ask, picture_bundle: Path, png: bytes) -> None:
    with LocalEngine(picture_bundle) as model:
        ((first, second),) = model(png).ranked
    answered = ask("POST", "/v1/models/picture:classify", {"examples": [{"image": b64(png)}]})
    ((one, two),) = answered.json["results"]
    assert [one[0], two[0]] == [first.label, second.label] and {one[0], two[0]} <= set(LABELS)
    assert one[1] == pytest.approx(first.score) and two[1] == pytest.approx(second.score)


def test_classes_without_labels_are_their_indices(ask: Ask, expected: list[list[float]]) -> None:
    answered = ask("POST", "/v1/models/linear:classify", {"examples": [{"x": row} for row in X.tolist()]})
    assert [row[0][0] for row in answered.json["results"]] == [str(np.argmax(row)) for row in expected]


def test_one_number_a_sample_is_a_regression(ask: Ask, price_bundle: Path) -> None:
    with LocalEngine(price_bundle) as model:
        wanted = model([[1, 2, 3], [4, 5, 6]]).outputs["y"][:, 0].tolist()
    body = {"examples": [{"x": [1, 2, 3]}, {"x": [4, 5.0, 6]}]}
    assert ask("POST", "/v1/models/price:regress", body).json == {"results": pytest.approx(wanted)}
    context = {"context": {"x": [4, 5, 6]}, "examples": [{"x": [1, 2, 3]}, {}]}
    assert ask("POST", "/v1/models/price:regress", context).json == {"results": pytest.approx(wanted)}


@pytest.mark.parametrize(
    ("model", "verb", "body", "says"),
    [("linear", "regress", {"examples": [{"x": [0] * 12}]}, "one number"),
     ("price", "classify", {"examples": [{"x": [0] * 3}]}, "classes"), ("linear", "classify", {"examples": []}, "examples"),
     ("linear", "classify", {"instances": [{"x": [0] * 12}]}, "examples"),
     ("linear", "classify", {"examples": [{"y": 1}]}, "no feature 'x'"),
     ("linear", "classify", {"examples": [{"x": [1] * 12}, {"x": 1}]}, "example 1"),
     ("linear", "classify", {"examples": [{"x": [1, 2]}]}, "2 values"),
     ("linear", "classify", {"examples": [{"x": [["1"]] * 12}]}, "nested"), ("linear", "classify", {"examples": [3]}, "example 0"),
     ("picture", "classify", {"examples": [{"image": 3}]}, "image"), ("linear", "classify", {"examples": [{"x": []}]}, "0 values"),
     ("linear", "classify", {"examples": [{"x": [1] * 11 + [16777217]}]}, "16777217 at [0, 11], which float32 has only rounded"),
     ("linear", "classify", {"context": 3, "examples": [{}]}, "context")],
)  # fmt: skip
def test_examples_that_do_not_fit(ask: Ask, model: str, verb: str, body: object, says: str) -> None:
    assert_refused(ask("POST", f"/v1/models/{model}:{verb}", body), says=says)


# Refusals


@pytest.mark.parametrize(
    ("body", "says"),
    [({}, "either"), ({"instances": [[0] * 12], "inputs": [[0] * 12]}, "either"), ({"instances": []}, "one row"),
     ({"instances": 3}, "list"), ({"instances": [[0] * 11]}, "shape [1, 11]"),
     ({"instances": [[0] * 12, [0] * 11]}, "row 1 of input 'x' has shape [11], and row 0 has [12]"),
     ({"instances": [[0] * 12, 0]}, "row 1"), ({"instances": [[[0] * 12]]}, "deeper"),
     ({"instances": [{"x": [0] * 12}, [0] * 12]}, "row 1"), ({"instances": [[0] * 12, {"x": [0] * 12}]}, "row 1"),
     ({"instances": [{"y": [0] * 12}]}, "row 0"), ({"inputs": {"y": 1}}, "Missing named input: x"),
     ({"inputs": {"x": [[0] * 12], "z": 1}}, "'z'"), ({"instances": [["a"] * 12]}, "text"),
     ({"instances": [[True] + [0.5] * 11]}, "booleans"), ({"instances": [[0] * 12], "signature_name": "nope"}, '"nope" not found'),
     ({"instances": [[0] * 12], "signature_name": 3}, "string"), ({"instances": [[[0, 1], [0]]]}, "deeper"),
     ({"inputs": [[], [0]]}, "row 1"), ({"instances": [None] * 3}, "null")],
)  # fmt: skip
def test_bodies_that_do_not_fit(ask: Ask, body: object, says: str) -> None:
    assert_refused(ask("POST", "/v1/models/linear:predict", body), says=says)


def test_a_plain_list_for_several_inputs(ask: Ask) -> None:
    assert_refused(predict(ask, "many", instances=[[1, 2]]), says="several inputs")
    assert_refused(predict(ask, "many", inputs=[[1, 2]]), says="several inputs")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"3", b"\xff", b'{"instances": [[Nan]]}', b'{"instances": [[NaN]]', b"[" * 100_000, b'{"a":' * 5000]
)
def test_bodies_that_are_no_json_object(ask: Ask, body: bytes) -> None:
    assert_refused(ask("POST", "/v1/models/linear:predict", body))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1"), ("GET", "/v1/"), ("GET", "/v1/nope"), ("GET", "/v1/models/linear:predict"), ("POST", "/v1/models/linear"),
     ("POST", "/v1/models/linear:nope"), ("DELETE", "/v1/models/linear"), ("GET", "/v1/models/linear/versions"),
     ("POST", "/v1/models/linear/versions/1/labels/stable:predict"), ("POST", "/v1/models/a:b:predict")],
)  # fmt: skip
def test_malformed_requests(ask: Ask, method: str, path: str) -> None:
    assert_refused(ask(method, path, {"instances": []}), says=f"Malformed request: {method} {path}")


def test_what_is_not_there(ask: Ask) -> None:
    assert_refused(ask("GET", "/v1/models"), says="Missing model name")
    assert_refused(ask("GET", "/v1/models/nope"), 404, "Could not find any versions of model nope")
    assert_refused(ask("GET", "/v1/models/linear/versions/9"), 404, "Could not find version 9 of model linear")
    assert_refused(ask("GET", "/v1/models/linear/labels/nope"), 404, "nope")
    assert_refused(ask("GET", "/v1/models/nope/metadata"), 404, "Servable not found for request: Latest(nope)")
    assert_refused(ask("POST", "/v1/models/nope:predict", {}), 404, "Servable not found for request: Latest(nope)")
    assert_refused(ask("POST", "/v1/models/linear/versions/9:predict", {}), 404, "Servable not found for request: Specific(linear, 9)")


def test_a_model_that_fails_says_so_in_one_sentence(ask: Ask) -> None:
    assert_refused(predict(ask, "echo", instances=[[13, 0]]), 500, "echo failed on this request")


def test_the_transport_s_refusals_have_the_same_form(plane: tuple[DataPlane, asyncio.Runner]) -> None:
    request = Request("GET", "/v1/models/linear")
    Router(plane[0], (TensorFlowServing(plane[0]),)).find(request)
    reply = refusal(request, TooLarge("too large"))
    assert (reply.status, reply.body) == (413, b'{"error":"too large"}')
    assert refusal(request, Unavailable("busy", after=1.5)).headers == ((b"retry-after", b"2"),)


# Attacks

_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.builds(lambda text: {"b64": text}, st.text(max_size=5))
)
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "a", "b", "b64", "file"]), inner, max_size=3)
)
_bodies = st.dictionaries(st.sampled_from(["instances", "inputs", "examples", "context", "signature_name"]), _values, max_size=3)
_models = st.sampled_from(["linear", "many", "picture", "files", "price"])


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(model=_models, verb=st.sampled_from(["predict", "classify", "regress"]), body=_bodies)
def test_whatever_json_comes_is_never_the_server_s_fault(ask: Ask, model: str, verb: str, body: object) -> None:
    answered = ask("POST", f"/v1/models/{model}:{verb}", body)
    assert answered.status in (200, 400)
    if answered.status == 400:
        assert_refused(answered)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 60), byte=st.binary(max_size=3), cut=st.integers(0, 3))
def test_damaged_json_is_refused(ask: Ask, at: int, byte: bytes, cut: int) -> None:
    body = b'{"instances": [{"a": [1, 2.5], "b": 3}, {"a": [NaN, -1e3], "b": 4}]}'
    assert ask("POST", "/v1/models/many:predict", body[:at] + byte + body[at + cut :]).status in (200, 400)


@pytest.mark.parametrize("leaf", [b"1", b"NaN"])
def test_depth_is_bounded_wherever_it_is(ask: Ask, leaf: bytes) -> None:
    rows = json.dumps(X.tolist()).encode()
    for depth, status in ((30, 200), (40, 400), (100_000, 400)):
        body = b'{"instances": ' + rows + b', "ignored": ' + b"[" * depth + leaf + b"]" * depth + b"}"
        assert ask("POST", "/v1/models/linear:predict", body).status == status


def test_a_long_text_among_many_numbers_costs_no_memory(ask: Ask) -> None:
    # NumPy would make every element as wide as the widest.
    body = b'{"instances": [["' + b"x" * 1_000_000 + b'"' + b",1" * 1_000_000 + b"]]}"
    assert_refused(ask("POST", "/v1/models/linear:predict", body), says="text")
