"""A model archive in TorchServe itself, where it and Java are installed; its content by the runtime inside where they are not."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.bundle.export_evidence import Tool
from roadworthy.core import registry
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.interfaces import Session
from roadworthy.core.stages import Plan
from roadworthy.core.types import BYTES, Array, Arrays, Signature
from roadworthy.runtimes.exported import _torchserve_server
from roadworthy.runtimes.exported._calls import in_parts
from roadworthy.runtimes.exported._torchserve_server import Server, installed

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("numpy",)
FRAMEWORK = False
NATIVE = False
ON_TARGET = False

CANDIDATE = "candidate"
REQUEST = 16 * 2**20
"""Bytes of samples in one request, at most, where a sample is not larger."""
ANSWER_S = 120.0


def lacking() -> str:
    """In words, what this machine lacks to run an archive in TorchServe; empty where it lacks nothing."""
    return (
        "" if installed() else "TorchServe and Java are not both installed here; install them with: pip install torchserve, Java from 11 on"
    )


def load(path: Path, signature: Signature, plan: Plan) -> Session:
    """The archive in ``path`` in a server of its own on loopback ports, or else by the runtime that is inside.

    Files that are not packed yet are run by that runtime. Raises StepFailed where the server does not start.
    """
    if plan.spin or plan.options:
        raise UsageError(f"{plan.name} is not a plan of TorchServe: it has no choice of spinning or pinned threads")
    if (path / CANDIDATE).is_dir():
        return _inside(path / CANDIDATE, signature, plan)
    archives = sorted(path.glob("*.mar"))
    if len(archives) != 1:
        raise StepFailed(f"{path} holds {len(archives)} archives, and one is wanted")
    if installed():
        return TorchServeSession(archives[0], path, signature, plan)
    return _Unpacked(archives[0], signature, plan)


def _tools(plan: Plan) -> tuple[Tool, ...]:
    """What answers inside, beside this module's own packages."""
    inside = (package for package in registry.facts(plan.flavour).packages if package not in PACKAGES)
    return tuple(Tool(package, metadata.version(package)) for package in inside)


def _inside(folder: Path, signature: Signature, plan: Plan) -> Session:
    return registry.runtime(plan.flavour).load(folder, signature, Plan(plan.flavour, plan.precision, threads=plan.threads))


class _Unpacked:
    """The variant of the bundle in an archive, by its own runtime: nothing of the handler or the server is run."""

    on_target = False

    def __init__(self, archive: Path, signature: Signature, plan: Plan) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="roadworthy-mar-")
        try:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(self._folder.name)
            (variant,) = Path(self._folder.name, "bundle", "variants").iterdir()
            self._session = _inside(variant, signature, plan)
            self.tools = _tools(plan)
        except BaseException:
            self._folder.cleanup()
            raise

    def run(self, feeds: Arrays) -> Arrays:
        return self._session.run(feeds)

    def close(self) -> None:
        self._session.close()
        self._folder.cleanup()


class TorchServeSession:
    """Requests to a server in a child: samples go as ``.npz``, answers come as JSON."""

    on_target = True

    def __init__(self, archive: Path, store: Path, signature: Signature, plan: Plan) -> None:
        self._name, self._signature = archive.stem, signature
        self._server = Server(archive, store)
        self.tools = (Tool(_torchserve_server.PROGRAM, self._server.version), *_tools(plan))

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name; more samples than fit into one request go in several."""
        count, size = self._signature.count(feeds), sum(array.nbytes for array in feeds.values())
        most = max(1, count * REQUEST // max(size, 1)) if self._signature.batched else count
        return in_parts(self._answer, self._signature, feeds, most)

    def item(self, data: bytes, content_type: str = "application/octet-stream") -> Any:
        """The server's answer, decoded, to a request with this body."""
        return self._server.post(f"/predictions/{self._name}", data, content_type, ANSWER_S)

    def close(self) -> None:
        self._server.close()

    def _answer(self, feeds: Arrays) -> Arrays:
        if any(array.dtype.hasobject for array in feeds.values()):
            texts = {name: np.vectorize(bytes.decode, otypes=[object])(array).tolist() for name, array in feeds.items()}
            found = self.item(json.dumps(texts).encode(), "application/json")
        else:
            body = io.BytesIO()
            np.savez(body, allow_pickle=False, **dict(feeds))
            found = self.item(body.getvalue())
        if not isinstance(found, dict) or any(spec.name not in found for spec in self._signature.outputs):
            raise StepFailed(f"TorchServe answered {str(found)[:200]}, and the outputs by name were to come")
        return {spec.name: _array(found[spec.name], spec.dtype) for spec in self._signature.outputs}


def _array(values: Any, dtype: str) -> Array:
    if dtype != BYTES:
        return np.array(values, dtype)
    texts = np.array(values, object)
    return np.asarray(np.vectorize(str.encode, otypes=[object])(texts))
