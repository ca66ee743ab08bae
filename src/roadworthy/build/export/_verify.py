"""``verify.py`` of an export: a script that runs on the target alone, compares its answers with the golden ones, and writes evidence."""

from __future__ import annotations

import pprint

from roadworthy.build.export._templates import filled
from roadworthy.build.exported import Export
from roadworthy.bundle import export_evidence
from roadworthy.core.host import NOTABLE
from roadworthy.core.types import Signature, TensorSpec

NAME = "verify.py"
MOST_SAMPLES = 32
"""Samples in the largest call at which the answers of a candidate are compared here."""


def script(export: Export, answers: str, needs: tuple[str, ...]) -> str:
    """The text of a ``verify.py`` for ``export``, which needs NumPy, the standard library and the modules ``needs``.

    ``answers`` is the Python text of ``answers(inputs: dict[str, ndarray]) -> dict[str, ndarray]``, which asks the target. Its inputs are
    arrays by name in the model's own layout, C-contiguous, of ``plan.batch`` samples, or of 1 and of as many as one call may have.
    Called again, it should not load the model again. It may raise ``Refused("why")``. The text may also define ``ready()``, which raises
    ``Refused`` where the machine is not the target and is asked before ``needs`` are imported, ``device() -> str`` (what answers, where it
    is not the CPU), and ``tools() -> dict[str, str]`` (versions of what is not a module of ``needs``). ``HERE`` is the export's folder,
    ``np`` NumPy.

    The script reads ``evidence.json`` and ``golden.npz`` beside it and writes ``evidence-target.json``. Exit 0: within the gate of
    ``evidence.json``; 1: not; 2: it could not be tried.
    """
    signature = export.signature.fixed(export.plan.batch) if export.plan.batch else export.signature
    facts = {
        "needs": list(needs),
        "calls": _calls(signature),
        "dynamic": signature.dynamic,
        "inputs": [_facts(spec) for spec in signature.inputs],
        "outputs": [_facts(spec) for spec in signature.outputs],
        "features": list(NOTABLE),
        "left_out": [export_evidence.NAME, export_evidence.FROM_TARGET, export_evidence.README],
        "built": export_evidence.BUILT,
    }
    words = {
        "NEEDED": "".join(f" and {name}" for name in needs),
        "FACTS": pprint.pformat(facts, width=120, sort_dicts=False),
        "ANSWERS": answers.strip(),
    }
    return filled(str(__package__), "_verify.template", words)


def _calls(signature: Signature) -> list[int]:
    """The sizes of the calls to compare in: one sample alone, and the most that were proven; or the one size that there is."""
    largest = 1 if signature.whole_call else MOST_SAMPLES
    return sorted({signature.call_size(size) for size in (1, largest)})


def _facts(spec: TensorSpec) -> dict[str, object]:
    quantization = spec.quantization
    return {
        "name": spec.name,
        "dtype": spec.dtype,
        "axis": spec.sample_axis if spec.shape else None,
        "quantization": [quantization.scale, quantization.zero_point] if quantization else None,
    }
