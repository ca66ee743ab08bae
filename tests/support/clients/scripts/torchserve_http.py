"""TorchServe's HTTP interface by ``requests``, as its examples use it. Takes the server's address and a PNG file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests

url, png = sys.argv[1:]
data = Path(png).read_bytes()
with requests.Session() as session:
    found = {
        "ping": session.get(f"{url}/ping").json(),
        "raw": session.post(f"{url}/predictions/picture", data=data).json(),
        "put": session.put(f"{url}/predictions/picture/7", data=data).json(),
        "file": session.post(f"{url}/predictions/picture", files={"data": ("kitten.png", data)}).json(),
        "json": session.post(f"{url}/predictions/echo", json={"data": [[1.5, 0]]}).json(),
        "text": session.post(f"{url}/predictions/echo", data=json.dumps([1.5, 0])).json(),
        "instances": session.post(f"{url}/predictions/echo", json={"instances": [[1.5, 0]]}).json(),
        "form": session.post(f"{url}/predictions/echo", data={"data": "[1.5, 0]"}).json(),
        "fault": session.post(f"{url}/predictions/echo", data=b"nonsense!").status_code,
        "models": session.get(f"{url}/models").json(),
    }
print(json.dumps(found))
