"""TensorFlow Serving over gRPC: a real server and a real channel in this process, and hostile tensors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.core.errors import InvalidRequest, TooLarge
from roadworthy.core.types import BYTES, Signature, TensorSpec
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.protocols.tfserving import tensors
from roadworthy.serving.registry.catalogue import Served, Version
from roadworthy.serving.registry.commands import AnyCommand, Configure, Replace
from roadworthy.serving.settings import Settings
from support.models import bundles
from support.servers.dataplanes import opened
from support.servers.serving import LABELS, strings

grpc = pytest.importorskip("grpc")

from roadworthy.serving.protocols import proto as protocols_proto  # noqa: E402
from roadworthy.serving.protocols.proto import tensorflow as tf  # noqa: E402
from roadworthy.serving.protocols.proto import tensorflow_serving as tfs  # noqa: E402
from roadworthy.serving.transports import grpc as transport  # noqa: E402  after the skip
from support.waiting import HANG_SECONDS  # noqa: E402

X = np.arange(24, dtype=np.float32).reshape(2, 12) / 24
PRICE = Signature((TensorSpec("x", "float32", ("batch", 3)),), (TensorSpec("y", "float32", ("batch", 1)),))
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
LIMIT = 1 << 20

Call = Callable[..., Any]


class Refused(Exception):
    """The code and the sentence of a call that got no answer."""

    def __init__(self, problem: Any) -> None:
        super().__init__(problem.details())
        self.code, self.sentence = problem.code().name, problem.details()


@pytest.fixture(scope="module")
def commands() -> list[AnyCommand]:
    """What the server was told to do."""
    return []


@pytest.fixture(scope="module")
def place(
    null_bundle: Path, many_bundle: Path, picture_bundle: Path, files_bundle: Path, echo_bundle: Path,
    commands: list[AnyCommand], tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[DataPlane, Call]]:  # fmt: skip
    """The dataplane, and ``call(service, rpc, **fields)`` or ``call(service, rpc, bytes)`` over a channel."""
    price = bundles.write_bundle(tmp_path_factory.mktemp("bundles") / "price", name="price", version="v2-final", signature=PRICE)

    async def entered(stack: ExitStack) -> DataPlane:
        paths = (null_bundle, many_bundle, picture_bundle, files_bundle, echo_bundle, price)
        return stack.enter_context(opened(*paths, limits=ServerLimits(body=LIMIT), commands=commands))

    with asyncio.Runner() as runner, ExitStack() as stack:
        plane = runner.run(entered(stack))
        server = runner.run(transport.start(Settings(sources=()), 0, plane))

        async def connect() -> Any:
            return grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")

        channel = runner.run(connect())

        async def ask(service: str, name: str, body: bytes | None = None, **fields: Any) -> Any:
            rpc = protocols_proto.rpcs(f"tensorflow.serving.{service}")[name]
            method = channel.unary_unary(f"/{rpc.service}/{name}", response_deserializer=rpc.response.FromString)
            try:
                return await method(rpc.request(**fields).SerializeToString() if body is None else body, timeout=HANG_SECONDS)
            except grpc.aio.AioRpcError as problem:
                raise Refused(problem) from None

        yield plane, lambda *request, **fields: runner.run(ask(*request, **fields))
        runner.run(channel.close())
        runner.run(server.stop(1))


@pytest.fixture(scope="module")
def call(place: tuple[DataPlane, Call]) -> Call:
    """See ``place``."""
    return place[1]


def tensor(array: np.ndarray) -> Any:
    """In the field of its type."""
    found = tf.TensorProto()
    tensors.fill(found, array)
    return found


def content(array: np.ndarray, dtype: str) -> Any:
    """In ``tensor_content``."""
    shape = {"dim": [{"size": size} for size in array.shape]}
    return tf.TensorProto(dtype=dtype, tensor_shape=shape, tensor_content=array.tobytes())


def examples(**features: Any) -> dict[str, Any]:
    return {
        "example_list": {
            "examples": [
                example(**{name: column[index] for name, column in features.items()}) for index in range(len(next(iter(features.values()))))
            ]
        }
    }


def example(**features: Any) -> dict[str, Any]:
    kinds = {float: "float_list", int: "int64_list", bytes: "bytes_list"}
    return {"features": {"feature": {name: {kinds[type(values[0])]: {"value": values}} for name, values in features.items()}}}


def assert_refused(call: Call, code: str, *request: Any, says: str = "", **fields: Any) -> None:
    with pytest.raises(Refused) as refused:
        call(*request, **fields)
    assert refused.value.code == code and says in refused.value.sentence and "\n" not in refused.value.sentence, refused.value.args


# Predict


def test_predict_in_both_forms_of_a_tensor(call: Call, null_bundle: Path) -> None:
    with LocalEngine(null_bundle) as model:
        wanted = model.run({"x": X})["y"]
    for sent in (tensor(X), content(X, "DT_FLOAT")):
        answer = call("PredictionService", "Predict", model_spec={"name": "linear"}, inputs={"x": sent})
        (name,) = answer.outputs
        assert name == "y" and not answer.outputs["y"].tensor_content and len(answer.outputs["y"].float_val) == wanted.size
        np.testing.assert_allclose(tensors.to_array("y", answer.outputs["y"], LIMIT), wanted, rtol=1e-6)
        spec = answer.model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("linear", 1, "serving_default")


def test_version_0_is_the_default_unless_there_is_one(call: Call) -> None:
    spec = {"name": "linear", "version": {}}
    assert call("PredictionService", "Predict", model_spec=spec, inputs={"x": tensor(X)}).model_spec.version.value == 1
    assert [one.version for one in call("ModelService", "GetModelStatus", model_spec=spec).model_version_status] == [1]


def test_outputs_of_every_dtype_and_the_filter(call: Call) -> None:
    a, b = np.array([[1, 2], [3, 4]], np.float32), np.array([-7, 2**40])
    request = {"model_spec": {"name": "many", "version": {"value": 1}}, "inputs": {"a": tensor(a), "b": tensor(b)}}
    outputs = call("PredictionService", "Predict", **request).outputs
    assert set(outputs) == {"sum", "flag", "half", "count"}
    assert list(outputs["flag"].bool_val) == [False, True] and list(outputs["count"].int64_val) == [-14, 2**41]
    assert np.array_equal(np.array(outputs["half"].half_val, np.uint16).view(np.float16), [1, 2, 3, 4])
    assert list(outputs["sum"].float_val) == (a + b[:, None].astype(np.float32)).ravel().tolist()
    assert list(call("PredictionService", "Predict", **request, output_filter=["count"]).outputs) == ["count"]
    assert_refused(call, "INVALID_ARGUMENT", "PredictionService", "Predict", **request, output_filter=["nope"], says="nope")
    assert_refused(call, "INVALID_ARGUMENT", "PredictionService", "Predict", **request, output_filter=["flag"] * 2, says="twice")


def test_encoded_images_in_place_of_tensors(call: Call, picture_bundle: Path, png: bytes) -> None:
    with LocalEngine(picture_bundle) as model:
        wanted = model(png)
    for sent in (strings(png), np.array(strings(png)[0])):
        answer = call("PredictionService", "Predict", model_spec={"name": "picture"}, inputs={"image": tensor(sent)})
        np.testing.assert_allclose(answer.outputs["logits"].float_val, wanted.outputs["logits"][0], rtol=1e-6)
    answer = call("PredictionService", "Classify", model_spec={"name": "picture"}, input=examples(image=[[png]]))
    ((first, second),) = wanted.ranked
    found = answer.result.classifications[0].classes
    assert [one.label for one in found] == [first.label, second.label] and first.label in LABELS
    assert found[0].score == pytest.approx(first.score)
    refused = {"model_spec": {"name": "picture"}, "inputs": {"image": tensor(strings(b"no image"))}}
    assert_refused(call, "INVALID_ARGUMENT", "PredictionService", "Predict", **refused)


def test_byte_strings(call: Call) -> None:
    answer = call("PredictionService", "Predict", model_spec={"name": "files"}, inputs={"file": tensor(strings(b"a\0", b"\xff"))})
    assert list(answer.outputs["same"].string_val) == [b"a\0", b"\xff"]


def test_what_overflows_in_the_model_does_so_in_silence(call: Call) -> None:
    x = np.full((1, 12), np.inf, np.float32)
    x[0, ::2] = np.finfo(np.float32).max
    answer = call("PredictionService", "Predict", model_spec={"name": "linear"}, inputs={"x": tensor(x)})
    assert not np.isfinite(answer.outputs["y"].float_val).any()


# Classify, regress, both


def test_regressions_and_a_context(call: Call) -> None:
    spec = {"name": "price", "version_label": "v2-final"}
    two = call("PredictionService", "Regress", model_spec=spec, input=examples(x=[[1, 2, 3], [4, 5, 6]]))
    assert len(two.result.regressions) == 2 and two.model_spec.version_label == "v2-final"
    context = {"example_list_with_context": {"context": example(x=[4, 5, 6]), "examples": [example(x=[1.0, 2.0, 3.0]), {}]}}
    assert call("PredictionService", "Regress", model_spec=spec, input=context).result == two.result
    task = {"model_spec": spec, "method_name": REGRESS}
    many = call("PredictionService", "MultiInference", tasks=[task], input=context)
    assert many.results[0].regression_result == two.result and many.results[0].model_spec == two.model_spec
    both = [task, {"model_spec": spec, "method_name": CLASSIFY}]
    assert_refused(call, "INVALID_ARGUMENT", "PredictionService", "MultiInference", tasks=both, input=context, says="cannot classify")


def test_classes_and_several_tasks(call: Call, null_bundle: Path) -> None:
    with LocalEngine(null_bundle) as model:
        wanted = [row[0].label for row in model(X).ranked]
    given = examples(x=X.tolist())
    answer = call("PredictionService", "Classify", model_spec={"name": "linear", "signature_name": "serving_default"}, input=given)
    assert [one.classes[0].label for one in answer.result.classifications] == wanted
    task = {"model_spec": {"name": "linear"}, "method_name": CLASSIFY}
    many = call("PredictionService", "MultiInference", tasks=[task, task], input=given)
    assert [result.classification_result for result in many.results] == [answer.result] * 2


# Metadata, states, configuration


def test_the_signature(call: Call) -> None:
    answer = call("PredictionService", "GetModelMetadata", model_spec={"name": "many"}, metadata_field=["signature_def"])
    packed = answer.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signature = tfs.SignatureDefMap.FromString(packed.value).signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict" and set(signature.outputs) == {"sum", "flag", "half", "count"}
    info = signature.inputs["a"]
    assert info.dtype == tf.DataType.Value("DT_FLOAT") and [dim.size for dim in info.tensor_shape.dim] == [-1, 2]
    for fields in ([], ["nope"], ["signature_def", "nope"]):
        asked = {"model_spec": {"name": "many"}, "metadata_field": fields}
        assert_refused(call, "INVALID_ARGUMENT", "PredictionService", "GetModelMetadata", **asked, says="metadata_field")


def test_states(call: Call, place: tuple[DataPlane, Call]) -> None:
    plane = place[0]
    before = plane.catalogue
    versions = (
        Version(version="3", path="", state="failed", reason="a byte is wrong"),
        Version(version="4", path="", state="loading"),
        Version(version="v5", path="", state="ready"),
    )
    plane.catalogue = before.with_model(Served(name="many", versions=versions))
    try:
        found = call("ModelService", "GetModelStatus", model_spec={"name": "many"}).model_version_status
        one = call("ModelService", "GetModelStatus", model_spec={"name": "many", "version": {"value": 4}}).model_version_status
    finally:
        plane.catalogue = before
    assert [(status.version, status.state) for status in found] == [(0, 30), (4, 20), (3, 50)]
    assert "'v5'" in found[0].status.error_message and (found[2].status.error_code, found[2].status.error_message) == (9, "a byte is wrong")
    assert [status.version for status in one] == [4]
    assert_refused(call, "NOT_FOUND", "ModelService", "GetModelStatus", model_spec={"name": "nope"}, says="Could not find any versions")


def test_a_configuration_replaces_the_set_of_models(call: Call, commands: list[AnyCommand]) -> None:
    configured = [
        {"name": "a", "base_path": "/models/a", "model_platform": "tensorflow"},
        {"name": "b", "base_path": "/models/b", "model_version_policy": {"all": {}}},
        {"name": "c", "base_path": "c", "model_version_policy": {"specific": {"versions": [3, 7]}}, "version_labels": {"stable": 3}},
        {"name": "d", "base_path": "d", "model_version_policy": {"latest": {"num_versions": 2}}},
    ]
    answer = call("ModelService", "HandleReloadConfigRequest", config={"model_config_list": {"config": configured}})
    assert answer.HasField("status") and answer.status.error_code == 0
    assert commands.pop() == Replace(
        (
            Configure(name="a", path="/models/a"),
            Configure(name="b", path="/models/b", latest=0),
            Configure(name="c", path="c", versions=("3", "7"), labels={"stable": "3"}),
            Configure(name="d", path="d", latest=2),
        )
    )
    for config in ({}, {"model_config_list": {"config": [configured[0]] * 2}}, {"model_config_list": {"config": [{"name": "a"}]}}):
        assert_refused(call, "INVALID_ARGUMENT", "ModelService", "HandleReloadConfigRequest", config=config)
    assert not commands


# Refusals

# What the misbehaving runtime cannot bear.
THIRTEEN = tf.TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1}, {"size": 2}]}, float_val=[13, 0])


@pytest.mark.parametrize(
    ("code", "fields", "says"),
    [("NOT_FOUND", {"model_spec": {"name": "nope"}}, "Latest(nope)"), ("INVALID_ARGUMENT", {}, "model_spec"),
     ("NOT_FOUND", {"model_spec": {"name": "linear", "version": {"value": 9}}}, "Specific(linear, 9)"),
     ("NOT_FOUND", {"model_spec": {"name": "linear", "version_label": "nope"}}, "label"),
     ("INVALID_ARGUMENT", {"model_spec": {"name": "linear", "signature_name": "nope"}}, '"nope" not found'),
     ("INVALID_ARGUMENT", {"model_spec": {"name": "linear"}}, "missing"),
     ("INVALID_ARGUMENT", {"model_spec": {"name": "linear"}, "inputs": {"x": tf.TensorProto()}}, "DT_INVALID"),
     ("INVALID_ARGUMENT", {"model_spec": {"name": "linear"}, "inputs": {"x": tf.TensorProto(dtype=99)}}, "99"),
     ("INTERNAL", {"model_spec": {"name": "echo"}, "inputs": {"x": THIRTEEN}}, "echo failed")],
)  # fmt: skip
def test_refusals_of_predict(call: Call, code: str, fields: dict[str, Any], says: str) -> None:
    assert_refused(call, code, "PredictionService", "Predict", **fields, says=says)


# Tensors


def proto(dtype: str, *sizes: int, **fields: Any) -> Any:
    return tf.TensorProto(dtype=dtype, tensor_shape={"dim": [{"size": size} for size in sizes]}, **fields)


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"]
)
def test_every_dtype_comes_and_goes(dtype: str) -> None:
    bounds = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    wanted = np.array([[0, 1, bounds.max if bounds else 1], [1, 0, bounds.min if bounds else 0]], dtype)
    for sent in (tensor(wanted), content(wanted, tensors.DATA_TYPES[dtype])):
        array = tensors.to_array("x", tf.TensorProto.FromString(sent.SerializeToString()), LIMIT)
        assert array.dtype == dtype and np.array_equal(array, wanted)


def test_numbers_that_are_not_finite_come_and_go() -> None:
    wanted = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    np.testing.assert_array_equal(tensors.to_array("x", tensor(wanted), LIMIT), wanted)


def test_the_last_element_stands_for_those_that_are_left_out() -> None:
    assert tensors.to_array("x", proto("DT_FLOAT", 2, 2, float_val=[1, 2]), LIMIT).tolist() == [[1, 2], [2, 2]]
    assert tensors.to_array("x", proto("DT_INT64", 2), LIMIT).tolist() == [0, 0]
    assert tensors.to_array("x", proto("DT_STRING", 2), LIMIT).tolist() == [b"", b""]
    assert tensors.to_array("x", proto("DT_STRING", 3, string_val=[b"a\0"]), LIMIT).tolist() == [b"a\0"] * 3
    assert tensors.to_array("x", proto("DT_HALF", 2, half_val=[0x3C00]), LIMIT).tolist() == [1, 1]


def test_byte_strings_in_tensor_content() -> None:
    long = b"x" * 300
    packed = bytes((1, 0xAC, 0x02, 0)) + b"a" + long
    array = tensors.to_array("x", proto("DT_STRING", 3, tensor_content=packed), LIMIT)
    assert array.dtype == BYTES and array.tolist() == [b"a", long, b""]


@pytest.mark.parametrize(
    "given",
    [proto("DT_FLOAT", 1, float_val=[1, 2]), proto("DT_FLOAT", -1, -1, float_val=[1]), proto("DT_FLOAT", 2, tensor_content=b"abc"),
     proto("DT_UINT8", 1, int_val=[256]), proto("DT_INT8", 1, int_val=[-129]), proto("DT_HALF", 1, half_val=[65536]),
     proto("DT_HALF", 1, half_val=[-1]), proto("DT_COMPLEX64", 1, scomplex_val=[1, 2]), proto("DT_BFLOAT16", 1, half_val=[1]),
     proto("DT_BOOL", 1, tensor_content=b"\2"), proto("DT_STRING", 1, tensor_content=b"\xff\xff\xff\xff\xff\xff\xff\xff"),
     proto("DT_STRING", 2, tensor_content=b"\1\1a"), proto("DT_FLOAT", *[1] * 33),
     tf.TensorProto(dtype=1, tensor_shape={"unknown_rank": True}, float_val=[1])],
)  # fmt: skip
def test_tensors_that_are_refused(given: Any) -> None:
    with pytest.raises(InvalidRequest):
        tensors.to_array("x", given, LIMIT)


@pytest.mark.parametrize("sizes", [(2**40,), (2**32, 2**32), (2**62, 2**62, 0), (2**20,)])
@pytest.mark.parametrize("dtype", ["DT_FLOAT", "DT_STRING", "DT_UINT8"])
def test_a_shape_cannot_fill_the_memory(dtype: str, sizes: tuple[int, ...]) -> None:
    with pytest.raises(TooLarge):
        tensors.to_array("x", proto(dtype, *sizes), LIMIT - 1)


# Attacks

_sizes = st.lists(st.integers(-3, 5) | st.sampled_from([2**31, 2**62, 0]), max_size=4)
_tensors = st.builds(
    lambda dtype, sizes, fields: tf.TensorProto(dtype=dtype, tensor_shape={"dim": [{"size": size} for size in sizes]}, **fields),
    st.integers(-1, 30),
    _sizes,
    st.fixed_dictionaries(
        {},
        optional={
            "tensor_content": st.binary(max_size=40),
            "float_val": st.lists(st.floats(width=32), max_size=4),
            "int_val": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
            "int64_val": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
            "half_val": st.lists(st.integers(-1, 2**17), max_size=4),
            "string_val": st.lists(st.binary(max_size=4), max_size=4),
            "bool_val": st.lists(st.booleans(), max_size=4),
        },
    ),
)
_names = st.sampled_from(["linear", "many", "picture", "files", "price", "nope"])


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(model=_names, inputs=st.dictionaries(st.sampled_from(["x", "a", "b", "file", "image"]), _tensors, max_size=2))
def test_whatever_tensor_comes_is_never_the_server_s_fault(call: Call, model: str, inputs: dict[str, Any]) -> None:
    try:
        call("PredictionService", "Predict", model_spec={"name": model}, inputs=inputs)
    except Refused as refused:
        assert refused.code in ("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"), (refused.code, refused.sentence)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rpc=st.sampled_from(["Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"]),
    body=st.binary(max_size=60),
    keep=st.integers(0, 200),
)
def test_whatever_bytes_come_are_never_the_server_s_fault(call: Call, rpc: str, body: bytes, keep: int) -> None:
    whole = tfs.PredictRequest(model_spec={"name": "linear"}, inputs={"x": tensor(X)}).SerializeToString()
    for sent in (body, whole[:keep] + body + whole[keep + len(body) :]):
        try:
            call("PredictionService", rpc, sent)
        except Refused as refused:
            assert refused.code in ("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"), (refused.code, refused.sentence)
