"""The stand-in for polygraphy's TensorRT: an engine is a record of how it was asked for, with the model in it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class Profile:
    def __init__(self) -> None:
        self.sizes: dict[str, Any] = {}

    def add(self, name: str, min: list[int], opt: list[int], max: list[int]) -> None:
        self.sizes[name] = [min, opt, max]


def CreateConfig(*, tf32: bool, profiles: list[Profile]) -> dict[str, Any]:
    return {"tf32": tf32, "profiles": [profile.sizes for profile in profiles]}


def NetworkFromOnnxPath(path: str, strongly_typed: bool) -> dict[str, Any]:
    return {"model": base64.b64encode(Path(path).read_bytes()).decode(), "strongly_typed": strongly_typed}


def engine_bytes_from_network(network: dict[str, Any], config: dict[str, Any]) -> bytes:
    return json.dumps({**network, **config}).encode()


def EngineFromBytes(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data))


class TrtRunner:
    """Its answers lie in memory that the next call overwrites, as those of the real one."""

    def __init__(self, engine: dict[str, Any]) -> None:
        self.engine = engine
        self.active = False
        self.kept: dict[str, Any] = {}

    def activate(self) -> None:
        self.session = onnxruntime.InferenceSession(base64.b64decode(self.engine["model"]))
        self.active = True

    def infer(self, feeds: dict[str, Any]) -> dict[str, Any]:
        assert self.active
        for name, (least, _, most) in (self.engine["profiles"][0]).items():
            assert all(low <= size <= high for low, size, high in zip(least, feeds[name].shape, most, strict=True)), "beyond the profile"
        names = [port.name for port in self.session.get_outputs()]
        for name, array in zip(names, self.session.run(None, feeds), strict=True):
            if name in self.kept and self.kept[name].shape == array.shape:
                np.copyto(self.kept[name], array)
            else:
                self.kept[name] = array
        return dict(self.kept)

    def deactivate(self) -> None:
        self.active = False
