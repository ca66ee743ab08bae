"""Ragged and sparse tensors in signatures of a SavedModel, which states their parts alone: the function behind one says what they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from roadworthy.core.errors import SourceError

INSTEAD = {
    ("takes", "RaggedTensorSpec"): "begins with tf.RaggedTensor.from_tensor(x, lengths)",
    ("takes", "SparseTensorSpec"): "begins with tf.sparse.from_dense(x)",
    ("gives", "RaggedTensorSpec"): "ends with y.to_tensor()",
    ("gives", "SparseTensorSpec"): "ends with tf.sparse.to_dense(y)",
}
"""How a function makes of a dense tensor what it takes, and a dense tensor of what it gives."""


def refuse(meta: Any, key: str, path: Path, *, chosen: bool = False) -> None:
    """SourceError, with the signatures of arrays, where the signature ``key`` of the MetaGraphDef takes or gives what is not an array.

    With ``chosen`` the user named the outputs, which are looked at by themselves.
    """
    found = [one for one in _found(meta, key) if not (chosen and one[0] == "gives")]
    if not found:
        return
    dense = [other for other in sorted(meta.signature_def) if not other.startswith("__") and not list(_found(meta, other))]
    listed = " and ".join(f"{verb} {name!r} as a {kind.removesuffix('Spec')} ({kind})" for verb, name, kind in found)
    if dense:
        instead = f"{', '.join(map(repr, dense))} {'have' if len(dense) > 1 else 'has'} dense tensors alone: --signature {dense[0]}"
    else:
        example = INSTEAD.get((found[0][0], found[0][2]), "")
        instead = f"save it with a signature of dense tensors{f', which {example}' if example else ''}"
    raise SourceError(f"{path}: the signature {key!r} {listed}, which is not an array; {instead}")


def _found(meta: Any, key: str) -> Iterator[tuple[str, str, str]]:
    """Each composite tensor of a signature: whether it takes or gives it, its name and the name of its class."""
    graph = meta.object_graph_def
    function = _behind(meta, key)
    if function is None:
        return
    arguments = iter(function.signature.input_arg)
    known = graph.concrete_functions[function.signature.name]
    for name, part in _leaves(known.canonicalized_input_signature, ""):
        kind = part.WhichOneof("kind")
        if kind == "type_spec_value":
            parts = [next(arguments, None) for _ in range(part.type_spec_value.num_flat_components or 1)]
            yield "takes", (parts[0].name if parts[0] else "") or name, part.type_spec_value.type_spec_class_name
        elif kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
            next(arguments, None)
    for name, part in _leaves(known.output_signature, "output_0"):
        if part.WhichOneof("kind") == "type_spec_value":
            yield "gives", name, part.type_spec_value.type_spec_class_name


def _behind(meta: Any, key: str) -> Any:
    """The FunctionDef that the signature's wrapper calls; ``None`` where the SavedModel does not say it (TensorFlow 1)."""
    graph = meta.object_graph_def
    if not graph.nodes:
        return None
    functions = {one.signature.name: one for one in meta.graph_def.library.function}
    signatures = next((child.node_id for child in graph.nodes[0].children if child.local_name == "signatures"), None)
    if signatures is None:
        return None
    node = next((child.node_id for child in graph.nodes[signatures].children if child.local_name == key), None)
    wrapper = functions.get(graph.nodes[node].bare_concrete_function.concrete_function_name) if node is not None else None
    called = [one.attr["f"].func.name for one in wrapper.node_def if "f" in one.attr] if wrapper else []
    return next((functions[name] for name in called if name in functions and name in graph.concrete_functions), None)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The leaves of a StructuredValue in the order of its tensors, each with the key or the name that leads to it."""
    match value.WhichOneof("kind"):
        case "tuple_value":
            for part in value.tuple_value.values:
                yield from _leaves(part, name)
        case "list_value":
            for part in value.list_value.values:
                yield from _leaves(part, name)
        case "dict_value":
            for key in sorted(value.dict_value.fields):
                yield from _leaves(value.dict_value.fields[key], key)
        case None:
            return
        case _:
            yield name, value
