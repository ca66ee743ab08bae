"""What generated protobuf modules say of their messages, enums and services: names and numbers, as JSON."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def described(file: Any) -> dict[str, dict[str, list[Any]]]:
    """By full name: a message's fields as [number, kind, repeated, type], an enum's numbers, a service's methods."""
    found: dict[str, dict[str, list[Any]]] = {}
    for enum in file.enum_types_by_name.values():
        found[enum.full_name] = _enum(enum)
    for message in file.message_types_by_name.values():
        _message(message, found)
    for service in file.services_by_name.values():
        found[service.full_name] = {method.name: _method(method) for method in service.methods}
    return found


def _message(message: Any, found: dict[str, dict[str, list[Any]]]) -> None:
    found[message.full_name] = {field.name: _field(field) for field in message.fields}
    for enum in message.enum_types:
        found[enum.full_name] = _enum(enum)
    for nested in message.nested_types:
        _message(nested, found)


def _field(field: Any) -> list[Any]:
    kind = field.message_type or field.enum_type
    # Protobuf's releases say it in one way or the other.
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
    return [field.number, field.type, repeated, kind.full_name if kind else ""]


def _enum(enum: Any) -> dict[str, list[Any]]:
    return {value.name: [value.number] for value in enum.values}


def _method(method: Any) -> list[Any]:
    return [method.input_type.full_name, method.output_type.full_name, method.client_streaming, method.server_streaming]


if __name__ == "__main__":
    everything: dict[str, dict[str, list[Any]]] = {}
    for module in sys.argv[1:]:
        everything |= described(importlib.import_module(module).DESCRIPTOR)
    print(json.dumps(everything))
