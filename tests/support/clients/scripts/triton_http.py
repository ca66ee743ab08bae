"""Everything that tritonclient does over HTTP, to the server at the address given first: sync, then asyncio.

The server has the models linear, many, picture, echo and files; the second argument is an image file.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as http
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

A, B = np.array([[1, 2], [3, 4]], np.float32), np.array([-7, 2**40])
CODINGS = (None, "gzip", "deflate")


def tensor(name: str, array: np.ndarray, *, binary: bool = True) -> http.InferInput:
    """An input."""
    given = http.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def many(*, binary: bool = True) -> list[http.InferInput]:
    """The inputs of the model of that name."""
    return [tensor("a", A, binary=binary), tensor("b", B, binary=binary)]


def linear(*, binary: bool = True, rows: int = 3) -> list[http.InferInput]:
    """The input of the model of that name."""
    return [tensor("x", np.arange(12 * rows, dtype=np.float32).reshape(rows, 12) / 24, binary=binary)]


def refusal(call: Any, *arguments: Any, **options: Any) -> list[str]:
    """Status and message of a call that must be refused."""
    try:
        call(*arguments, **options)
    except InferenceServerException as problem:
        return [problem.status(), problem.message()]
    raise AssertionError(f"{call} was not refused")


def state(client: http.InferenceServerClient) -> dict[str, Any]:
    """What the server says of itself and its models."""
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": [client.is_model_ready("linear"), client.is_model_ready("linear", "1"), client.is_model_ready("none")],
        "server": client.get_server_metadata(),
        "metadata": client.get_model_metadata("many"),
        "config": client.get_model_config("many"),
        "statistics": client.get_inference_statistics("linear"),
        "all_statistics": client.get_inference_statistics(),
        "index": client.get_model_repository_index(),
    }


def answers(client: http.InferenceServerClient, image: bytes) -> dict[str, Any]:
    """Every form of an inference."""
    found: dict[str, Any] = {}
    asked = [http.InferRequestedOutput("sum"), http.InferRequestedOutput("count", binary_data=False)]
    for binary in (True, False):
        answer = client.infer("many", many(binary=binary), outputs=asked, request_id="7")
        found[f"many_{binary}"] = [answer.as_numpy("sum").tolist(), answer.as_numpy("count").tolist(), answer.get_response()["id"]]
    found["everything"] = {name: client.infer("many", many()).as_numpy(name).tolist() for name in ("sum", "flag", "half", "count")}
    for up in CODINGS:
        for down in CODINGS:
            answer = client.infer(
                "linear", linear(rows=300), request_compression_algorithm=up, response_compression_algorithm=down, timeout=60_000_000
            )
            found[f"coding_{up}_{down}"] = [list(answer.as_numpy("y").shape), float(answer.as_numpy("y").sum())]
    found["plain"] = float(client.infer("linear", linear(rows=300, binary=False)).as_numpy("y").sum())
    texts = np.array(["grün".encode(), b"\xff\0", b""], dtype=object)
    found["bytes"] = [one.hex() for one in client.infer("files", [tensor("file", texts)]).as_numpy("same")]
    classes = [http.InferRequestedOutput("logits", class_count=2)]
    answer = client.infer("picture", [tensor("image", np.array([image], dtype=object))], outputs=classes)
    found["classes"] = [[one.decode() for one in row] for row in answer.as_numpy("logits")]
    pending = [client.async_infer("linear", linear(rows=rows)) for rows in range(1, 9)]
    found["async"] = [len(one.get_result().as_numpy("y")) for one in pending]
    return found


def refusals(client: http.InferenceServerClient) -> dict[str, Any]:
    """What is no request."""
    wrong = linear()[0]
    wrong.set_shape([3, 13])
    return {
        "model": refusal(client.infer, "none", linear()),
        "version": refusal(client.infer, "linear", linear(), model_version="9"),
        "shape": refusal(client.infer, "linear", [tensor("x", np.zeros((1, 13), np.float32))]),
        "cut": refusal(client.infer, "linear", [wrong]),
        "dtype": refusal(client.infer, "linear", [tensor("x", np.zeros((1, 12)))]),
        "name": refusal(client.infer, "linear", [tensor("z", np.zeros((1, 12), np.float32))]),
        "missing": refusal(client.infer, "many", many()[:1]),
        "output": refusal(client.infer, "linear", linear(), outputs=[http.InferRequestedOutput("z")]),
        "half": refusal(client.infer, "many", many(), outputs=[http.InferRequestedOutput("half", binary_data=False)]),
        "late": refusal(client.infer, "echo", [tensor("x", np.array([[0, 0.5]], np.float32))], timeout=1000),
        "metadata": refusal(client.get_model_metadata, "none"),
        "config": refusal(client.load_model, "linear", config='{"max_batch_size": 8}'),
        "files": refusal(client.load_model, "linear", config="{}", files={"file:1/model.onnx": b"hi"}),
    }


def management(client: http.InferenceServerClient) -> dict[str, Any]:
    """Unload a model, load it again."""

    def look() -> list[Any]:
        return [
            [entry.get("state") for entry in client.get_model_repository_index() if entry["name"] == "echo"],
            client.is_model_ready("echo"),
        ]

    found: dict[str, Any] = {"before": look()}
    client.unload_model("echo")
    found["unloaded"] = look()
    found["gone"] = refusal(client.infer, "echo", [tensor("x", np.zeros((1, 2), np.float32))])
    client.unload_model("a-model-that-never-was")
    client.load_model("echo")
    found["loaded"] = look()
    found["answers"] = client.infer("echo", [tensor("x", np.ones((1, 2), np.float32) * 0)]).as_numpy("y").tolist()
    found["never"] = refusal(client.load_model, "a-model-that-never-was")
    return found


async def asyncio_client(address: str) -> dict[str, Any]:
    """The same server from an event loop."""
    async with aio.InferenceServerClient(address) as client:
        found: dict[str, Any] = {
            "live": await client.is_server_live(),
            "ready": [await client.is_server_ready(), await client.is_model_ready("many")],
            "metadata": await client.get_model_metadata("many"),
            "config": await client.get_model_config("many"),
            "statistics": (await client.get_inference_statistics("many"))["model_stats"][0]["name"],
            "index": await client.get_model_repository_index(),
        }
        answers = await asyncio.gather(*(client.infer("linear", linear(rows=rows)) for rows in range(1, 9)))
        found["async"] = [len(answer.as_numpy("y")) for answer in answers]
        for coding in CODINGS:
            options = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
            answer = await client.infer("linear", linear(rows=300), **options)
            found[f"coding_{coding}"] = float(answer.as_numpy("y").sum())
        try:
            await client.infer("linear", [tensor("x", np.zeros((1, 13), np.float32))])
        except InferenceServerException as problem:
            found["shape"] = [problem.status(), problem.message()]
    return found


def main(url: str, image: str) -> None:
    """Ask everything, print what came."""
    address = url.partition("://")[2]
    with http.InferenceServerClient(address, concurrency=4) as client:
        found = {"answers": answers(client, Path(image).read_bytes()), "refusals": refusals(client)}
        found |= {"state": state(client), "asyncio": asyncio.run(asyncio_client(address)), "management": management(client)}
    print(json.dumps(found))


main(*sys.argv[1:])
