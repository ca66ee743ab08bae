"""Whatever a client may think of is answered, or refused in one sentence: never an error of the server's."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.servers.asking import Answered, Ask, assert_refused, infer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "shape", "data", "parameters"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ("name", "shape", "datatype", "data", "parameters")
VALUES = st.one_of(
    JSON,
    st.sampled_from(
        [
            "x",
            "y",
            "label",
            "FP32",
            "FP16",
            "BYTES",
            "BOOL",
            [1, 12],
            [12],
            [[0] * 12],
            [0] * 12,
            {"binary_data_size": 48},
            {"binary_data": True},
            {"classification": 2},
            {"timeout": 10**7},
        ]
    ),
)
TENSOR = st.dictionaries(st.sampled_from(FIELDS), VALUES) | st.builds(
    lambda changes: {"name": "x", "shape": [1, 12], "datatype": "FP32", "data": [0] * 12, **changes},
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2),
)
REQUEST = st.fixed_dictionaries(
    {"inputs": st.lists(TENSOR, max_size=3) | JSON},
    optional={"id": JSON, "parameters": VALUES, "outputs": st.lists(TENSOR, max_size=3) | JSON},
)
ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)


def assert_answered(answered: Answered) -> None:
    if answered.status == 200:
        assert answered.outputs
    else:
        assert 400 <= answered.status < 500
        assert_refused(answered, answered.status)


@ANY
@given(REQUEST | JSON, st.sampled_from(["linear", "picture", "many", "files"]))
def test_any_json_gets_an_answer_or_one_sentence(ask: Ask, request_: object, model: str) -> None:
    assert_answered(infer(ask, model, request_))


@ANY
@given(
    st.binary(max_size=64), st.sampled_from(["linear", "picture", "many", "files"]), st.sampled_from(["", "image/png", "application/json"])
)
def test_any_bytes_get_an_answer_or_one_sentence(ask: Ask, body: bytes, model: str, kind: str) -> None:
    assert_answered(infer(ask, model, body, {"Content-Type": kind}))


@ANY
@given(REQUEST, st.binary(max_size=64) | st.just(bytes(48)), st.integers(-3, 3), st.none() | st.text("0123456789-+ xé", max_size=6))
def test_any_binary_request_gets_an_answer_or_one_sentence(ask: Ask, request_: object, tail: bytes, off: int, length: str | None) -> None:
    head = json.dumps(request_).encode()
    size = str(len(head) + off) if length is None else length
    assert_answered(infer(ask, "linear", head + tail, {"Inference-Header-Content-Length": size}))


@ANY
@given(
    st.text(max_size=30)
    | st.lists(
        st.sampled_from(
            ["models", "linear", "versions", "1", "infer", "ready", "stats", "config", "repository", "index", "load", "", ".."]
        ),
        max_size=7,
    ).map("/".join),
    REQUEST | JSON,
)
def test_any_path_gets_an_answer(ask: Ask, path: str, body: object) -> None:
    for method in ("GET", "POST", "PATCH"):
        answered = ask(method, f"/v2/{path}", body)
        # A repository's name before load and unload is Triton's own 501.
        assert answered.status < 500 or (answered.status == 501 and path.endswith("load"))
