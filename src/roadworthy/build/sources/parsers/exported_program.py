"""What the archive of an ExportedProgram states in its JSON: weights, signature and operators, read without loading it."""

from __future__ import annotations

from typing import Any

from roadworthy.build.sources.parsers import batch_symbol
from roadworthy.build.sources.parsers.untrusted import json
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.core.types import Signature, TensorSpec

WEIGHTS, CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
DTYPES = (
    "",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex32",
    "complex64",
    "complex128",
    "bool",
    "bfloat16",
)
"""torch._export.serde.schema.ScalarType, by number."""


def tensors(archive: Archive) -> tuple[TensorSpec, ...]:
    """The weights, by the table that lists them."""
    entries = _at(_read(archive, WEIGHTS), "config")
    return tuple(_spec(str(name), _at(entry, "tensor_meta")) for name, entry in entries.items()) if isinstance(entries, dict) else ()


def signature(archive: Archive) -> Signature | None:
    """Inputs and outputs as the graph states them; ``None`` where their form is unknown."""
    graph = _at(_read(archive, _model(archive)), "graph_module")
    values = _at(graph, "graph", "tensor_values")
    inputs = _names(_at(graph, "signature", "input_specs"), "user_input")
    outputs = _names(_at(graph, "signature", "output_specs"), "user_output")
    if not isinstance(values, dict) or not inputs or not outputs or not all(name in values for name in inputs + outputs):
        return None
    return Signature(*batch_symbol.named([_spec(name, values[name]) for name in inputs], [_spec(name, values[name]) for name in outputs]))


def executes(archive: Archive) -> tuple[str, ...]:
    """What reading it could run: pickles among weights and constants, and operators that are not PyTorch's own."""
    found = []
    for table, folder in ((WEIGHTS, "data/weights"), (CONSTANTS, "data/constants")):
        entries = _at(_read(archive, table), "config") if table in archive.names else None
        for entry in entries.values() if isinstance(entries, dict) else ():
            if _at(entry, "use_pickle") is not False:
                found.append(f"a pickle, {folder}/{_at(entry, 'path_name')}")
    found += [f"a pickle, {name}" for name in archive.names if name.startswith("data/sample_inputs/")]
    nodes = _at(_read(archive, _model(archive)), "graph_module", "graph", "nodes")
    targets = {str(_at(node, "target")) for node in nodes} if isinstance(nodes, list) else set()
    foreign = sorted(
        target for target in targets if not target.startswith(("torch.ops.aten.", "torch.ops.higher_order.", "_operator.", "math."))
    )
    return (*found, *(f"the operator {target[:200]}" for target in foreign))


def _model(archive: Archive) -> str:
    return next(name for name in archive.names if name.startswith("models/"))


def _names(specs: Any, kind: str) -> list[str]:
    found = (
        [_at(spec, kind, "arg", "as_tensor", "name") for spec in specs if isinstance(spec, dict) and kind in spec]
        if isinstance(specs, list)
        else []
    )
    return [str(name) for name in found]


def _spec(name: str, meta: Any) -> TensorSpec:
    number, sizes = _at(meta, "dtype"), _at(meta, "sizes")
    dtype = DTYPES[number] if isinstance(number, int) and 0 < number < len(DTYPES) else "unknown"
    return TensorSpec(name, dtype, tuple(map(_size, sizes if isinstance(sizes, list) else ())))


def _size(size: Any) -> int | str:
    fixed = _at(size, "as_int")
    if isinstance(fixed, int):
        return fixed
    return str(_at(size, "as_expr", "expr_str"))[:40]


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _read(archive: Archive, name: str) -> Any:
    return json(archive.read(name), f"{name} in the archive")
