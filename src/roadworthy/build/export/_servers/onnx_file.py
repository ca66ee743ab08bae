"""An ONNX graph as the one file that a server's repository holds, and calls made of the export's golden samples."""

from __future__ import annotations

from pathlib import Path

from roadworthy.core.types import Array, Arrays, Signature, output_names

LARGEST = 2**31 - 2**20
"""Bytes that one file of protobuf may have."""


def copy(source: Path, to: Path) -> None:
    """Write the graph at ``source`` to ``to`` as one file; weights that do not fit into one go into a file beside it."""
    import onnx

    model = onnx.load(source)
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    large = weights >= LARGEST
    onnx.save(model, to, save_as_external_data=large, location=f"{to.name}.data" if large else None)


def outputs_in_file(source: Path, signature: Signature) -> tuple[str, ...]:
    """The names of the outputs of ``signature`` in the file at ``source``."""
    import onnx

    found = [value.name for value in onnx.load(source, load_external_data=False).graph.output]
    return output_names(signature, found)


def calls(signature: Signature, rows: Arrays, samples: int = 1) -> list[dict[str, Array]]:
    """``rows`` [samples, ...] as calls of ``samples`` samples each, in the layouts of the model."""
    count = min((len(array) for array in rows.values()), default=0)
    starts = range(0, count - samples + 1, samples)
    return [signature.to_call({name: array[start : start + samples] for name, array in rows.items()}) for start in starts]
