"""The forms of bodies on the HTTP side, as JSON Schema: what each protocol's requests and answers hold."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(fields: dict[str, Schema], *optional: str, closed: bool = False) -> Schema:
    schema: Schema = {"type": "object", "properties": fields, "required": [name for name in fields if name not in optional]}
    return schema | {"additionalProperties": False} if closed else schema


def _list(of: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": of} | ({"minItems": least} if least else {})


def _map(of: Schema) -> Schema:
    return {"type": "object", "additionalProperties": of}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
ANY: Schema = {}
PARAMETERS: Schema = {"type": "object"}

DATATYPE = _one_of(
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES",
)  # fmt: skip
TENSOR = _object({"name": TEXT, "datatype": DATATYPE, "shape": _list(WHOLE), "parameters": PARAMETERS}, "parameters")
VALUES = _object(
    {"name": TEXT, "datatype": DATATYPE, "shape": _list(COUNT), "parameters": PARAMETERS, "data": {"type": "array"}}, "parameters", "data"
)
SPAN = _object({"count": COUNT, "ns": COUNT})
COMPUTED = {"compute_input": SPAN, "compute_infer": SPAN, "compute_output": SPAN}

OPEN_INFERENCE: dict[str, Schema] = {
    "Error": _object({"error": TEXT}),
    "ServerMetadata": _object({"name": TEXT, "version": TEXT, "extensions": _list(TEXT)}),
    "Live": _object({"live": FLAG}),
    "Ready": _object({"ready": FLAG}),
    "ModelReady": _object({"name": TEXT, "ready": FLAG}),
    "ModelMetadata": _object(
        {
            "name": TEXT,
            "versions": _list(TEXT),
            "platform": TEXT,
            "inputs": _list(TENSOR),
            "outputs": _list(TENSOR),
            "properties": _map(TEXT),
        },
        "properties",
    ),
    "ModelConfig": _object(
        {
            "name": TEXT,
            "platform": TEXT,
            "backend": TEXT,
            "max_batch_size": COUNT,
            "input": _list(_object({"name": TEXT, "data_type": TEXT, "dims": _list(WHOLE)})),
            "output": _list(_object({"name": TEXT, "data_type": TEXT, "dims": _list(WHOLE)})),
        }
    ),
    "Statistics": _object(
        {
            "model_stats": _list(
                _object(
                    {
                        "name": TEXT,
                        "version": TEXT,
                        "last_inference": COUNT,
                        "inference_count": COUNT,
                        "execution_count": COUNT,
                        "inference_stats": _map(SPAN),
                        "batch_stats": _list(_object({"batch_size": COUNT, **COMPUTED})),
                    }
                )
            )
        }
    ),
    "InferRequest": _object(
        {
            "id": TEXT,
            "parameters": PARAMETERS,
            "inputs": _list(VALUES, 1),
            "outputs": _list(_object({"name": TEXT, "parameters": PARAMETERS}, "parameters")),
        },
        "id", "parameters", "outputs",
    ),
    "InferAnswer": _object(
        {"model_name": TEXT, "model_version": TEXT, "id": TEXT, "parameters": PARAMETERS, "outputs": _list(VALUES)}, "id", "parameters"
    ),
    "IndexRequest": _object({"ready": FLAG}, "ready"),
    "RepositoryIndex": _list(
        _object(
            {
                "name": TEXT,
                "version": TEXT,
                "state": _one_of("LOADING", "READY", "UNAVAILABLE", "UNLOADING"),
                "reason": TEXT,
            },
            "reason",
        )
    ),
    "RepositoryRequest": _object({"parameters": PARAMETERS}, "parameters"),
}  # fmt: skip

TENSORFLOW_SERVING: dict[str, Schema] = {
    "VersionStates": _object(
        {
            "model_version_status": _list(
                _object(
                    {
                        "version": TEXT,
                        "state": _one_of("START", "LOADING", "AVAILABLE", "UNLOADING", "END"),
                        "status": _object({"error_code": TEXT, "error_message": TEXT}),
                    }
                )
            )
        }
    ),
    "SignatureDef": _object(
        {
            "model_spec": _object({"name": TEXT, "signature_name": TEXT, "version": TEXT}),
            "metadata": _object({"signature_def": _object({"signature_def": _map({"type": "object"})})}),
        }
    ),
    "PredictRequest": {
        "oneOf": [
            _object({"signature_name": TEXT, "instances": _list(ANY, 1)}, "signature_name", closed=True),
            _object({"signature_name": TEXT, "inputs": ANY}, "signature_name", closed=True),
        ]
    },
    "PredictAnswer": {"oneOf": [_object({"predictions": {"type": "array"}}, closed=True), _object({"outputs": ANY}, closed=True)]},
    "ExampleRequest": _object(
        {"signature_name": TEXT, "context": {"type": "object"}, "examples": _list({"type": "object"}, 1)}, "signature_name", "context"
    ),
    "Results": _object({"results": {"type": "array"}}),
}

TORCHSERVE: dict[str, Schema] = {
    "TorchServeError": _object({"code": WHOLE, "type": TEXT, "message": TEXT}),
    "Health": _object({"status": _one_of("Healthy", "Unhealthy")}),
    "Done": _object({"status": TEXT}),
    "Description": {"type": "object", "required": ["openapi", "info", "paths"]},
    "ModelList": _object({"models": _list(_object({"modelName": TEXT, "modelUrl": TEXT})), "nextPageToken": TEXT}, "nextPageToken"),
    "Registration": _map({"type": ["string", "number", "boolean", "null"]}),
    "Descriptions": _list(
        _object(
            {
                "modelName": TEXT,
                "modelVersion": TEXT,
                "modelUrl": TEXT,
                "minWorkers": COUNT,
                "maxWorkers": COUNT,
                "batchSize": COUNT,
                "maxBatchDelay": COUNT,
                "workers": _list({"type": "object"}),
            }
        )
    ),
    "TorchServeForm": _object({"data": TEXT, "body": TEXT}, "data", "body"),
}

SCHEMAS: dict[str, Schema] = OPEN_INFERENCE | TENSORFLOW_SERVING | TORCHSERVE
