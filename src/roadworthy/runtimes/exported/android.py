"""The interpreter that phones run, LiteRT with XNNPACK, on this host's CPU: the same code, and other kernels than a phone's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature
from roadworthy.runtimes import litert

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("ai-edge-litert", "numpy")
FRAMEWORK = False
NATIVE = False
ON_TARGET = False


def load(path: Path, signature: Signature, plan: Plan) -> litert.LiteRtSession:
    """The session of ``path/model.tflite`` on ``plan.threads`` threads; raises what LiteRT's runtime raises."""
    return litert.load(path, signature, replace(plan, runtime="litert"))
