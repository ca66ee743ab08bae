"""What the targets for phones and boards share: class names in a file, and texts for the README."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.exported import Export
from roadworthy.core.types import TensorSpec

LABELS = "labels.txt"


def write_labels(export: Export, out: Path) -> str:
    """Write ``labels.txt`` where the classes have names, one a line in the order of the outputs; what the README says of it."""
    labels = export.contract.answer.labels
    if not labels:
        return "The classes have no names in the bundle."
    (out / LABELS).write_text("".join(f"{' '.join(label.split())}\n" for label in labels), encoding="utf-8")
    return f"`{LABELS}` has the names of the {len(labels)} classes, one a line, in the order of the model's outputs."


def tensors(export: Export) -> dict[str, str]:
    """The words of a README for the inputs, the outputs and the steps in front of the model."""
    signature = export.signature.fixed(export.plan.batch) if export.plan.batch else export.signature
    return {
        "INPUTS": "; ".join(map(_described, signature.inputs)),
        "OUTPUTS": "; ".join(map(_described, signature.outputs)),
        "STEPS": "; ".join(export.contract.describe()) or "the arrays as the model takes them",
    }


def _described(spec: TensorSpec) -> str:
    return f"`{spec.name}` {spec.dtype} [{', '.join(map(str, spec.shape))}]"
