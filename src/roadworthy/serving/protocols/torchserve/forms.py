"""The body of a request to TorchServe as its fields: those of a form, or one called ``body``."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from roadworthy.core.errors import InvalidRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

BODY = "body"
MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
MAX_FIELDS, MAX_HEADER, MAX_BOUNDARY = 64, 4096, 70

# curl says of everything that it is a form; few files begin like one.
_LIKE_A_FORM = re.compile(rb"[A-Za-z_][\w.%+-]{0,99}=")

# The parser logs every form that it refuses; the client is told.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class FormField:
    """One field: its bytes, and its media type, in lower case and without parameters (empty where none was given)."""

    data: bytes
    kind: str = ""


Fields = Mapping[str, FormField]


def fields_of(body: bytes, content_type: bytes = b"") -> Fields:
    """The fields of ``body`` by name, the last one where a name comes twice; raises InvalidRequest for a form that is not valid."""
    if len(content_type) > MAX_HEADER:
        raise InvalidRequest(f"the Content-Type is longer than {MAX_HEADER} characters")
    kind, options = parse_options_header(content_type)
    if kind == MULTIPART.encode():
        return _multipart(body, options.get(b"boundary", b""))
    if kind == URLENCODED.encode():
        if not _LIKE_A_FORM.match(body):
            return {BODY: FormField(body)}
        try:
            # Given bytes, the function refuses values that are not ASCII; in Latin-1 each byte is one character.
            text = bytes(body).decode("latin-1")
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, encoding="latin-1")
        except ValueError:
            raise InvalidRequest(f"the form has more than {MAX_FIELDS} fields") from None
        return {name.encode("latin-1").decode(errors="replace"): FormField(value.encode("latin-1")) for name, value in pairs}
    return {BODY: FormField(body, kind.decode("latin-1"))}


def _multipart(body: bytes, boundary: bytes) -> Fields:
    if not 1 <= len(boundary) <= MAX_BOUNDARY:
        raise InvalidRequest(f"a multipart body needs a boundary of 1 to {MAX_BOUNDARY} characters in its Content-Type")
    delimiter = b"--" + boundary
    # The parser knows no preamble, which RFC 2046 allows before the first boundary.
    start = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter)
    if start < 0:
        raise InvalidRequest("the multipart body does not hold the boundary that its Content-Type names")
    parts = _Parts()
    parser = MultipartParser(boundary, parts.callbacks(), max_header_size=MAX_HEADER)
    try:
        parser.write(body[start:].removeprefix(b"\r\n"))
    except FormParserError as problem:
        raise InvalidRequest(f"the multipart body is not valid: {problem}") from None
    if not parts.ended:
        raise InvalidRequest("the multipart body is cut: its closing boundary is missing")
    return parts.fields


class _Parts:
    """The fields of a multipart form. Its methods are the parser's callbacks."""

    def __init__(self) -> None:
        self.fields: dict[str, FormField] = {}
        self.ended = False
        self._count = 0

    def callbacks(self) -> MultipartCallbacks:
        """As the parser takes them."""
        return {
            "on_part_begin": self.begin,
            "on_header_field": self.header_name,
            "on_header_value": self.header_value,
            "on_header_end": self.header_end,
            "on_part_data": self.add,
            "on_part_end": self.end,
            "on_end": self.finish,
        }

    def begin(self) -> None:
        self._count += 1
        if self._count > MAX_FIELDS:
            raise InvalidRequest(f"the form has more than {MAX_FIELDS} fields")
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._pieces: list[bytes] = []

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name = self._value = b""

    def add(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(bytes(data[start:end]))

    def end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        if not name:
            raise InvalidRequest("a part of the multipart body has no name in its Content-Disposition")
        kind, _ = parse_options_header(self._headers.get(b"content-type", b""))
        self.fields[name] = FormField(b"".join(self._pieces), kind.decode("latin-1"))

    def finish(self) -> None:
        self.ended = True
