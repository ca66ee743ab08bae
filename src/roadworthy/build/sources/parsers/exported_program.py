"""What the archive of an ExportedProgram states in its JSON: weights, signature and operators, read without loading it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from roadworthy.build.sources.parsers import batch_symbol
from roadworthy.build.sources.parsers.untrusted import json
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.core.errors import SourceUnreadable, UsageError
from roadworthy.core.types import Signature, TensorSpec

MODELS, WEIGHTS, CONSTANTS = "models/", "_weights_config.json", "_constants_config.json"
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


def methods(archive: Archive) -> tuple[str, ...]:
    """The names of the programs in the archive: one called ``model``, or several of which each is a method."""
    return tuple(name.removeprefix(MODELS).removesuffix(".json") for name in archive.names if name.startswith(MODELS))


def chosen(archive: Archive, signature: str, path: str) -> str:
    """The program that ``signature`` names, or the only one; UsageError where that leaves a choice."""
    names = methods(archive)
    if len(names) > 1 and not signature:
        raise UsageError(f"{path} has the programs {', '.join(names)}; name one: --signature {names[0]}")
    return signature or names[0]


def tensors(archive: Archive) -> tuple[TensorSpec, ...]:
    """The weights, by the tables that list them."""
    tables = [_at(_read(archive, name), "config") for name in archive.names if name.endswith(WEIGHTS)]
    return tuple(
        _spec(str(name), _at(entry, "tensor_meta")) for table in tables if isinstance(table, dict) for name, entry in table.items()
    )


def signature(archive: Archive, method: str) -> Signature | None:
    """Inputs and outputs as the graph states them; ``None`` where their form is unknown."""
    graph = _graph(archive, method)
    values = _at(graph, "graph", "tensor_values")
    given = [(name, placeholder) for name, placeholder in inputs(archive, method) if placeholder]
    outputs = _names(_at(graph, "signature", "output_specs"), "user_output")
    if (
        not isinstance(values, dict)
        or not given
        or not outputs
        or not all(name in values for _, name in given)
        or not values.keys() >= {*outputs}
    ):
        return None
    taken, answered = [_spec(name, values[placeholder]) for name, placeholder in given], [_spec(name, values[name]) for name in outputs]
    return Signature(*batch_symbol.named(taken, answered))


def inputs(archive: Archive, method: str) -> tuple[tuple[str, str], ...]:
    """Each leaf of the program's arguments: its name, and that of its tensor in the graph, which is empty for a constant.

    A tensor is called like the argument that it is, one inside a dict by its keys (``x``, where the dict is the only argument,
    ``user.age`` where it is not), one inside a tuple by its number (``pair.0``). SourceUnreadable where the archive does not say.
    """
    graph = _graph(archive, method)
    found = [
        ("user_input", str(_at(spec, "user_input", "arg", "as_tensor", "name") or "")) if "user_input" in spec else ("constant_input", "")
        for spec in _items(graph, "signature", "input_specs")
        if isinstance(spec, dict) and ("user_input" in spec or "constant_input" in spec)
    ]
    calls = _items(graph, "module_call_graph")
    stated = next((_at(call, "signature") for call in calls if _at(call, "fqn") == ""), None)
    names = _argument_names(stated, archive)
    if len(names) != len(found):
        names = [placeholder or f"constant_{number}" for number, (_, placeholder) in enumerate(found)]
    return tuple((name, placeholder) for name, (_, placeholder) in zip(names, found, strict=True))


def _argument_names(signature: Any, archive: Archive) -> list[str]:
    """The names of the leaves of the arguments, by the tree of these; empty where there is no such tree."""
    text = _at(signature, "in_spec")
    tree = json(text.encode(), "the tree of its arguments") if isinstance(text, str) else None
    root = tree[1] if isinstance(tree, list) and len(tree) == 2 else None
    halves = _items(root, "children_spec")
    if len(halves) != 2:
        return []
    known = _at(signature, "forward_arg_names")
    positional, by_keyword = (
        _items(halves[0], "children_spec"),
        list(zip(_keys(halves[1]), _items(halves[1], "children_spec"), strict=False)),
    )
    names = [str(name) for name in known[: len(positional)]] if isinstance(known, list) and len(known) >= len(positional) else []
    names = names or [f"input_{number}" for number in range(len(positional))]
    arguments = [*zip(names, positional, strict=True), *by_keyword]
    alone = len(arguments) == 1 and str(_at(arguments[0][1], "type")).endswith("ict")
    return [name for argument, node in arguments for name in _leaves(node, "" if alone else argument)]


def _leaves(node: Any, name: str) -> Iterator[str]:
    children = _items(node, "children_spec")
    if _at(node, "type") is None:
        yield name
    for key, child in zip(_keys(node), children, strict=False):
        yield from _leaves(child, f"{name}.{key}" if name else key)


def _keys(node: Any) -> list[str]:
    """The keys of a dict; the numbers of anything else."""
    context = _at(node, "context")
    keys = json(context.encode(), "a node of the tree of its arguments") if isinstance(context, str) else None
    children = _items(node, "children_spec")
    return [str(key) for key in keys] if isinstance(keys, list) and len(keys) == len(children) else [str(n) for n in range(len(children))]


def executes(archive: Archive) -> tuple[str, ...]:
    """What reading it could run: pickles among weights and constants, and operators that are not PyTorch's own."""
    found = []
    for table in (name for name in archive.names if name.endswith((WEIGHTS, CONSTANTS))):
        entries = _at(_read(archive, table), "config")
        for entry in entries.values() if isinstance(entries, dict) else ():
            if _at(entry, "use_pickle") is not False:
                found.append(f"a pickle, {table.rpartition('/')[0]}/{_at(entry, 'path_name')}")
    found += [f"a pickle, {name}" for name in archive.names if name.startswith("data/sample_inputs/")]
    nodes = [node for method in methods(archive) for node in _items(_graph(archive, method), "graph", "nodes")]
    targets = {str(_at(node, "target")) for node in nodes}
    foreign = sorted(
        target for target in targets if not target.startswith(("torch.ops.aten.", "torch.ops.higher_order.", "_operator.", "math."))
    )
    return (*found, *(f"the operator {target[:200]}" for target in foreign))


def _graph(archive: Archive, method: str) -> Any:
    name = f"{MODELS}{method}.json"
    if name not in archive.names:
        raise SourceUnreadable(f"the archive has no {name}; it is damaged, fetch it again")
    return _at(_read(archive, name), "graph_module")


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


def _items(value: Any, *keys: str) -> list[Any]:
    found = _at(value, *keys)
    return found if isinstance(found, list) else []


def _read(archive: Archive, name: str) -> Any:
    return json(archive.read(name), f"{name} in the archive")
