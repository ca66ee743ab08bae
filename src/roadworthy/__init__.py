"""Roadworthy: a trained model onto a CPU server, with the same answers and the proof."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadworthy.core.version import __version__

if TYPE_CHECKING:
    from roadworthy.build.deploy import Deployment
    from roadworthy.serving.engine.local import LocalEngine
    from roadworthy.serving.limits import ServerLimits


def deploy(model: Any, output: Path | str, **options: Any) -> Deployment:
    """Turn ``model`` (a live ``nn.Module``, or a file's path) into a bundle at ``output``: see ``build.deploy_live.deploy_live``."""
    deployment: Deployment = importlib.import_module("roadworthy.build.deploy_live").deploy_live(model, output, **options)
    return deployment


def load(bundle: Path | str | Deployment, *, threads: int | None = None) -> LocalEngine:
    """Open ``bundle`` (its path, or what ``deploy`` returned) in this process, ready to answer: ``load(bundle).infer(...)``.

    ``threads`` overrides the plan's number. Raises BundleError for a bundle that is damaged or gives other answers than the certified
    ones here, BackendMissing where a package is missing.
    """
    from roadworthy.serving.engine.local import LocalEngine

    path: Path | str = getattr(bundle, "bundle", bundle)  # type: ignore[arg-type]
    return LocalEngine(path, threads=threads)


def serve(
    bundles: Sequence[Path | str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    threads: int | None = None,
    limits: ServerLimits | None = None,
) -> None:
    """Serve ``bundles``, each a bundle or a directory of bundles, until SIGTERM or SIGINT. Call it from the main thread.

    ``port`` 0 is any free port. ``threads`` of each model are measured where they are ``None``. ``limits`` are the defaults of
    ``serving.limits`` where they are ``None``. Raises UsageError for bundles or an address that cannot be served, BundleError where no
    bundle passes its checks, BackendMissing where a package is missing.
    """
    from roadworthy.serving.limits import DEFAULT
    from roadworthy.serving.server import serve_as
    from roadworthy.serving.settings import Settings

    serve_as(Settings(sources=tuple(map(str, bundles)), host=host, port=port, threads=threads, limits=limits or DEFAULT))


__all__ = ["__version__", "deploy", "load", "serve"]
