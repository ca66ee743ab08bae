"""What requests and answers of the Open Inference Protocol hold."""

from __future__ import annotations

from roadworthy.serving.protocols.schemas import COUNT, FLAG, OBJECT, TEXT, WHOLE, Schema, list_of, map_of, object_of, one_of

DATATYPE = one_of(
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES",
)  # fmt: skip
TENSOR = object_of({"name": TEXT, "datatype": DATATYPE, "shape": list_of(WHOLE), "parameters": OBJECT}, "parameters")
VALUES = object_of(
    {"name": TEXT, "datatype": DATATYPE, "shape": list_of(COUNT), "parameters": OBJECT, "data": {"type": "array"}}, "parameters", "data"
)
SPAN = object_of({"count": COUNT, "ns": COUNT})
COMPUTED = {"compute_input": SPAN, "compute_infer": SPAN, "compute_output": SPAN}

SCHEMAS: dict[str, Schema] = {
    "ServerMetadata": object_of({"name": TEXT, "version": TEXT, "extensions": list_of(TEXT)}),
    "Live": object_of({"live": FLAG}),
    "Ready": object_of({"ready": FLAG}),
    "ModelReady": object_of({"name": TEXT, "ready": FLAG}),
    "ModelMetadata": object_of(
        {
            "name": TEXT,
            "versions": list_of(TEXT),
            "platform": TEXT,
            "inputs": list_of(TENSOR),
            "outputs": list_of(TENSOR),
            "properties": map_of(TEXT),
        },
        "properties",
    ),
    "ModelConfig": object_of(
        {
            "name": TEXT,
            "platform": TEXT,
            "backend": TEXT,
            "max_batch_size": COUNT,
            "input": list_of(object_of({"name": TEXT, "data_type": TEXT, "dims": list_of(WHOLE)})),
            "output": list_of(object_of({"name": TEXT, "data_type": TEXT, "dims": list_of(WHOLE)})),
        }
    ),
    "Statistics": object_of(
        {
            "model_stats": list_of(
                object_of(
                    {
                        "name": TEXT,
                        "version": TEXT,
                        "last_inference": COUNT,
                        "inference_count": COUNT,
                        "execution_count": COUNT,
                        "inference_stats": map_of(SPAN),
                        "batch_stats": list_of(object_of({"batch_size": COUNT, **COMPUTED})),
                    }
                )
            )
        }
    ),
    "InferRequest": object_of(
        {
            "id": TEXT,
            "parameters": OBJECT,
            "inputs": list_of(VALUES, 1),
            "outputs": list_of(object_of({"name": TEXT, "parameters": OBJECT}, "parameters")),
        },
        "id", "parameters", "outputs",
    ),
    "InferResponse": object_of(
        {"model_name": TEXT, "model_version": TEXT, "id": TEXT, "parameters": OBJECT, "outputs": list_of(VALUES)}, "id", "parameters"
    ),
    "IndexRequest": object_of({"ready": FLAG}, "ready"),
    "RepositoryIndex": list_of(
        object_of(
            {
                "name": TEXT,
                "version": TEXT,
                "state": one_of("LOADING", "READY", "UNAVAILABLE", "UNLOADING"),
                "reason": TEXT,
            },
            "reason",
        )
    ),
    "RepositoryRequest": object_of({"parameters": OBJECT}, "parameters"),
}  # fmt: skip
