"""Who has one framework need not have the other: capture's own modules import neither, and each side only its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROBE = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module("roadworthy.build.capture." + name)
sys.exit(" ".join(name for name in sys.argv[1].split(",") if name in sys.modules))
"""
NEUTRAL = ("exporter_errors", "exporter_output", "onnx_file", "original", "parity", "route", "try_routes")
TENSORFLOW = tuple(f"tensorflow.{name}" for name in ("original", "freeze", "frozen_graph", "saved_model", "onnx"))
TORCH = tuple(f"torch.{name}" for name in ("original", "export", "torchscript", "onnx", "data_dependence"))


def held(modules: tuple[str, ...], frameworks: str) -> str:
    """Which of ``frameworks`` a fresh process holds after it imported ``modules``."""
    words = [sys.executable, "-c", PROBE, frameworks, *modules]
    return subprocess.run(words, capture_output=True, text=True).stderr.strip()


@pytest.mark.parametrize(
    ("modules", "frameworks"),
    [(NEUTRAL, "torch,tensorflow,keras"), ((*NEUTRAL, *TENSORFLOW), "torch"), ((*NEUTRAL, *TORCH), "tensorflow,keras,tf2onnx")],
)
def test_no_side_imports_the_other(modules: tuple[str, ...], frameworks: str) -> None:
    assert held(modules, frameworks) == ""


def test_an_import_is_seen() -> None:
    assert held(("torch.original",), "torch") == "torch"
