"""The reference of preprocessing names every field of every step and table, with its values and default; its files can be read."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import numpy as np
import pytest

from roadworthy.preprocess import spec
from roadworthy.preprocess.contract import Answer
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import Step

PAGE = (Path(__file__).parents[2] / "docs" / "preprocessing.md").read_text()
# Other parts of the page have files of their own forms.
REFERENCE = PAGE.partition("\n## The TOML file")[2].partition("\n## From")[0]
FILES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def section(title: str) -> str:
    """The text below the heading ``title``, up to the next heading of its level."""
    found = re.search(rf"^### `{re.escape(title)}`\n(.*?)(?=^##|\Z)", REFERENCE, re.DOTALL | re.MULTILINE)
    assert found, f"docs/preprocessing.md has no section `{title}`"
    return found[1]


def choices(kind: Any) -> list[str]:
    return re.findall(r"'(\w+)'", str(kind)) if "Literal" in str(kind) else []


@pytest.mark.parametrize("step", get_args(Step), ids=lambda step: step.__struct_config__.tag)
def test_every_field_of_every_step(step: Any) -> None:
    text = section(step.__struct_config__.tag)
    for field in msgspec.structs.fields(step):
        assert f"`{field.name}`" in text, f"the field {field.name} is not in the docs"
        row = next((line for line in text.splitlines() if line.startswith("|") and f"`{field.name}`" in line.split("|")[1]), text)
        for choice in choices(field.type):
            assert f'"{choice}"' in row or "as in `resize`" in row, f"{field.name} = {choice!r} is not in the docs"
        if isinstance(field.default, bool | int | str) and row is not text:
            shown = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
            assert shown in row.split("|")[3], f"the default of {field.name}, {shown}, is not in the docs"


def test_every_key_of_every_table() -> None:
    for table, title in ((spec.ImageTable, "[image]"), (Answer, "[answer]")):
        text = section(title)
        for field in dataclasses.fields(table):
            assert f"`{field.name}`" in text, field.name
    for table, step in ((spec.ResizeTable, "resize"), (spec.LetterboxTable, "letterbox"), (spec.CropTable, "crop")):
        own = {field.name for field in dataclasses.fields(table)}
        (kind,) = [one for one in get_args(Step) if one.__struct_config__.tag == step]
        assert own - {"crop_to_aspect"} == set(kind.__struct_fields__), "a table lacks a field of its step"
        hints = get_type_hints(table)
        assert all(hints[field.name] == field.type for field in msgspec.structs.fields(kind)), "a table has other values than its step"
        defaults = {field.name: field.default for field in dataclasses.fields(table)}
        for field in msgspec.structs.fields(kind):
            assert defaults[field.name] == field.default or field.required


def test_every_preset() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Presets")[2].partition("\n## ")[0], re.MULTILINE)) == set(spec.PRESETS)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_every_file_can_be_read_and_carried_out(tmp_path: Path, number: int) -> None:
    path = tmp_path / "steps.toml"
    path.write_text(FILES[number])
    if "image" not in tomllib.loads(FILES[number]):
        return
    steps = spec.read(path).image
    assert Preprocessor(steps).one(np.zeros((300, 400, 3), np.uint8)).size
