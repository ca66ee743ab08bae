"""TorchServe's inference over HTTP, in this process and without a socket: its paths, its bodies, its answers, its refusals."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.core.errors import Forbidden, RequestError, TooLarge, Unauthenticated, Unavailable
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.protocols.messages import Request, TooSlow
from roadworthy.serving.protocols.routes import Router, refusal
from roadworthy.serving.protocols.torchserve import forms
from roadworthy.serving.protocols.torchserve.http import TorchServe
from roadworthy.serving.registry.catalogue import Catalogue
from roadworthy.serving.transports.http.listeners import http_protocols
from support.servers.asking import Answered
from support.servers.dataplanes import opened
from support.servers.serving import LABELS

X = np.arange(24, dtype=np.float32).reshape(2, 12) / 24
A, B = np.array([[1, 2], [3, 4]], np.float32), np.array([-7, 2**20])
MANY = {"a": A.tolist(), "b": B.tolist()}
OUTPUTS = [
    {"sum": [-6.0, -5.0], "flag": False, "half": [1.0, 2.0], "count": -14},
    {"sum": [2.0**20 + 3, 2.0**20 + 4], "flag": True, "half": [3.0, 4.0], "count": 2**21},
]


@dataclass(frozen=True)
class Ask:
    """A server without a socket, and how to ask it."""

    plane: DataPlane
    router: Router
    runner: asyncio.Runner

    def __call__(self, method: str, path: str, body: object = b"", kind: str = "", query: str = "") -> Answered:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {b"content-type": kind.encode()} if kind else {}
        reply = self.runner.run(self.router.handle(Request(method, path, query, headers, data)))
        lines = {"content-type": reply.content_type.decode()} | {name.decode(): value.decode() for name, value in reply.headers}
        return Answered(reply.status, lines, reply.body)


@pytest.fixture(scope="module")
def ask(
    null_bundle: Path, many_bundle: Path, picture_bundle: Path, echo_bundle: Path, files_bundle: Path, quantised_bundle: Path
) -> Iterator[Ask]:
    """A server of six models."""
    bundles = (null_bundle, many_bundle, picture_bundle, echo_bundle, files_bundle, quantised_bundle)
    with asyncio.Runner() as runner, ExitStack() as stack:

        async def entered() -> DataPlane:
            return stack.enter_context(opened(*bundles, limits=ServerLimits(depth=8)))

        plane = runner.run(entered())
        yield Ask(plane, Router(plane, (TorchServe(plane),)), runner)


def predict(ask: Ask, model: str, body: object, kind: str = "") -> Any:
    """The answer, which there has to be."""
    answered = ask("POST", f"/predictions/{model}", body, kind)
    assert answered.status == 200, answered.body
    return answered.json


def assert_refused(answered: Answered, status: int = 400, kind: str = "BadRequestException", says: str = "") -> None:
    assert answered.status == status, answered.body
    assert answered.body.startswith(b'{\n  "code"')
    assert list(answered.json) == ["code", "type", "message"]
    assert (answered.json["code"], answered.json["type"]) == (status, kind)
    sentence = answered.json["message"]
    assert sentence and "\n" not in sentence and "Traceback" not in sentence and says in sentence, sentence


def multipart(**fields: bytes | tuple[str, bytes, str]) -> tuple[bytes, str]:
    """The body and the Content-Type that a real client makes of ``fields``."""
    files = {name: value if isinstance(value, tuple) else (None, value) for name, value in fields.items()}
    request = httpx.Request("POST", "http://x", files=files)
    return request.read(), request.headers["content-type"]


@pytest.fixture(scope="module")
def by_label(picture_bundle: Path, png: bytes) -> dict[str, float]:
    """What the model itself says of the image."""
    with LocalEngine(picture_bundle) as model:
        (row,) = model(png).ranked
    return {ranked.label: ranked.score for ranked in row}


# Images and files


def test_an_image_is_answered_by_label(ask: Ask, png: bytes, by_label: dict[str, float]) -> None:
    assert len(by_label) == 2 and set(by_label) < set(LABELS)
    found = predict(ask, "picture", png)
    assert list(found) == list(by_label)
    assert found == pytest.approx(by_label)


@pytest.mark.parametrize(
    "kind", ["image/png", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain; charset=utf-8"]
)
def test_whatever_the_client_says_of_it(ask: Ask, png: bytes, by_label: dict[str, float], kind: str) -> None:
    # curl says application/x-www-form-urlencoded of everything.
    assert predict(ask, "picture", png, kind) == pytest.approx(by_label)


@pytest.mark.parametrize(
    "path", ["/predictions/picture/7", "/invocations", "/models/picture/invoke", "/picture/predict", "/picture/7/predict"]
)
def test_older_names_of_the_same(ask: Ask, png: bytes, by_label: dict[str, float], path: str) -> None:
    query = "model_name=picture" if path == "/invocations" else ""
    assert ask("POST", path, png, query=query).json == pytest.approx(by_label)
    assert ask("PUT", path, png, query=query).json == pytest.approx(by_label)


def test_an_image_in_a_form(ask: Ask, png: bytes, by_label: dict[str, float]) -> None:
    for field in ("data", "body", "image", "file"):
        body, kind = multipart(**{field: ("kitten.png", png, "image/png")})
        assert predict(ask, "picture", body, kind) == pytest.approx(by_label)
    body, kind = multipart(data=("kitten.png", png, "application/octet-stream"), comment=b"ignored")
    assert predict(ask, "picture", body, kind) == pytest.approx(by_label)


def test_an_image_in_json(ask: Ask, png: bytes, by_label: dict[str, float]) -> None:
    text = base64.b64encode(png).decode()
    for body in (text, {"data": text}, {"body": text}, {"b64": text}, {"data": {"b64": text}}, {"image": text}):
        assert predict(ask, "picture", body, "application/json") == pytest.approx(by_label)
        assert predict(ask, "picture", body) == pytest.approx(by_label)
    for body in ([text, text], [{"data": text}, {"b64": text}]):
        assert [pytest.approx(by_label)] * 2 == predict(ask, "picture", body)
    found = predict(ask, "picture", {"instances": [{"data": text}, {"b64": text}, text]})
    assert found == {"predictions": [pytest.approx(by_label)] * 3}


def test_a_tensor_for_a_model_of_images_is_ranked_too(ask: Ask, pixels: np.ndarray, by_label: dict[str, float]) -> None:
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.25, 0.3])
    tensor = ((pixels / 255 - mean) / std).transpose(2, 0, 1)
    assert predict(ask, "picture", tensor.tolist()) == pytest.approx(by_label, rel=1e-3)
    assert [one.keys() for one in predict(ask, "picture", [tensor.tolist()] * 2)] == [by_label.keys()] * 2


def test_a_file_is_a_sample(ask: Ask) -> None:
    want = {"length": 9.0, "first": float(ord("["))}
    assert predict(ask, "files", b"[not json") == want
    assert predict(ask, "files", *multipart(data=b"[not json")) == want
    text = base64.b64encode(b"[not json").decode()
    assert predict(ask, "files", {"instances": [{"b64": text}]}, "application/json") == {"predictions": [want]}
    assert predict(ask, "files", "[not json", "application/json") == want
    assert predict(ask, "files", ["[not json", "[not json"], "application/json") == [want, want]


def test_two_classes_of_one_name_give_the_better_one() -> None:
    from roadworthy.preprocess.answer import Ranked
    from roadworthy.serving.protocols.torchserve.inference import _by_label

    assert _by_label((Ranked(1, "crane", 0.6), Ranked(0, "heron", 0.3), Ranked(2, "crane", 0.1))) == {"crane": 0.6, "heron": 0.3}


# Tensors


def test_tensors_in_json(ask: Ask, null_bundle: Path) -> None:
    with LocalEngine(null_bundle) as model:
        want = model(X).outputs["y"].tolist()
    one = pytest.approx(want[0])
    both = [pytest.approx(row) for row in want]
    assert predict(ask, "linear", X[0].tolist()) == one
    assert predict(ask, "linear", X[:1].tolist()) == [one]
    assert predict(ask, "linear", X.tolist()) == both
    assert predict(ask, "linear", {"data": X.tolist()}) == both
    assert predict(ask, "linear", {"x": X.tolist()}, "application/json; charset=utf-8") == both
    assert predict(ask, "linear", {"instances": X.tolist()}) == {"predictions": both}
    assert predict(ask, "linear", {"instances": [{"data": row} for row in X.tolist()]}) == {"predictions": both}
    assert predict(ask, "linear", [{"x": row} for row in X.tolist()]) == both
    assert predict(ask, "linear", *multipart(data=json.dumps(X.tolist()).encode())) == both
    assert predict(ask, "linear", urlencode({"data": json.dumps(X[0].tolist())}).encode(), forms.URLENCODED) == one
    assert predict(ask, "linear", json.dumps(X[0].tolist()).encode(), forms.URLENCODED) == one


def test_tensors_as_they_are_in_memory(ask: Ask) -> None:
    want = predict(ask, "linear", X.tolist())
    assert predict(ask, "linear", X.tobytes()) == want
    assert predict(ask, "linear", X[0].tobytes(), "application/octet-stream") == pytest.approx(want[0])
    assert predict(ask, "linear", *multipart(data=("x.bin", X.tobytes(), "application/octet-stream"))) == want


def test_bytes_that_look_like_json_but_are_said_to_be_none(ask: Ask) -> None:
    body = b"[" + bytes(46) + b"]"
    assert len(predict(ask, "linear", body, "application/octet-stream")) == 4
    assert_refused(ask("POST", "/predictions/linear", body), says="JSON")
    # And text is no tensor, whatever its length.
    assert_refused(ask("POST", "/predictions/linear", b"x" * 48, "text/plain"), says="JSON")


def test_several_inputs_and_outputs(ask: Ask) -> None:
    one = {"a": MANY["a"][1], "b": MANY["b"][1]}
    assert predict(ask, "many", MANY) == OUTPUTS
    assert predict(ask, "many", one) == OUTPUTS[1]
    assert predict(ask, "many", {"instances": [one]}) == {"predictions": OUTPUTS[1:]}
    assert predict(ask, "many", [one, one]) == [OUTPUTS[1]] * 2
    assert predict(ask, "many", {"data": MANY}) == OUTPUTS
    body, kind = multipart(a=json.dumps(MANY["a"]).encode(), b=("b.bin", B.tobytes(), "application/octet-stream"))
    assert predict(ask, "many", body, kind) == OUTPUTS


def test_quantised_numbers_go_as_they_are(ask: Ask) -> None:
    assert predict(ask, "quantised", [255, 0]) == [255, 0]


def test_numbers_that_are_not_finite_are_python_s(ask: Ask) -> None:
    answered = ask("POST", "/predictions/echo", [[-1, 0]])
    assert answered.body == b"[[NaN,Infinity]]"


# Refusals


@pytest.mark.parametrize(
    ("model", "body", "says"),
    [
        ("linear", b"", "0 came"),
        ("linear", X.tobytes()[:-1], "95 came"),
        ("linear", [[1, 2], [3]], "row"),
        ("linear", [[1.0, 2.0]], "shape [1, 2]"),
        ("linear", [1e39] * 12, "outside"),
        ("linear", [0] * 11 + [16777217], "16777217 at [11], which float32 has only rounded"),
        ("linear", ["text"] * 12, "text"),
        ("linear", {"nothing": 1}, "data, instances"),
        ("linear", {"data": None}, "null"),
        ("linear", {"instances": []}, "one element a sample"),
        ("linear", {"instances": [1.0] * 12}, "shape [12]"),
        ("linear", {"instances": [{"data": [0] * 12}, {"data": [0] * 11}]}, "different shapes"),
        ("linear", {"instances": [{"data": [[0] * 12]}]}, "one sample"),
        ("linear", [[[[[[[[[[1]]]]]]]]]], "nested deeper than 8"),
        ("picture", b"no image", "image"),
        ("picture", {"data": "no base64!"}, "base64"),
        ("picture", {"b64": 7}, "base64"),
        ("files", b"unreadable", "not a file that it knows"),
        ("many", {"a": [[1, 2]]}, "'b' is missing"),
        ("many", [[1, 2]], "several inputs"),
        ("many", b"raw", "several inputs"),
        ("many", [{"a": [1, 2], "b": 1}, {"a": [1, 2]}], "same inputs"),
        ("many", {"a": [[1, 2], [3, 4]], "b": [1]}, "shape"),
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit(ask: Ask, model: str, body: object, says: str) -> None:
    assert_refused(ask("POST", f"/predictions/{model}", body), says=says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: body[:-4], "cut"),
        (lambda body: body.replace(b"name=", b"nome="), "no name"),
        (lambda body: body.replace(b"\r\n\r\n", b"\r\n"), "not valid"),
        (lambda _: b"", "does not hold the boundary"),
        (lambda body: body.replace(b'"data"', b'"' + b"d" * 5000 + b'"'), "not valid"),
    ],
)
def test_a_form_that_is_none(ask: Ask, change: Callable[[bytes], bytes], says: str) -> None:
    body, kind = multipart(data=b"[1, 2]")
    assert_refused(ask("POST", "/predictions/echo", change(body), kind), says=says)


def test_a_form_of_nothing_that_counts(ask: Ask) -> None:
    assert_refused(ask("POST", "/predictions/echo", *multipart(one=b"1", two=b"2")), says="it has one, two")
    body, kind = multipart(**{f"field{index}": b"1" for index in range(65)})
    assert_refused(ask("POST", "/predictions/echo", body, kind), says="more than 64")
    fields = urlencode({f"field{index}": 1 for index in range(65)}).encode()
    assert_refused(ask("POST", "/predictions/echo", fields, forms.URLENCODED), says="more than 64")
    assert_refused(ask("POST", "/predictions/echo", body, "multipart/form-data"), says="needs a boundary")
    # The standard library takes the digits for a number, and would stumble over so many.
    kind = f"multipart/form-data; boundary*{'9' * 5000}=x"
    assert_refused(ask("POST", "/predictions/echo", body, kind), says="longer than 4096")


def test_a_form_field_is_exactly_what_was_sent() -> None:
    for data in (b"", b"\r\n", b"\r\n--", b"--x\r\n", bytes(range(256)) * 3, b"\n\r\x1a\0"):
        body, kind = multipart(data=("a.bin", data, "audio/wav"))
        assert forms.fields_of(body, kind.encode()) == {"data": forms.FormField(data, "audio/wav")}
        assert forms.fields_of(b"preamble\r\n" + body + b"epilogue", kind.encode()) == {"data": forms.FormField(data, "audio/wav")}


def test_unknown_models_and_versions(ask: Ask) -> None:
    assert_refused(ask("POST", "/predictions/none", b"x"), 404, "ModelNotFoundException", "there is no model 'none'")
    assert_refused(ask("POST", "/predictions/picture/8", b"x"), 404, "ModelVersionNotFoundException", "'8'")
    assert_refused(ask("POST", "/none/predict", b"x"), 404, "ModelNotFoundException")
    assert_refused(ask("POST", "/invocations", b"x"), says="model_name is required")
    for path in ("/predictions", "/predictions/", "/predictions/picture/7/8", "/models/picture/7/8", "/explanations"):
        assert_refused(ask("POST", path, b"x"), 404, "ResourceNotFoundException")


def test_wrong_verbs(ask: Ask) -> None:
    for method, path, allow in (
        ("GET", "/predictions/picture", "POST, PUT"),
        ("DELETE", "/ping", "GET, HEAD"),
        ("PUT", "/models", "GET, HEAD, POST"),
        ("POST", "/models/picture", "GET, HEAD, PUT, DELETE"),
        ("POST", "/models/picture/7/set-default", "PUT"),
    ):
        answered = ask(method, path)
        assert_refused(answered, 405, "MethodNotAllowedException")
        assert answered.headers["allow"] == allow


def test_explanations_are_not_offered(ask: Ask) -> None:
    assert_refused(ask("POST", "/explanations/picture", b"x"), 501, "UnsupportedOperationException")
    assert_refused(ask("POST", "/explanations/picture/7", b"x"), 501, "UnsupportedOperationException")


def test_a_model_that_fails(ask: Ask) -> None:
    answered = ask("POST", "/predictions/echo", [[13, 0]])
    assert_refused(answered, 503, "InternalServerException", "echo failed on this request")
    assert "retry-after" not in answered.headers


def test_what_the_transport_refuses(ask: Ask) -> None:
    for problem, status, kind in (
        (TooLarge("x"), 413, "BadRequestException"),
        (TooSlow("x"), 408, "RequestTimeoutException"),
        (Unavailable("x", after=2.5), 503, "ServiceUnavailableException"),
        (Unauthenticated("x"), 401, "InvalidKeyException"),
        (Forbidden("x"), 403, "InvalidKeyException"),
    ):
        reply = refusal(found(ask, "GET", "/ping"), problem)
        assert (reply.status, json.loads(reply.body)["type"]) == (status, kind)
    assert refusal(found(ask, "GET", "/ping"), Unavailable("x", after=2.5)).headers == ((b"retry-after", b"3"),)


# Paths


def found(ask: Ask, method: str, path: str) -> Request:
    """A request that the router has looked at."""
    request = Request(method, path)
    with suppress(RequestError):
        ask.router.find(request)
    return request


def test_which_paths_are_its_own(ask: Ask) -> None:
    mine = ["/ping", "/predictions/m", "/explanations/m", "/invocations", "/models", "/models/m/1", "/m/predict", "/m/1/predict"]
    others = ["", "/metrics", "/v1/models/m:predict", "/v2/models/m/infer", "/v1/predict", "/v2/predict", "/page/predict", "/pingx",
              "/m/predict/x", "/m/1/2/predict", "//predict", "/v2/m/predict", "/modelsx", "/metrics/predict"]  # fmt: skip
    router = Router(ask.plane, http_protocols(ask.plane))
    for path in mine + others:
        request = Request("POST", path)
        with suppress(RequestError):
            router.find(request)
        assert (request.protocol_name == "torchserve") == (path in mine), path


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("GET", "/ping", "open"),
        ("GET", "/api-description", "open"),
        ("POST", "/predictions/m", "inference"),
        ("POST", "/predictions/m/1", "inference"),
        ("POST", "/explanations/m", "inference"),
        ("POST", "/invocations", "inference"),
        ("POST", "/m/predict", "inference"),
        ("POST", "/models/m/invoke", "inference"),
        ("POST", "/models", "management"),
        ("GET", "/models", "management"),
        ("GET", "/models/m", "management"),
        ("PUT", "/models/m", "management"),
        ("DELETE", "/models/m/1", "management"),
        ("PUT", "/models/m/1/set-default", "management"),
        ("PATCH", "/models/m/1", "management"),
    ],
)
def test_rights(ask: Ask, method: str, path: str, right: str) -> None:
    assert found(ask, method, path).right == right


def test_ping_and_the_description(ask: Ask) -> None:
    assert ask("GET", "/ping").json == {"status": "Healthy"}
    document = ask("OPTIONS", "/api-description").json
    assert document["openapi"] == "3.0.1"
    # Every path of it is answered by something other than "there is nothing"; the first is the page's.
    for path, verbs in list(document["paths"].items())[1:]:
        for verb in verbs:
            url = path.format(model_name="linear", model_version="1")
            reply = ask.runner.run(ask.router.handle(Request(verb.upper(), url)))
            assert b"ResourceNotFound" not in reply.body and reply.status != 405, (verb, path)


def test_before_there_is_a_model(null_bundle: Path) -> None:
    async def asked() -> None:
        with opened(null_bundle) as plane:
            router = Router(plane, (TorchServe(plane),))
            plane.opened = False
            plane.catalogue = Catalogue()
            reply = await router.handle(Request("GET", "/ping"))
            assert (reply.status, json.loads(reply.body)) == (503, {"status": "Unhealthy"})
            for method, path in (("POST", "/predictions/m"), ("POST", "/invocations"), ("GET", "/models"), ("GET", "/models/m")):
                reply = await router.handle(Request(method, path))
                assert (reply.status, json.loads(reply.body)["type"]) == (503, "ServiceUnavailableException")
                assert (b"retry-after", b"1") in reply.headers
            plane.opened, plane.draining = True, True
            assert (await router.handle(Request("GET", "/ping"))).status == 503

    asyncio.run(asked())


def test_the_only_model_need_not_be_named(null_bundle: Path) -> None:
    async def asked() -> None:
        with opened(null_bundle) as plane:
            request = Request("POST", "/invocations", body=json.dumps(X.tolist()).encode())
            reply = await Router(plane, (TorchServe(plane),)).handle(request)
            assert (reply.status, request.model) == (200, "linear")

    asyncio.run(asked())


# Whatever a client may think of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["AAAA", [0] * 12, [[0, 0]], [0, 0]]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "body", "instances", "b64", "x", "a", "b", "image", "file"]), inner, max_size=3)
    ),
    max_leaves=8,
)
# The others take as long as they are told to.
MODELS = st.sampled_from(["linear", "picture", "many", "files"])
KINDS = st.sampled_from(
    ["", "application/json", "image/png", "text/plain", forms.URLENCODED, "multipart/form-data; boundary=x", 'a; b="', "é"]
)
ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)


def assert_answered(answered: Answered) -> None:
    """With JSON, or a refusal that is the client's fault."""
    if answered.status != 200:
        assert 400 <= answered.status < 500
        assert_refused(answered, answered.status, answered.json["type"])
    assert answered.json is not ...


@ANY
@given(JSON, MODELS, st.sampled_from(["", "application/json"]))
def test_any_json_gets_an_answer_or_one_sentence(ask: Ask, body: object, model: str, kind: str) -> None:
    assert_answered(ask("POST", f"/predictions/{model}", json.dumps(body).encode(), kind))


@ANY
@given(st.binary(max_size=100) | st.just(bytes(48)), MODELS, KINDS)
def test_any_bytes_get_an_answer_or_one_sentence(ask: Ask, body: bytes, model: str, kind: str) -> None:
    assert_answered(ask("POST", f"/predictions/{model}", body, kind))


HEAD = b'Content-Disposition: form-data; name="data"'
PIECES = [
    b"--x",
    b"--x--",
    b"\r\n",
    HEAD,
    b"\r\n\r\n",
    b"[0, 0]",
    b"; ",
    b":",
    b"name*0*=utf-8''a",
    b"filename=",
    b'"',
    b"Content-Type: ",
    b"\xff",
]


@ANY
@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_any_form_gets_an_answer_or_one_sentence(ask: Ask, pieces: list[bytes]) -> None:
    assert_answered(ask("POST", "/predictions/linear", b"--x\r\n" + b"".join(pieces), "multipart/form-data; boundary=x"))


@ANY
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]),
    st.lists(st.sampled_from(["models", "linear", "1", "set-default", "all", "", "x", "invoke", "predict"]), max_size=4),
    st.dictionaries(st.sampled_from(["url", "model_name", "min_worker", "max_worker", "limit", "next_page_token", "initial_workers",
                                     "synchronous"]), st.sampled_from(["", "0", "1", "-1", "9" * 30, "true", "..", "/", "x", "ü", "٣"])),
)  # fmt: skip
def test_any_management_gets_an_answer_or_one_sentence(ask: Ask, method: str, parts: list[str], query: dict[str, str]) -> None:
    path = "/".join(["/models", *map(quote, parts)])
    answered = ask(method, path, query=urlencode(query))
    assert answered.status in (200, 202) or 400 <= answered.status < 500, answered.body
    assert answered.json is not ...
