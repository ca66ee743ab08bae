"""The lookup tables of a TensorFlow 1 graph: filled in its session, and written with what they hold into the graph that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.sources.tensorflow.endpoints import Endpoints, ancestors
from roadworthy.core.errors import SourceError
from roadworthy.frameworks.tensorflow import framework

STATIC = ("HashTable", "HashTableV2")
MUTABLE = ("MutableHashTable", "MutableHashTableV2", "MutableHashTableOfTensors", "MutableHashTableOfTensorsV2")
FILLERS = (
    "InitializeTable", "InitializeTableV2", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2",
    "LookupTableImport", "LookupTableImportV2", "LookupTableInsert", "LookupTableInsertV2",
)  # fmt: skip
"""Operations whose first input is the table that they fill."""


def prepare(session: Any, found: Endpoints, path: Path) -> None:
    """Fill the tables between the endpoints ``found`` as the graph itself says; SourceError for one that nothing in it fills."""
    answers = [session.graph.get_tensor_by_name(port.tensor) for port in found.outputs]
    needed = ancestors(answers, stop={port.tensor for port in found.inputs})
    tables = {op.name for op in needed if op.type in (*STATIC, *MUTABLE)}
    fillers = [op for op in session.graph.get_operations() if op.type in FILLERS and op.inputs[0].op.name in tables]
    if empty := sorted(tables - {op.inputs[0].op.name for op in fillers}):
        raise SourceError(
            f"{path} looks things up in the table {empty[0]}, which nothing fills outside its own program; give the SavedModel instead"
        )
    for op in fillers:
        try:
            session.run(op)
        except Exception as problem:
            raise SourceError(
                f"{path}: the table {op.inputs[0].op.name} cannot be filled by {op.name}: {framework.first_line(problem)}",
                detail=str(problem),
            ) from problem


def fill(graph: Any, session: Any) -> tuple[str, ...]:
    """Add to the GraphDef ``graph`` what its tables hold in the ``session`` that it comes from; the operations that fill them again.

    Nothing in what is kept reads a vocabulary file any more.
    """
    return tuple(_filled(graph, session, node) for node in list(graph.node) if node.op in (*STATIC, *MUTABLE))


def _filled(graph: Any, session: Any, table: Any) -> str:
    tf = framework.framework()
    handle = session.graph.get_tensor_by_name(f"{table.name}:0")
    version = "V2" if table.op.endswith("V2") else ""
    keys, values = (tf.as_dtype(table.attr[name].type) for name in ("key_dtype", "value_dtype"))
    with session.graph.as_default():
        export = getattr(tf.raw_ops, f"LookupTableExport{version}")
        held = session.run(export(table_handle=handle, Tkeys=keys, Tvalues=values))
    order = np.argsort(held[0], kind="stable")  # a hash table has an order of its own in each process
    constants = []
    for part, dtype, array in zip(("keys", "values"), (keys, values), held, strict=True):
        node = graph.node.add(name=f"{table.name}/kept/{part}", op="Const")
        node.attr["dtype"].type = dtype.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array[order], dtype, array.shape))
        constants.append(node.name)
    filler = ("InitializeTable" if table.op in STATIC else "LookupTableImport") + version
    node = graph.node.add(name=f"{table.name}/kept/fill", op=filler, input=[table.name, *constants])
    names = ("Tkey", "Tval") if table.op in STATIC else ("Tin", "Tout")
    for name, dtype in zip(names, (keys, values), strict=True):
        node.attr[name].type = dtype.as_datatype_enum
    return str(node.name)
