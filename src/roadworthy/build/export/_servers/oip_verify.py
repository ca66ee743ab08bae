"""``verify.py`` for a server that speaks the Open Inference Protocol: it sends the golden samples over HTTP."""

from __future__ import annotations

import pprint
from collections.abc import Collection, Sequence
from importlib.resources import files

from roadworthy.build.export import _verify
from roadworthy.build.exported import Export
from roadworthy.other_servers.triton_config import DTYPES

TEMPLATE = "oip_answers.template"


def script(export: Export, outputs: Sequence[str], numbers: Collection[str] = ()) -> str:
    """The text of ``verify.py`` for ``export``; ``outputs`` are the server's names for them, in the order of the signature.

    ``numbers`` are the tensors of one number a sample, in the signature's names, which the server has with a dimension of 1 more.
    """
    types = {ours: word for word, ours in DTYPES.items()} | {"object": "BYTES"}
    specs = (*export.signature.inputs, *export.signature.outputs)
    facts = {
        "model": export.name,
        "types": {spec.name: types[spec.dtype] for spec in specs if spec.dtype in types},
        "outputs": {name: spec.name for name, spec in zip(outputs, export.signature.outputs, strict=True)},
        "numbers": sorted(numbers),
    }
    text = files("roadworthy.build.export._servers").joinpath(TEMPLATE).read_text(encoding="utf-8")
    return _verify.script(export, text.replace("@SERVED@", pprint.pformat(facts, width=120, sort_dicts=False)), ())
