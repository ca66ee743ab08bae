"""Files with places that are filled in."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, StrictUndefined


def render(template: Path, out: Path, **values: object) -> None:
    """Write ``template`` with its places filled in to ``out``."""
    out.write_text(text(template, **values))


def text(template: Path, **values: object) -> str:
    """``template`` with its places filled in."""
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.filters |= {"c_string": c_string, "hex": float.hex}
    return environment.from_string(template.read_text()).render(**values)


def c_string(text: str) -> str:
    """``text`` as a literal of C, its bytes outside ASCII in octal."""
    plain = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{plain}"'
