"""What TorchServe says of its own interface, as ``OPTIONS /`` answers: OpenAPI 3.0.1, made of the route table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from roadworthy.serving.protocols.routes import HttpRoute

_NAMES = {"model": "model_name", "version": "model_version"}
"""TorchServe's names of the placeholders."""

_ERROR = {"type": "object", "required": ["code", "type", "message"], "properties": {
    "code": {"type": "integer", "description": "The HTTP status."}, "type": {"type": "string"}, "message": {"type": "string"},
}}  # fmt: skip


def description(version: str, routes: Iterable[HttpRoute]) -> dict[str, Any]:
    """The document of those ``routes`` that TorchServe has a name for; ``version`` is this server's."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if not route.operation:
            continue
        path = route.path.format_map({name: f"{{{theirs}}}" for name, theirs in _NAMES.items()})
        paths.setdefault(path, {})[route.method.lower()] = {
            "operationId": route.operation,
            "description": route.summary,
            "parameters": [
                *(_parameter(_NAMES[name], "path") for name in route.placeholders),
                *(_parameter(name, "query") for name in route.query),
            ],
            "responses": {
                "200": {"description": "It is done, or the answer."},
                "default": {"description": "Why it is not.", "content": {"application/json": {"schema": _ERROR}}},
            },
        }
    return {"openapi": "3.0.1", "info": {"title": "TorchServe's interface, by Roadworthy", "version": version}, "paths": paths}


def _parameter(name: str, where: str) -> dict[str, Any]:
    return {"in": where, "name": name, "required": where == "path" or name == "url", "schema": {"type": "string"}}
