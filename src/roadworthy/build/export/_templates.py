"""Files of an export that are mostly the same text: a template beside the module, with ``@WORD@`` where something goes in."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files


def filled(package: str, name: str, words: Mapping[str, str]) -> str:
    """The template ``name`` of ``package`` with each ``@WORD@`` of ``words`` replaced by its text."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
