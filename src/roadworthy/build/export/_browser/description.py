"""``model.json``: what lies in the folder of an export, for the page and for the session that drives it; and our own files beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.export._browser.flavour import FileTensor, Flavour, ModelFiles
from roadworthy.core import codec

NAME = "model.json"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class HeldFile:
    """A file's size in bytes and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class PageModel:
    """``files`` are those below ``model``, ``runtime`` and ``scripts`` those of the folders ``runtime`` and ``js``.

    ``policy`` is the Content-Security-Policy under which a page runs, ``import_map`` the text of its import map, empty for none: a page
    beside the folders must hold it to the letter, because the policy names its digest.
    """

    flavour: str
    inputs: tuple[FileTensor, ...]
    outputs: tuple[FileTensor, ...]
    batch: int | None
    files: dict[str, HeldFile]
    runtime: dict[str, HeldFile]
    scripts: dict[str, HeldFile]
    policy: str
    import_map: str


def write(flavour: Flavour, written: ModelFiles, out: Path) -> None:
    """Put the adapter and the page's modules into ``out``, and ``model.json``, which describes all of them."""
    shutil.copyfile(HERE / "adapters" / flavour.adapter, out / "runtime" / "adapter.js")
    shutil.copytree(HERE / "js", out / "js")
    imports = import_map(flavour.imports)
    held = PageModel(
        flavour.name,
        written.inputs,
        written.outputs,
        written.batch,
        _sums(out / "model"),
        _sums(out / "runtime"),
        _sums(out / "js"),
        policy(flavour.scripts, imports),
        imports,
    )
    (out / NAME).write_bytes(codec.to_json(held, indent=1))


def import_map(imports: Mapping[str, str]) -> str:
    """The text of the import map that leads bare names to files of ``runtime``; empty where there are none."""
    return json.dumps({"imports": {name: f"./runtime/{file}" for name, file in imports.items()}}) if imports else ""


def policy(scripts: tuple[str, ...] = (), imports: str = "") -> str:
    """The policy of a page that loads nothing from elsewhere and runs WebAssembly; ``scripts`` are further sources of scripts.

    ``imports`` is the text of its import map, which counts as a script of the page.
    """
    workers = " ".join(("'self'", *scripts))
    digest = f" 'sha256-{base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()}'" if imports else ""
    return (
        f"default-src 'none'; script-src {workers} 'wasm-unsafe-eval'{digest}; worker-src {workers}; connect-src 'self'; "
        "style-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'"
    )


def _sums(folder: Path) -> dict[str, HeldFile]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): HeldFile(path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files
    }
