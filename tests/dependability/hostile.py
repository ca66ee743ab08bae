"""Requests that mean no good, each with what it tries; none may get a 5xx, cost a worker, or take much memory."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO

from PIL import Image

from dependability.harness import DIALECTS, JSON, row


@dataclass(frozen=True)
class Hostile:
    """One bad request to the breaker, or to the model of pictures."""

    what: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))
    method: str = "POST"


def _infer(what: str, **changes: object) -> Hostile:
    tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [0, 0, 0]} | changes
    return Hostile(what, DIALECTS["oip"].path("breaker"), json.dumps({"inputs": [tensor]}).encode())


def _binary(what: str, head: dict[str, object], tail: bytes, length: int | None = None) -> Hostile:
    text = json.dumps(head).encode()
    return Hostile(
        what,
        DIALECTS["oip"].path("breaker"),
        text + tail,
        {"Inference-Header-Content-Length": str(len(text) if length is None else length)},
    )


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims so many pixels and holds hardly any."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG of 8 x 8 pixels whose frame header claims so many."""
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def requests() -> list[Hostile]:
    """All of them."""
    everywhere = [spoken.path("breaker") for spoken in DIALECTS.values()]
    pictures = [spoken.path("picture") for spoken in DIALECTS.values()]
    x = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
    whole = {**x, "parameters": {"binary_data_size": 12}}
    return [
        *(Hostile("JSON nested 100,000 deep", path, b"[" * 100_000) for path in everywhere),
        *(Hostile("objects nested 50,000 deep", path, b'{"a":' * 50_000) for path in everywhere),
        *(Hostile("a body above the limit", path, bytes(17 << 20)) for path in everywhere),
        *(Hostile("a gigabyte in a megabyte of gzip", path, gzip_bomb(), JSON | {"Content-Encoding": "gzip"}) for path in everywhere),
        *(Hostile("gzip that is none", path, b"\x1f\x8b" + bytes(100), JSON | {"Content-Encoding": "gzip"}) for path in everywhere),
        *(Hostile("an unknown encoding", path, b"{}", JSON | {"Content-Encoding": "zip"}) for path in everywhere),
        *(Hostile("no JSON", path, b"\xff\xfe{") for path in everywhere),
        *(Hostile("an empty body", path, b"") for path in everywhere),
        *(Hostile("an unknown model", spoken.path("unknown"), spoken.body(row())) for spoken in DIALECTS.values()),
        *(Hostile("a name that climbs", spoken.path("../../etc/passwd"), spoken.body(row())) for spoken in DIALECTS.values()),
        *(Hostile("the wrong verb", path, b"", method="PATCH") for path in everywhere),
        *(
            Hostile("a PNG of 2.5 gigapixels", path, png_of(50_000, 50_000), {"Content-Type": "image/png"})
            for path in (pictures[0], pictures[2])
        ),
        *(
            Hostile("a JPEG of 4 gigapixels", path, jpeg_of(65_000, 65_000), {"Content-Type": "image/jpeg"})
            for path in (pictures[0], pictures[2])
        ),
        *(Hostile("a PNG that ends early", path, png_of(8, 8)[:45], {"Content-Type": "image/png"}) for path in (pictures[0], pictures[2])),
        _infer("a shape whose product overflows", shape=[2**62, 4, 2**62]),
        _infer("a shape beyond 64 bits", shape=[2**70, 3]),
        _infer("a negative shape", shape=[-1, 3]),
        _infer("a shape of nothing", shape=[0, 3], data=[]),
        _infer("a billion dimensions of one", shape=[1] * 100_000),
        _infer("the wrong datatype", datatype="INT64"),
        _infer("an unknown datatype", datatype="FP7"),
        _infer("too few numbers", data=[0]),
        _infer("words for numbers", data=["a", "b", "c"]),
        _infer("numbers beyond float32", data=[1e300, 0, 0]),
        _infer("integers of a thousand digits", data=[10**1000, 0, 0]),
        _infer("an input that is not there", name="z"),
        _infer("rows of different lengths", data=[[0, 0], [0]]),
        Hostile("no inputs", everywhere[0], b"{}"),
        Hostile("NaN where JSON has none", everywhere[0], b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[NaN,0,0]}]}'),
        Hostile("the same input twice", everywhere[0], json.dumps({"inputs": [{**x, "data": [0, 0, 0]}] * 2}).encode()),
        _binary("fewer bytes than the tensor", {"inputs": [whole]}, bytes(4)),
        _binary("more bytes than the tensor", {"inputs": [whole]}, bytes(40)),
        _binary("a header beyond the body", {"inputs": [whole]}, bytes(12), 1 << 40),
        _binary("a negative header", {"inputs": [whole]}, bytes(12), -1),
        _binary("bytes of a size beyond 64 bits", {"inputs": [{**x, "parameters": {"binary_data_size": 2**70}}]}, bytes(12)),
        Hostile("rows of different lengths", everywhere[1], b'{"instances":[[0,0,0],[0]]}'),
        Hostile("rows and columns at once", everywhere[1], b'{"instances":[[0,0,0]],"inputs":[[0,0,0]]}'),
        Hostile("b64 that is none", everywhere[1], b'{"instances":[{"b64":"%%%"}]}'),
        Hostile("an unknown label", "/v1/models/breaker/labels/none:predict", b'{"instances":[[0,0,0]]}'),
        Hostile("an unknown version", "/v2/models/breaker/versions/99/infer", DIALECTS["oip"].body(row())),
        Hostile("nowhere", "/no/such/path", b"{}"),
    ]


@cache
def gzip_bomb() -> bytes:
    """A gibibyte of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = bytes(1 << 20)
    return b"".join(packer.compress(piece) for _ in range(1024)) + packer.flush()
