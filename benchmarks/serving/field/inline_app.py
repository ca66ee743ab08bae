"""The yardstick: the least that a Python server can do, uvicorn and orjson with the model called inline. It checks nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from job import Session

session = Session()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    y = session(np.array(orjson.loads(b"".join(pieces))["x"], np.float32))
    body = orjson.dumps({"y": y}, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
