"""What requests and answers of TorchServe hold."""

from __future__ import annotations

from roadworthy.serving.protocols.schemas import COUNT, TEXT, WHOLE, Schema, list_of, map_of, object_of, one_of

SCHEMAS: dict[str, Schema] = {
    "TorchServeError": object_of({"code": WHOLE, "type": TEXT, "message": TEXT}),
    "Health": object_of({"status": one_of("Healthy", "Unhealthy")}),
    "Done": object_of({"status": TEXT}),
    "Description": {"type": "object", "required": ["openapi", "info", "paths"]},
    "ModelList": object_of({"models": list_of(object_of({"modelName": TEXT, "modelUrl": TEXT})), "nextPageToken": TEXT}, "nextPageToken"),
    "Registration": map_of({"type": ["string", "number", "boolean", "null"]}),
    "Descriptions": list_of(
        object_of(
            {
                "modelName": TEXT,
                "modelVersion": TEXT,
                "modelUrl": TEXT,
                "minWorkers": COUNT,
                "maxWorkers": COUNT,
                "batchSize": COUNT,
                "maxBatchDelay": COUNT,
                "workers": list_of({"type": "object"}),
            }
        )
    ),
    "TorchServeForm": object_of({"data": TEXT, "body": TEXT}, "data", "body"),
}
