"""The HTTP protocols: each folder beside this file with an ``http.py`` is one, found as runtimes are found."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.util import find_spec

from roadworthy.serving import protocols
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.protocols.routes import HttpProtocol


def http_modules() -> tuple[str, ...]:
    """The names of the modules, sorted. Each has ``http_protocol(plane, grpc_port)``, which returns the protocol."""
    folders = (found.name for found in pkgutil.iter_modules(protocols.__path__) if found.ispkg)
    return tuple(name for name in (f"{protocols.__name__}.{folder}.http" for folder in sorted(folders)) if find_spec(name) is not None)


def http_protocols(plane: DataPlane, grpc_port: int | None = None) -> tuple[HttpProtocol, ...]:
    """Every protocol, over ``plane``; ``grpc_port`` is for what tells people where gRPC is spoken."""
    return tuple(importlib.import_module(name).http_protocol(plane, grpc_port) for name in http_modules())
