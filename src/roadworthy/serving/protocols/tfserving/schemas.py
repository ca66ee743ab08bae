"""What requests and answers of TensorFlow Serving hold."""

from __future__ import annotations

from roadworthy.serving.protocols.schemas import ANY, TEXT, Schema, list_of, map_of, object_of, one_of

SCHEMAS: dict[str, Schema] = {
    "VersionStates": object_of(
        {
            "model_version_status": list_of(
                object_of(
                    {
                        "version": TEXT,
                        "state": one_of("START", "LOADING", "AVAILABLE", "UNLOADING", "END"),
                        "status": object_of({"error_code": TEXT, "error_message": TEXT}),
                    }
                )
            )
        }
    ),
    "SignatureDef": object_of(
        {
            "model_spec": object_of({"name": TEXT, "signature_name": TEXT, "version": TEXT}),
            "metadata": object_of({"signature_def": object_of({"signature_def": map_of({"type": "object"})})}),
        }
    ),
    "PredictRequest": {
        "oneOf": [
            object_of({"signature_name": TEXT, "instances": list_of(ANY, 1)}, "signature_name", closed=True),
            object_of({"signature_name": TEXT, "inputs": ANY}, "signature_name", closed=True),
        ]
    },
    "PredictResponse": {"oneOf": [object_of({"predictions": {"type": "array"}}, closed=True), object_of({"outputs": ANY}, closed=True)]},
    "ExampleRequest": object_of(
        {"signature_name": TEXT, "context": {"type": "object"}, "examples": list_of({"type": "object"}, 1)}, "signature_name", "context"
    ),
    "Results": object_of({"results": {"type": "array"}}),
}
