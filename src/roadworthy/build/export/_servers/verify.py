"""``verify.py`` for a server: it sends the golden samples over HTTP."""

from __future__ import annotations

import pprint
from collections.abc import Collection, Sequence
from pathlib import Path

from roadworthy.build.export import _verify
from roadworthy.build.export._templates import filled
from roadworthy.build.exported import Export
from roadworthy.other_servers.triton_config import DTYPES

PACKAGE = str(__package__)


def write_for_oip(export: Export, out: Path, server: str, outputs: Sequence[str], numbers: Collection[str] = ()) -> None:
    """Write the script for a server that speaks the Open Inference Protocol on port 8000 and calls itself ``server``.

    ``outputs`` are the server's names for them, in the order of the signature. ``numbers`` are the tensors of one number a sample, in the
    signature's names, which the server has with a dimension of 1 more.
    """
    types = {ours: word for word, ours in DTYPES.items()} | {"object": "BYTES"}
    specs = (*export.signature.inputs, *export.signature.outputs)
    facts = {
        "model": export.name,
        "types": {spec.name: types[spec.dtype] for spec in specs if spec.dtype in types},
        "outputs": {name: spec.name for name, spec in zip(outputs, export.signature.outputs, strict=True)},
        "numbers": sorted(numbers),
    }
    answers = filled(PACKAGE, "oip_answers.template", {"SERVED": pprint.pformat(facts, width=120, sort_dicts=False)})
    _write(export, out, server, 8000, answers)


def write_for_torchserve(export: Export, out: Path) -> None:
    """Write the script for TorchServe with the handler of its export, on port 8080."""
    _write(export, out, "TorchServe APIs", 8080, filled(PACKAGE, "torchserve_answers.template", {"MODEL": export.name}))


def _write(export: Export, out: Path, server: str, port: int, answers: str) -> None:
    words = {"URL": f"http://localhost:{port}", "SERVER": server, "TARGET": export.plan.runtime.replace("_", "-")}
    asking = filled(PACKAGE, "http.template", words)
    (out / _verify.NAME).write_text(_verify.script(export, f"{asking}\n\n{answers}", ()), encoding="utf-8")
