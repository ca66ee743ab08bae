"""What a page may load, and ``model.json``, which states it with everything that lies in the folder; and our own files beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from roadworthy.build.export._browser.flavour import Flavour
from roadworthy.core import codec
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.runtimes.exported._browser import held
from roadworthy.runtimes.exported._browser.held import FileTensor, PageModel

HERE = Path(__file__).parent


def write(flavour: Flavour, signature: Signature, inner: Mapping[str, str], out: Path) -> None:
    """Put the adapter and the page's modules into ``out``, and ``model.json``, which describes all of them.

    ``signature`` is that of a call, ``inner`` the names of its tensors in the model's file, where these are others.
    """
    shutil.copyfile(HERE / "adapters" / flavour.adapter, out / "runtime" / "adapter.js")
    shutil.copytree(HERE / "js", out / "js")

    def tensors(specs: tuple[TensorSpec, ...]) -> tuple[FileTensor, ...]:
        return tuple(FileTensor(spec.name, spec.dtype, spec.shape, inner.get(spec.name, spec.name)) for spec in specs)

    imports = import_map(flavour.imports)
    model, runtime, scripts = (held.sums(out / folder) for folder in ("model", "runtime", "js"))
    made = PageModel(flavour.name, tensors(signature.inputs), tensors(signature.outputs), model, runtime, scripts, policy(imports), imports)
    (out / held.NAME).write_bytes(codec.to_json(made, indent=1))


def import_map(imports: Mapping[str, str]) -> str:
    """The text of the import map that leads bare names to files of ``runtime``; empty where there are none."""
    return json.dumps({"imports": {name: f"./runtime/{file}" for name, file in imports.items()}}) if imports else ""


def policy(imports: str = "") -> str:
    """The policy of a page that loads nothing from elsewhere and runs WebAssembly.

    ``imports`` is the text of its import map, which counts as a script of the page.
    """
    digest = f" 'sha256-{base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()}'" if imports else ""
    return (
        f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{digest}; worker-src 'self'; connect-src 'self'; "
        "style-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'"
    )
