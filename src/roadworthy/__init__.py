"""Roadworthy: a trained model onto a CPU server, with the same answers and the proof."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadworthy.core.version import __version__

if TYPE_CHECKING:
    from roadworthy.build.deploy import Deployment
    from roadworthy.serving.engine.local import LocalEngine
    from roadworthy.serving.server import serve as serve


def deploy(model: Any, output: Path | str, **options: Any) -> Deployment:
    """Turn ``model`` (a live ``nn.Module``, or a file's path) into a bundle at ``output``: see ``build.deploy_live.deploy_live``."""
    deployment: Deployment = importlib.import_module("roadworthy.build.deploy_live").deploy_live(model, output, **options)
    return deployment


def load(bundle: Any, *, threads: int | None = None) -> LocalEngine:
    """``bundle`` (its path, or what ``deploy`` gave) opened on this host, ready to answer: see ``serving.engine.local.LocalEngine``."""
    model: LocalEngine = importlib.import_module("roadworthy.serving.engine.local").LocalEngine(
        getattr(bundle, "bundle", bundle), threads=threads
    )
    return model


__all__ = ["__version__", "deploy", "load"]


def __getattr__(name: str) -> Any:
    if name == "serve":
        return importlib.import_module("roadworthy.serving.server").serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
