"""tritonclient over gRPC, sync and async, against a server of echo, many, picture and files: what it answers, as JSON."""

from __future__ import annotations

import asyncio
import json
import queue
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as aio
from tritonclient.utils import InferenceServerException

ADDRESS, IMAGE = sys.argv[1], Path(sys.argv[2]).read_bytes()


def tensor(name: str, array: np.ndarray, datatype: str) -> triton.InferInput:
    """An input with its data, raw."""
    found = triton.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array)
    return found


def x(*rows: tuple[float, float]) -> list[triton.InferInput]:
    """The echo's input."""
    return [tensor("x", np.array(rows, np.float32), "FP32")]


def refused(call: Any, *arguments: Any, **options: Any) -> list[str]:
    """The code and the sentence of a call that must fail."""
    try:
        call(*arguments, **options)
    except InferenceServerException as problem:
        return [str(problem.status()), str(problem.message())]
    return ["answered", ""]


def sync() -> dict[str, Any]:
    """Everything that the blocking client asks."""
    found: dict[str, Any] = {}
    with triton.InferenceServerClient(ADDRESS) as client:
        found["live"], found["ready"] = client.is_server_live(), client.is_server_ready()
        found["models ready"] = [client.is_model_ready("echo"), client.is_model_ready("echo", "1"), client.is_model_ready("unknown")]
        found["server"] = client.get_server_metadata(as_json=True)
        found["metadata"] = client.get_model_metadata("many", as_json=True)
        found["config"] = client.get_model_config("many", as_json=True)
        result = client.infer("echo", x((1, 0), (2, 0)), request_id="seven")
        found["echo"], found["echo response"] = result.as_numpy("y").tolist(), result.get_response(as_json=True)
        a, b = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([-1, 0, 5])
        result = client.infer("many", [tensor("a", a, "FP32"), tensor("b", b, "INT64")])
        found["many"] = {name: result.as_numpy(name).tolist() for name in ("sum", "flag", "half", "count")}
        found["dtypes"] = {name: result.as_numpy(name).dtype.name for name in ("sum", "flag", "half", "count")}
        result = client.infer("picture", [tensor("image", np.array([IMAGE], object), "BYTES")])
        found["picture"] = {name: result.as_numpy(name).tolist() for name in ("logits", "probability")}
        found["labels"] = [[text.decode() for text in row] for row in result.as_numpy("label")]
        classified = triton.InferRequestedOutput("logits", class_count=2)
        result = client.infer("picture", [tensor("image", np.zeros((1, 3, 8, 8), np.float32), "FP32")], outputs=[classified])
        found["classes"] = [[text.decode() for text in row] for row in result.as_numpy("logits")]
        result = client.infer("files", [tensor("file", np.array([b"RIFF\0", b"\xff"], object), "BYTES")])
        found["files"] = [list(text) for text in result.as_numpy("same")]
        found["unknown"] = refused(client.infer, "unknown", x((1, 0)))
        found["wrong version"] = refused(client.infer, "echo", x((1, 0)), model_version="77")
        found["wrong shape"] = refused(client.infer, "echo", [tensor("x", np.zeros((1, 3), np.float32), "FP32")])
        found["wrong dtype"] = refused(client.infer, "echo", [tensor("x", np.zeros((1, 2), np.int64), "INT64")])
        found["fails"] = refused(client.infer, "echo", x((13, 0)))
        found["late"] = refused(client.infer, "echo", x((1, 0.5)), client_timeout=0.1)
        found["shared memory"] = refused(client.get_system_shared_memory_status)
        found["trace"] = refused(client.get_trace_settings)
        found["log"] = refused(client.get_log_settings)
        statistics = client.get_inference_statistics("many", as_json=True)
        found["statistics"] = statistics["model_stats"][0]
        client.unload_model("many")
        found["unloaded"] = [client.is_model_ready("many"), *refused(client.infer, "many", [])]
        client.load_model("many")
        found["loaded"] = client.is_model_ready("many")
        found["load unknown"] = refused(client.load_model, "unknown")
        found["load with files"] = refused(client.load_model, "many", config="{}")
        found["index"] = sorted((model["name"], model["state"]) for model in client.get_model_repository_index(as_json=True)["models"])
        found["stream"] = stream(client)
    return found


def stream(client: triton.InferenceServerClient) -> list[Any]:
    """Requests of one stream, one of them refused."""
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(40):
        client.async_stream_infer("echo" if number != 20 else "unknown", x((100 + number, 0)), request_id=str(number))
    found = []
    for _ in range(40):
        result, error = answers.get(timeout=30)
        found.append(str(error.message()) if error else [result.get_response().id, result.as_numpy("y")[0, 0].item()])
    client.stop_stream()
    return found


async def asynchronous() -> dict[str, Any]:
    """The same roads by the client for asyncio: many at a time, and a stream."""
    found: dict[str, Any] = {}
    async with aio.InferenceServerClient(ADDRESS) as client:
        found["ready"] = await client.is_server_ready()
        results = await asyncio.gather(*(client.infer("echo", x((100 + number, 0))) for number in range(64)))
        found["echo"] = [result.as_numpy("y")[0, 0].item() for result in results]

        async def requests() -> Any:
            for number in range(5):
                yield {"model_name": "echo", "inputs": x((100 + number, 0)), "request_id": str(number)}

        found["stream"] = [
            str(error) if error else result.as_numpy("y")[0, 0].item() async for result, error in client.stream_infer(requests())
        ]
    return found


print(json.dumps({"sync": sync(), "async": asyncio.run(asynchronous())}))
