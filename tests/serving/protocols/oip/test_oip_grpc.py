"""The Open Inference Protocol over gRPC: tritonclient as its users have it, and by hand what it does not send."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.serving.protocols import proto
from roadworthy.serving.protocols.proto import health, inference
from support.clients.environments import client_python, drive
from support.servers.serving import LABELS, Server, in_flight
from support.waiting import HANG_SECONDS, until

SERVICE = "inference.GRPCInferenceService"
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def server(echo_bundle: Path, many_bundle: Path, picture_bundle: Path, files_bundle: Path) -> Iterator[Server]:
    """Four models, and gRPC."""
    running = Server(echo_bundle, many_bundle, picture_bundle, files_bundle, grpc_port=0, limits={"body": 2**20})
    running.wait_ready()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    """To that server, taking what it answers whatever its size."""
    with grpc.insecure_channel(server.grpc_address) as opened:
        yield opened


def ask(channel: grpc.Channel, rpc: str, request: Any, service: str = SERVICE, **options: Any) -> Any:
    """The response of a unary RPC; ``request`` is a message or bytes."""
    data = request if isinstance(request, bytes) else request.SerializeToString()
    answer = channel.unary_unary(f"/{service}/{rpc}")(data, **{"timeout": HANG_SECONDS} | options)
    return proto.rpcs(service)[rpc].response.FromString(answer)


def code(call: Call, *arguments: Any, **options: Any) -> tuple[str, str]:
    """The code and the sentence of what must be refused."""
    with pytest.raises(grpc.RpcError) as refusal:
        call(*arguments, **options)
    return refusal.value.code().name, refusal.value.details()


def echo(*rows: tuple[float, float], **fields: Any) -> Any:
    """A request to the echo, raw."""
    array = np.array(rows, np.float32).reshape(-1, 2)
    request = inference.ModelInferRequest(model_name="echo", raw_input_contents=[array.tobytes()], **fields)
    request.inputs.add(name="x", datatype="FP32", shape=array.shape)
    return request


def typed(name: str, datatype: str, shape: tuple[int, ...], model: str = "echo", **contents: Any) -> Any:
    """A request of one input with typed contents."""
    request = inference.ModelInferRequest(model_name=model)
    request.inputs.add(name=name, datatype=datatype, shape=shape, contents=inference.InferTensorContents(**contents))
    return request


def test_tritonclient(server: Server, png: bytes, tmp_path: Path) -> None:
    (image := tmp_path / "image.png").write_bytes(png)
    found = drive(client_python("tritonclient-grpc", "tritonclient[grpc]==2.73.0"), "oip_grpc_client.py", server.grpc_address, image)
    sync, asynchronous = found["sync"], found["async"]
    assert (sync["live"], sync["ready"], sync["models ready"]) == (True, True, [True, True, False])
    assert sync["server"]["name"] == "roadworthy" and "classification" in sync["server"]["extensions"]
    assert [tensor["name"] for tensor in sync["metadata"]["outputs"]] == ["sum", "flag", "half", "count"]
    assert sync["metadata"]["inputs"][0] == {"name": "a", "datatype": "FP32", "shape": ["-1", "2"]}
    assert sync["config"]["config"]["input"][0] == {"name": "a", "data_type": "TYPE_FP32", "dims": ["2"]}
    assert sync["echo"] == [[1, 0], [2, 0]] and sync["echo response"]["id"] == "seven"
    assert sync["many"] == {
        "sum": [[-1, 0], [2, 3], [9, 10]], "flag": [False, False, True],
        "half": [[0, 1], [2, 3], [4, 5]], "count": [-2, 0, 10],
    }  # fmt: skip
    assert sync["dtypes"] == {"sum": "float32", "flag": "bool", "half": "float16", "count": "int64"}
    assert len(sync["labels"][0]) == 2 and len(sync["picture"]["logits"][0]) == 4
    assert sync["picture"]["probability"][0] == sorted(sync["picture"]["probability"][0], reverse=True)
    values, indices, labels = zip(*(text.split(":") for text in sync["classes"][0]), strict=True)
    assert float(values[0]) >= float(values[1]) and list(labels) == [LABELS[int(index)] for index in indices]
    assert sync["files"] == [list(b"RIFF\0"), [255]]
    assert sync["unknown"][0] == sync["wrong version"][0] == "StatusCode.NOT_FOUND"
    assert sync["wrong shape"][0] == sync["wrong dtype"][0] == "StatusCode.INVALID_ARGUMENT"
    assert sync["fails"][0] == "StatusCode.INTERNAL" and "thirteen" not in sync["fails"][1]
    assert sync["late"][0] == "StatusCode.DEADLINE_EXCEEDED"
    assert sync["shared memory"][0] == sync["trace"][0] == sync["log"][0] == "StatusCode.UNIMPLEMENTED"
    assert sync["statistics"]["inference_count"] == "3" and sync["statistics"]["inference_stats"]["success"]["count"] == "1"
    assert sync["unloaded"][:2] == [False, "StatusCode.NOT_FOUND"] and sync["loaded"]
    assert sync["load unknown"][0] == "StatusCode.NOT_FOUND" and sync["load with files"][0] == "StatusCode.INVALID_ARGUMENT"
    assert sync["index"] == [["echo", "READY"], ["files", "READY"], ["many", "READY"], ["picture", "READY"]]
    assert sync["stream"][:20] + sync["stream"][21:] == [[str(number), 100 + number] for number in range(40) if number != 20]
    assert "unknown" in sync["stream"][20]
    assert asynchronous == {"ready": True, "echo": list(range(100, 164)), "stream": list(range(100, 105))}


def test_the_placement_of_an_image(channel: grpc.Channel, png: bytes) -> None:
    """Given to clients that name it, as over HTTP: FP64 [samples, 2, 3]."""
    request = typed("image", "BYTES", (2,), model="picture", bytes_contents=[png, png])
    request.outputs.add(name="placement")
    answer = ask(channel, "ModelInfer", request)
    assert [(one.name, one.datatype, list(one.shape)) for one in answer.outputs] == [("placement", "FP64", [2, 2, 3])]
    found = np.frombuffer(answer.raw_output_contents[0], "<f8").reshape(2, 2, 3)
    assert np.array_equal(found, np.tile(np.eye(2, 3), (2, 1, 1)))


def test_typed_contents(channel: grpc.Channel) -> None:
    answer = ask(channel, "ModelInfer", typed("x", "FP32", (1, 2), fp32_contents=[1.5, 0]))
    assert np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() == [1.5, 0] and not answer.outputs[0].HasField("contents")
    request = typed("a", "FP32", (2, 2), model="many", fp32_contents=[1, 2, 3, 4])
    request.inputs.add(name="b", datatype="INT64", shape=(2,), contents=inference.InferTensorContents(int64_contents=[5, -6]))
    answer = ask(channel, "ModelInfer", request)
    assert [output.datatype for output in answer.outputs] == ["FP32", "BOOL", "FP16", "INT64"]
    assert np.frombuffer(answer.raw_output_contents[3], "<i8").tolist() == [10, -12]
    answer = ask(channel, "ModelInfer", typed("file", "BYTES", (1,), model="files", bytes_contents=[b"\xff\0"]))
    assert answer.raw_output_contents[1] == b"\x02\0\0\0\xff\0"


def test_outputs_by_name(channel: grpc.Channel) -> None:
    request = typed("a", "FP32", (1, 2), model="many", fp32_contents=[1, 2])
    request.inputs.add(name="b", datatype="INT64", shape=(1,), contents=inference.InferTensorContents(int64_contents=[5]))
    request.outputs.add(name="count")
    request.outputs.add(name="sum")
    assert [output.name for output in ask(channel, "ModelInfer", request).outputs] == ["count", "sum"]
    request.outputs.add(name="none such")
    assert code(ask, channel, "ModelInfer", request)[0] == "INVALID_ARGUMENT"


def timeout(microseconds: int) -> dict[str, Any]:
    """The protocol's own parameter for it."""
    return {"timeout": inference.InferParameter(int64_param=microseconds)}


def both() -> Any:
    request = echo((1, 0))
    request.inputs[0].contents.fp32_contents.append(1)
    return request


def too_few() -> Any:
    request = echo((1, 0))
    request.inputs.add(name="z", datatype="FP32", shape=(1,))
    return request


def in_shared_memory() -> Any:
    request = inference.ModelInferRequest(model_name="echo")
    request.inputs.add(name="x", datatype="FP32", shape=(1, 2)).parameters["shared_memory_region"].string_param = "r"
    return request


WRONG = {
    "raw and typed at once": (both, "INVALID_ARGUMENT", "both"),
    "raw for one of two": (too_few, "INVALID_ARGUMENT", "all of them, or none"),
    "shared memory": (in_shared_memory, "UNIMPLEMENTED", "shared memory"),
    "no inputs": (lambda: inference.ModelInferRequest(model_name="echo"), "INVALID_ARGUMENT", "no inputs"),
    "no model": (lambda: inference.ModelInferRequest(), "NOT_FOUND", "no model"),
    "negative size": (lambda: typed("x", "FP32", (-1, 2), fp32_contents=[1, 2]), "INVALID_ARGUMENT", "shape"),
    "a product that overflows": (lambda: typed("x", "FP32", (2**62, 2**62), fp32_contents=[1]), "INVALID_ARGUMENT", "elements"),
    "too few elements": (lambda: typed("x", "FP32", (2, 2), fp32_contents=[1]), "INVALID_ARGUMENT", "4 elements"),
    "elements of another type": (lambda: typed("x", "FP32", (1, 2), int_contents=[1, 2]), "INVALID_ARGUMENT", "fp32_contents has 0"),
    "out of range": (lambda: typed("x", "INT8", (1, 2), int_contents=[1, 200]), "INVALID_ARGUMENT", "outside int8"),
    "half in contents": (lambda: typed("x", "FP16", (1, 2), fp32_contents=[1, 2]), "INVALID_ARGUMENT", "raw_input_contents"),
    "no such datatype": (lambda: typed("x", "FP33", (1, 2)), "INVALID_ARGUMENT", "FP33"),
    "a name that is very long": (lambda: inference.ModelInferRequest(model_name="n" * 100_000), "NOT_FOUND", "nnnn"),
    "another input": (lambda: typed("z", "FP32", (1, 2), fp32_contents=[1, 2]), "INVALID_ARGUMENT", "x"),
    "a timeout below zero": (lambda: echo((1, 0), parameters=timeout(-1)), "INVALID_ARGUMENT", "timeout"),
    "a message above the limit": (lambda: echo((1, 0), id="i" * 2**20), "RESOURCE_EXHAUSTED", "larger"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit(channel: grpc.Channel, case: str) -> None:
    request, wanted, words = WRONG[case]
    found, sentence = code(ask, channel, "ModelInfer", request())
    assert (found, words in sentence) == (wanted, True), sentence


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rpc=st.sampled_from(sorted(proto.rpcs(SERVICE))), data=st.binary(max_size=200))
def test_bytes_that_are_no_message(channel: grpc.Channel, rpc: str, data: bytes) -> None:
    refused_or_answered(channel, rpc, data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_message_that_is_damaged(channel: grpc.Channel, data: st.DataObject) -> None:
    whole = bytearray(echo((1, 0), id="id").SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    refused_or_answered(channel, "ModelInfer", bytes(whole[: data.draw(st.integers(0, len(whole)))]))


def refused_or_answered(channel: grpc.Channel, rpc: str, data: bytes) -> None:
    """Whatever came, it is the client's fault, and the next one is answered."""
    described = proto.rpcs(SERVICE)[rpc]
    kind = f"{'stream' if described.client_streams else 'unary'}_{'stream' if described.server_streams else 'unary'}"
    call = getattr(channel, kind)(f"/{SERVICE}/{rpc}")
    try:
        list(call(iter([data]), timeout=HANG_SECONDS)) if described.server_streams else call(data, timeout=HANG_SECONDS)
    except grpc.RpcError as problem:
        assert problem.code().name in ("INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"), problem.details()
    assert ask(channel, "ServerLive", inference.ServerLiveRequest()).live


def test_health(channel: grpc.Channel) -> None:
    def check(service: str) -> Any:
        return ask(channel, "Check", health.HealthCheckRequest(service=service), service="grpc.health.v1.Health").status

    kinds = health.HealthCheckResponse
    assert [check(name) for name in ("", SERVICE, "echo")] == [kinds.SERVING] * 3
    assert code(check, "unknown")[0] == "NOT_FOUND"
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(health.HealthCheckRequest(service="unknown").SerializeToString())
    assert kinds.FromString(next(watch)).status == kinds.SERVICE_UNKNOWN
    watch.cancel()


def test_a_method_that_is_not_there(channel: grpc.Channel) -> None:
    assert code(lambda: channel.unary_unary(f"/{SERVICE}/Nothing")(b""))[0] == "UNIMPLEMENTED"
    assert code(lambda: channel.unary_unary("/no.Service/Nothing")(b""))[0] == "UNIMPLEMENTED"


def test_what_waits_for_a_client_that_has_gone_never_runs(serve: Callable[..., Server], steady_bundle: Path, gate: Path) -> None:
    server = serve(steady_bundle, grpc_port=0, workers=1)
    with server.client() as client, grpc.insecure_channel(server.grpc_address) as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        long = infer.future(echo((-2, 0)).SerializeToString())
        until(lambda: in_flight(client) == 1, "the long one runs")
        gone = [infer.future(echo((2, 1.0)).SerializeToString()) for _ in range(5)]
        until(lambda: in_flight(client) == 6, "five wait")
        late = [infer.future(echo((3, 1.0)).SerializeToString(), timeout=0.2) for _ in range(5)]
        by_parameter = infer.future(echo((4, 1.0), parameters=timeout(100_000)).SerializeToString())
        for call in gone:
            call.cancel()
        assert {call.code().name for call in late} == {"DEADLINE_EXCEEDED"} == {by_parameter.code().name}
        until(lambda: in_flight(client) == 1, "no other call waits")
        gate.touch()
        long.result(timeout=HANG_SECONDS)
        ask(channel, "ModelInfer", echo((5, 0)))
        statistics = ask(channel, "ModelStatistics", inference.ModelStatisticsRequest(name="echo")).model_stats[0]
        assert statistics.inference_count == 2 == statistics.execution_count


def test_stopping_answers_what_was_accepted_and_lets_streams_go(serve: Callable[..., Server], steady_bundle: Path) -> None:
    server = serve(steady_bundle, grpc_port=0, workers=1)
    kinds = health.HealthCheckResponse
    with server.client() as client, grpc.insecure_channel(server.grpc_address) as channel:
        accepted = channel.unary_unary(f"/{SERVICE}/ModelInfer").future(echo((1, 1.0)).SerializeToString())
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        assert kinds.FromString(next(watch)).status == kinds.SERVING
        silent = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(endless(done := threading.Event()))
        until(lambda: in_flight(client) == 1, "it is accepted")
        assert server.stop() == 0
        assert inference.ModelInferResponse.FromString(accepted.result(timeout=HANG_SECONDS)).model_name == "echo"
        assert [kinds.FromString(status).status for status in watch] == [kinds.NOT_SERVING]
        assert list(silent) == []
        done.set()


def endless(done: threading.Event) -> Iterator[bytes]:
    """A client that keeps its stream open and says nothing."""
    done.wait(HANG_SECONDS)
    yield from ()
