"""The TensorRT engine of the ONNX file in this folder: built once for the GPU of this machine, and run.

    python engine.py

builds ``built/model.plan`` where it is not there yet, as ``sh build.sh`` does with trtexec. It needs the Python packages tensorrt and
polygraphy, and an NVIDIA GPU. Float32 stays float32: TensorRT's default is TF32, which keeps 10 of 23 bits.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

MODEL, PROFILE, ENGINE = "model.onnx", "profile.json", "built/model.plan"
MODULES = ("tensorrt", "polygraphy")
DEVICES = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/dxg")
"""One of these is there where an NVIDIA driver is: of a server, of a Jetson, of Windows around a Linux."""


def lacking() -> str:
    """In words, what this machine lacks to build and run an engine; empty where it lacks nothing."""
    if missing := next((name for name in MODULES if importlib.util.find_spec(name) is None), ""):
        return f"the Python package {missing} is not installed here; install it with: pip install {missing}"
    return "" if any(Path(name).exists() for name in DEVICES) else "this machine has no NVIDIA GPU, or no driver for it"


def device() -> str:
    """The GPU's name and its driver, as nvidia-smi says them."""
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        said = subprocess.run(query, capture_output=True, text=True, timeout=60).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return "an NVIDIA GPU"
    return f"{said[0].replace(', ', ', driver ')}" if said else "an NVIDIA GPU"


def versions() -> dict[str, str]:
    """The packages that take part."""
    return {name: str(importlib.import_module(name).__version__) for name in MODULES}


def build(folder: Path) -> bytes:
    """The engine of ``folder/model.onnx`` for the sizes of ``profile.json``; raises what TensorRT raises."""
    from polygraphy.backend.trt import CreateConfig, NetworkFromOnnxPath, Profile, engine_bytes_from_network

    stated = json.loads((folder / PROFILE).read_text())
    sizes = Profile()
    for name, shapes in stated["inputs"].items():
        sizes.add(name, min=shapes["min"], opt=shapes["opt"], max=shapes["max"])
    # Types stand in the file: with strong typing they are obeyed by every version, and no flag asks for another one.
    network = NetworkFromOnnxPath(str(folder / MODEL), strongly_typed=stated["strongly_typed"])
    return bytes(engine_bytes_from_network(network, config=CreateConfig(tf32=False, profiles=[sizes])))


class Engine:
    """The engine of a folder, ready to answer."""

    def __init__(self, folder: Path) -> None:
        """Load ``built/model.plan``; it is built first where it is not there."""
        from polygraphy.backend.common import BytesFromPath
        from polygraphy.backend.trt import EngineFromBytes, TrtRunner

        file = folder / ENGINE
        if not file.is_file():
            file.parent.mkdir(exist_ok=True)
            partial = file.with_name(f"{file.name}.{os.getpid()}")
            partial.write_bytes(build(folder))
            partial.replace(file)
        self._runner = TrtRunner(EngineFromBytes(BytesFromPath(str(file))))
        self._runner.activate()

    def run(self, feeds: Any) -> dict[str, Any]:
        """The outputs by name, in memory of their own. ``feeds`` are arrays by name, C-contiguous, of sizes within the profile."""
        return {name: array.copy() for name, array in self._runner.infer(dict(feeds)).items()}

    def close(self) -> None:
        self._runner.deactivate()


if __name__ == "__main__":
    if words := lacking():
        raise SystemExit(words)
    Engine(Path(__file__).resolve().parent).close()
