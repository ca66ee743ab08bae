"""Steps as the text of a TOML file that ``--preprocess`` reads: each with what differs from its defaults."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from roadworthy.preprocess.steps import Decode, Step


def of_steps(steps: tuple[Step, ...]) -> str:
    """The text of the file. The limit of the pixels is left out: it is not a part of what the model was trained with."""
    return "\n".join(["image = [", *(f"  {_table(step)}," for step in steps), "]"])


def of_field(step: Step, name: str) -> str:
    """One field as it stands in the file."""
    return f"{name} = {_value(getattr(step, name))}"


def _table(step: Step) -> str:
    fields = {"kind": step.__struct_config__.tag}
    for field in msgspec.structs.fields(type(step)):
        value = getattr(step, field.name)
        if value != field.default and not (isinstance(step, Decode) and field.name == "pixel_limit"):
            fields[field.name] = value
    return f"{{ {', '.join(f'{name} = {_value(value)}' for name, value in fields.items())} }}"


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    # A string of JSON is one of TOML; of a float every digit counts.
    return json.dumps(value) if isinstance(value, str) else repr(value)
