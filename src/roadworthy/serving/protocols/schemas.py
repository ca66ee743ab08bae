"""JSON Schema in a few words: what the protocols describe the bodies of their requests and answers with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

Schema = dict[str, Any]
Body = Mapping[str, Schema]
"""The schema of a body by content type."""

JSON, BINARY, PLAIN = "application/json", "application/octet-stream", "text/plain"

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
ANY: Schema = {}
OBJECT: Schema = {"type": "object"}
FILE: Schema = {"type": "string", "contentMediaType": BINARY}


def ref(name: str) -> Schema:
    """The schema of that name, among those of the protocols."""
    return {"$ref": f"#/components/schemas/{name}"}


COMMON_SCHEMAS: dict[str, Schema] = {"Error": {"type": "object", "properties": {"error": TEXT}, "required": ["error"]}}
"""What any protocol may name without describing it: the refusal that ``messages.error_json`` writes."""


def json_body(name: str) -> Body:
    """JSON of the schema of that name."""
    return {JSON: ref(name)}


def object_of(fields: dict[str, Schema], *optional: str, closed: bool = False) -> Schema:
    """An object with these fields, all required except the ``optional`` ones; ``closed``: it has no others."""
    schema: Schema = {"type": "object", "properties": fields, "required": [name for name in fields if name not in optional]}
    return schema | {"additionalProperties": False} if closed else schema


def list_of(items: Schema, least: int = 0) -> Schema:
    """An array of at least so many items."""
    return {"type": "array", "items": items} | ({"minItems": least} if least else {})


def map_of(values: Schema) -> Schema:
    """An object with any keys."""
    return {"type": "object", "additionalProperties": values}


def one_of(*values: str) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": list(values)}


def schemas_of(**types: Any) -> dict[str, Schema]:
    """The schemas of msgspec's ``types`` under the given names, with those of the types that they hold."""
    found, inner = msgspec.json.schema_components(types.values(), ref_template="#/components/schemas/{name}")
    named = dict(zip(types, found, strict=True))
    return inner | {name: schema for name, schema in named.items() if schema != ref(name)}
