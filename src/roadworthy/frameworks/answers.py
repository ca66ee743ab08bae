"""The names of what a model answers with, in either framework: nested answers become a list of named leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping


def leaves(answer: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Everything in an answer with its name, in order: keys and fields as they are, a tuple's by number, inner ones dotted.

    A single tensor is "output", a tuple's are "output_0", "output_1", ...; ``None`` is left out.
    """
    if isinstance(answer, Mapping):
        for key, value in answer.items():
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(answer, tuple) and hasattr(answer, "_fields"):
        yield from leaves(dict(zip(answer._fields, answer, strict=True)), name)
    elif isinstance(answer, tuple | list):
        for number, value in enumerate(answer):
            yield from leaves(value, f"{name}.{number}" if name else f"output_{number}")
    elif dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        yield from leaves({field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}, name)
    elif answer is not None:
        yield name or "output", answer
