"""An export for TensorRT: its engine where there are a GPU and TensorRT, else the same ONNX file on the CPU by ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from roadworthy.bundle.export_evidence import Tool
from roadworthy.core import registry
from roadworthy.core.interfaces import Session
from roadworthy.core.stages import Plan
from roadworthy.core.types import Arrays, Signature, output_names
from roadworthy.runtimes.exported._on_target import tensorrt_engine as engine

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("onnxruntime", "numpy")
FRAMEWORK = False
NATIVE = False
ON_TARGET = False
"""The machine decides: a session says by ``on_target`` whether TensorRT itself answers."""

lacking = engine.lacking


def load(path: Path, signature: Signature, plan: Plan) -> TensorrtSession:
    """The session of the folder ``path``; an engine is built there at first use. Raises what the runtime raises."""
    if engine.lacking():
        file = replace(plan, runtime="onnxruntime", precision="int8" if plan.precision == "int8" else "fp32")
        return TensorrtSession(registry.runtime("onnxruntime").load(path / engine.MODEL, signature, file), signature, on_target=False)
    return TensorrtSession(engine.Engine(path), signature, on_target=True)


class TensorrtSession:
    """``on_target`` says whether TensorRT itself answers; ``device`` and ``tools`` then say what it was."""

    def __init__(self, session: Session, signature: Signature, *, on_target: bool) -> None:
        self.on_target = on_target
        self.device = engine.device() if on_target else ""
        self.tools = tuple(Tool(name, version) for name, version in engine.versions().items()) if on_target else ()
        self._session = session
        self._names = dict(zip(output_names(signature), (spec.name for spec in signature.outputs), strict=True))

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name."""
        return {self._names.get(name, name): array for name, array in self._session.run(feeds).items()}

    def close(self) -> None:
        self._session.close()
