"""The body of a request to TorchServe as its fields: those of a form, or one called ``body``.

The parts of a form are found by their boundary alone (RFC 7578), each a slice of the body: the standard library's parser of mail goes
through binary data line by line, and a package for this would do no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from urllib.parse import parse_qsl

from roadworthy.core.errors import InvalidRequest

BODY = "body"
MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
MAX_FIELDS, MAX_HEAD, MAX_BOUNDARY = 64, 4096, 70

# curl says of everything that it is a form; few files begin like one.
_LIKE_A_FORM = re.compile(rb"[A-Za-z_][\w.%+-]{0,99}=")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its bytes, and its media type, in lower case and without parameters (empty where none was given)."""

    data: bytes
    kind: str = ""


Fields = Mapping[str, Field]


def fields_of(body: bytes, content_type: bytes = b"") -> Fields:
    """The fields of ``body`` by name, the last one where a name comes twice; raises InvalidRequest for a form that is none."""
    if len(content_type) > MAX_HEAD:
        raise InvalidRequest(f"the Content-Type is longer than {MAX_HEAD} characters")
    head = Message()
    head["content-type"] = content_type.decode("latin-1")
    kind = head.get_content_type() if content_type else ""
    if kind == MULTIPART:
        return _multipart(body, _boundary(head))
    if kind == URLENCODED:
        if not _LIKE_A_FORM.match(body):
            return {BODY: Field(body)}
        try:
            pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            raise InvalidRequest(f"the form has more than {MAX_FIELDS} fields") from None
        return {name.decode(errors="replace"): Field(value) for name, value in pairs}
    return {BODY: Field(body, kind)}


def _boundary(head: Message) -> bytes:
    found = head.get_param("boundary")
    boundary = found.encode("latin-1", "replace") if isinstance(found, str) else b""
    if not 1 <= len(boundary) <= MAX_BOUNDARY:
        raise InvalidRequest(f"a multipart body needs a boundary of 1 to {MAX_BOUNDARY} characters in its Content-Type")
    return boundary


def _multipart(body: bytes, boundary: bytes) -> Fields:
    delimiter = b"\r\n--" + boundary
    # The first one may stand at the very beginning, without the line's end before it.
    start = 0 if body.startswith(delimiter[2:]) else body.find(delimiter) + 2
    if start == 1:
        raise InvalidRequest("the multipart body does not hold the boundary that its Content-Type names")
    *parts, last = body[start + len(delimiter) - 2 :].split(delimiter, MAX_FIELDS + 1)
    if len(parts) > MAX_FIELDS:
        raise InvalidRequest(f"the form has more than {MAX_FIELDS} fields")
    if not last.startswith(b"--"):
        raise InvalidRequest("the multipart body is cut: its closing boundary is missing")
    return dict(map(_part, parts))


def _part(part: bytes) -> tuple[str, Field]:
    padding, line, rest = part[:MAX_HEAD].partition(b"\r\n")
    lines, blank, _ = rest.partition(b"\r\n\r\n")
    if padding.strip(b" \t") or not line or not blank:
        raise InvalidRequest("a part of the multipart body has no head, or one that does not end")
    head = HeaderParser().parsestr(lines.decode(errors="replace"))
    found = head.get_param("name", header="content-disposition")
    name = collapse_rfc2231_value(found) if found else ""
    if not name:
        raise InvalidRequest("a part of the multipart body has no name in its Content-Disposition")
    kind = head.get_content_type() if "content-type" in head else ""
    return name, Field(part[len(padding) + len(line) + len(lines) + len(blank) :], kind)
