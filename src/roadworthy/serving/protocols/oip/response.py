"""The answer to an inference request of the Open Inference Protocol over HTTP: JSON, then the tensors that were asked for in binary."""

from __future__ import annotations

from typing import Any

import orjson

from roadworthy.serving.engine.dataplane import InferResponse
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols.messages import Reply
from roadworthy.serving.protocols.oip import tensors
from roadworthy.serving.protocols.oip.outputs import chosen
from roadworthy.serving.protocols.oip.request import HEADER_LENGTH, OipRequest


def write(response: InferResponse, model: LocalEngine, request: OipRequest) -> Reply:
    """``response`` as ``request`` asks for it; raises InvalidRequest for an output that the protocol cannot express."""
    outputs: list[dict[str, Any]] = []
    tail: list[bytes | memoryview] = []
    for name, array in chosen(response, model, request.wanted):
        output: dict[str, Any] = {"name": name, "datatype": tensors.datatype_of(name, array), "shape": list(array.shape)}
        if request.in_binary(name):
            tail.append(tensors.to_binary(array))
            output["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            output["data"] = tensors.to_json(name, array)
        outputs.append(output)
    answer: dict[str, Any] = {"model_name": response.model, "model_version": response.version, "outputs": outputs}
    if request.id is not None:
        answer["id"] = request.id
    head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tail:
        return Reply(200, head)
    return Reply(
        200,
        b"".join((head, *tail)),
        content_type=b"application/octet-stream",
        headers=((HEADER_LENGTH, str(len(head)).encode()),),
    )
