"""``model.json``: what lies in the folder of an export, for the page and for the session that drives it; and our own files beside it."""

from __future__ import annotations

import hashlib
import shutil
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

    ``policy`` is the Content-Security-Policy under which the page runs, ``imports`` its import map.
    """

    flavour: str
    inputs: tuple[FileTensor, ...]
    outputs: tuple[FileTensor, ...]
    batch: int | None
    files: dict[str, HeldFile]
    runtime: dict[str, HeldFile]
    scripts: dict[str, HeldFile]
    policy: str
    imports: dict[str, str]


def write(flavour: Flavour, written: ModelFiles, out: Path) -> None:
    """Put the adapter and the page's modules into ``out``, and ``model.json``, which describes all of them."""
    shutil.copyfile(HERE / "adapters" / flavour.adapter, out / "runtime" / "adapter.js")
    shutil.copytree(HERE / "js", out / "js")
    held = PageModel(
        flavour.name,
        written.inputs,
        written.outputs,
        written.batch,
        _sums(out / "model"),
        _sums(out / "runtime"),
        _sums(out / "js"),
        policy(flavour.scripts),
        dict(flavour.imports),
    )
    (out / NAME).write_bytes(codec.to_json(held, indent=1))


def policy(scripts: tuple[str, ...] = ()) -> str:
    """The policy of a page that loads nothing from elsewhere and runs WebAssembly; ``scripts`` are further sources of scripts."""
    workers = " ".join(("'self'", *scripts))
    return (
        f"default-src 'none'; script-src {workers} 'wasm-unsafe-eval'; worker-src {workers}; connect-src 'self'; "
        "style-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'"
    )


def _sums(folder: Path) -> dict[str, HeldFile]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): HeldFile(path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files
    }
