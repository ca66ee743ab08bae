"""What TorchServe says of its own interface, as ``OPTIONS /`` answers: OpenAPI 3.0.1."""

from __future__ import annotations

from typing import Any

# Verb, path, operation, sentence, parameters of the query.
_OPERATIONS: tuple[tuple[str, str, str, str, tuple[str, ...]], ...] = (
    ("options", "/", "apiDescription", "This description.", ()),
    ("get", "/ping", "ping", "Whether the server is healthy.", ()),
    ("post", "/predictions/{model_name}", "predictions", "A prediction by the model's default version.", ()),
    ("post", "/predictions/{model_name}/{model_version}", "version_predictions", "A prediction by one version.", ()),
    ("post", "/invocations", "invocations", "A prediction by the only model, or by the one that is named.", ("model_name",)),
    ("post", "/models/{model_name}/invoke", "invoke", "A prediction by the model's default version.", ()),
    ("get", "/models", "listModels", "The models.", ("limit", "next_page_token")),
    (
        "post", "/models", "registerModel", "Load a bundle from the directories that are served.",
        ("url", "model_name", "initial_workers", "synchronous"),
    ),
    ("get", "/models/{model_name}", "describeModel", "The model's default version.", ()),
    ("put", "/models/{model_name}", "setAutoScale", "How many workers the model has.", ("min_worker", "max_worker", "synchronous")),
    ("delete", "/models/{model_name}", "unregisterModel", "Give up the model's default version.", ()),
    ("get", "/models/{model_name}/{model_version}", "version_describeModel", "One version, or all.", ()),
    (
        "put", "/models/{model_name}/{model_version}", "version_setAutoScale", "How many workers one version has.",
        ("min_worker", "max_worker", "synchronous"),
    ),
    ("delete", "/models/{model_name}/{model_version}", "version_unregisterModel", "Give up one version.", ()),
    ("put", "/models/{model_name}/{model_version}/set-default", "setDefault", "Let one version be the default.", ()),
)  # fmt: skip

_ERROR = {"type": "object", "required": ["code", "type", "message"], "properties": {
    "code": {"type": "integer", "description": "The HTTP status."}, "type": {"type": "string"}, "message": {"type": "string"},
}}  # fmt: skip


def description(version: str) -> dict[str, Any]:
    """The whole document; ``version`` is this server's."""
    paths: dict[str, dict[str, Any]] = {}
    for verb, path, operation, sentence, query in _OPERATIONS:
        paths.setdefault(path, {})[verb] = {
            "operationId": operation,
            "description": sentence,
            "parameters": [
                *(_parameter(name, "path") for name in ("model_name", "model_version") if f"{{{name}}}" in path),
                *(_parameter(name, "query") for name in query),
            ],
            "responses": {
                "200": {"description": "It is done, or the answer."},
                "default": {"description": "Why it is not.", "content": {"application/json": {"schema": _ERROR}}},
            },
        }
    return {"openapi": "3.0.1", "info": {"title": "TorchServe's interface, by Roadworthy", "version": version}, "paths": paths}


def _parameter(name: str, where: str) -> dict[str, Any]:
    return {"in": where, "name": name, "required": where == "path" or name == "url", "schema": {"type": "string"}}
