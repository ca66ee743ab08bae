"""Roadworthy: a trained model onto a CPU server, with the same answers and the proof."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from roadworthy.core.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from roadworthy.build.compare.files import compare_files as compare
    from roadworthy.build.deploy import Deployment
    from roadworthy.build.deploy_live import deploy_live as deploy
    from roadworthy.build.exporting.in_python import export_bundle as export
    from roadworthy.cli.checkup import checkup as check
    from roadworthy.cli.inspect import inspect_file as inspect
    from roadworthy.cli.report import read_report as report
    from roadworthy.serving.engine.local import LocalEngine
    from roadworthy.serving.server import serve as serve


FUNCTIONS = {
    "compare": "roadworthy.build.compare.files:compare_files",
    "deploy": "roadworthy.build.deploy_live:deploy_live",
    "export": "roadworthy.build.exporting.in_python:export_bundle",
    "check": "roadworthy.cli.checkup:checkup",
    "inspect": "roadworthy.cli.inspect:inspect_file",
    "report": "roadworthy.cli.report:read_report",
    "serve": "roadworthy.serving.server:serve",
}
"""Where each public function is defined; its module is imported when the function is first used."""


def load(bundle: Path | str | Deployment, *, threads: int | None = None) -> LocalEngine:
    """Open ``bundle`` (its path, or what ``deploy`` returned) in this process, ready to answer: ``load(bundle).infer(...)``.

    ``threads`` overrides the plan's number. Raises BundleError for a bundle that is damaged or does not give its certified answers here,
    BackendMissing where a package is missing.
    """
    path: Path | str = getattr(bundle, "bundle", bundle)  # type: ignore[arg-type]
    engine: LocalEngine = importlib.import_module("roadworthy.serving.engine.local").LocalEngine(path, threads=threads)
    return engine


__all__ = ["__version__", "check", "compare", "deploy", "export", "inspect", "load", "report", "serve"]


def __getattr__(name: str) -> Any:
    if name not in FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, function = FUNCTIONS[name].partition(":")
    return getattr(importlib.import_module(module), function)
