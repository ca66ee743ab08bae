"""The ways to hand named inputs to the forward of a PyTorch module, likeliest first: the first that the model takes is its own."""

from __future__ import annotations

import inspect
import keyword
import typing
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from typing import Any

import torch

from roadworthy.core.errors import SourceError
from roadworthy.frameworks.torch.calling import Arguments, Leaf
from roadworthy.frameworks.torch.pickles import unwrapped

_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def parameters(module: Any) -> tuple[Parameter, ...]:
    """The parameters of ``forward``; SourceError where the module has none or it takes nothing."""
    if isinstance(module, torch.jit.ScriptModule):
        return _of_schema(module)
    try:
        found = inspect.signature(module.forward)
    except (AttributeError, TypeError, ValueError) as problem:
        raise SourceError(f"{type(module).__name__} has no forward that can be called ({problem}); give its class a forward") from problem
    return tuple(found.parameters.values())


def required(module: Any) -> tuple[str, ...]:
    """The names of the parameters that have no default; empty where it takes any number."""
    found = parameters(module)
    if any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in found):
        return ()
    return tuple(parameter.name for parameter in found if _is_required(parameter))


def positional(model: Any, *, required_only: bool = False) -> tuple[str, ...]:
    """The names of what a live module or program takes by position; with ``required_only`` of what has no default."""
    if isinstance(model, torch.export.ExportedProgram):
        return tuple(model.module_call_graph[0].signature.forward_arg_names or ())
    found = [parameter for parameter in parameters(unwrapped(model)) if parameter.kind in _BY_POSITION]
    return tuple(parameter.name for parameter in found if _is_required(parameter) or not required_only) or ("input",)


def forms(module: Any, names: tuple[str, ...]) -> tuple[Arguments, ...]:
    """Every way in which inputs of these names fit the parameters: by name, by position, or together in one of them.

    ``user.age`` is the entry ``age`` of the parameter ``user``, ``pair.0`` the first of a tuple. Inputs that are called like no
    parameter go together into the one parameter that is left without a value: as a dict, a tuple or a list.
    """
    found = parameters(module)
    given = {name: Leaf(number) for number, name in enumerate(names)}
    candidates: list[Arguments] = []
    for form in (*_by_name(found, given), *_by_position(found, given), *_together(module, found, given)):
        if form not in candidates:
            candidates.append(form)
    return tuple(candidates)


def _is_required(parameter: Parameter) -> bool:
    return parameter.default is Parameter.empty and parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def _by_name(found: tuple[Parameter, ...], given: Mapping[str, Leaf]) -> Iterator[Arguments]:
    values = _nested(given, {parameter.name for parameter in found})
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in found) or values.keys() <= {parameter.name for parameter in found}:
        yield from _placed(found, values)


def _by_position(found: tuple[Parameter, ...], given: Mapping[str, Leaf]) -> Iterator[Arguments]:
    places = [parameter for parameter in found if parameter.kind in _BY_POSITION]
    missing = [parameter for parameter in found if _is_required(parameter) and parameter not in places[: len(given)]]
    if not missing and (len(given) <= len(places) or any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in found)):
        yield Arguments(tuple(given.values()), {})


def _together(module: Any, found: tuple[Parameter, ...], given: Mapping[str, Leaf]) -> Iterator[Arguments]:
    own = {parameter.name for parameter in found}
    values = _nested({name: leaf for name, leaf in given.items() if name in own or name.partition(".")[0] in own}, own)
    rest = {name: leaf for name, leaf in given.items() if name not in own and name.partition(".")[0] not in own}
    left = [parameter for parameter in found if parameter.kind in _BY_POSITION and parameter.name not in values]
    takers = [parameter for parameter in left if _is_required(parameter)] or left[:1]
    if not rest or len(takers) != 1:
        return
    for value in _containers(takers[0].annotation, rest, plain=isinstance(module, torch.jit.ScriptModule)):
        yield from _placed(found, values | {takers[0].name: value})


def _containers(annotation: Any, rest: Mapping[str, Leaf], *, plain: bool) -> list[Any]:
    """What one parameter may take several inputs as; what its annotation says comes first.

    A tuple has the names of the inputs as fields, for a forward that takes a record; a ``plain`` one has none.
    """
    nested, several = _nested(rest, set()), list(rest.values())
    fields = all(name.isidentifier() and not name.startswith("_") and not keyword.iskeyword(name) for name in rest)
    record = tuple if plain or not fields else _record(tuple(rest))
    ways = [nested, *([dict(rest)] if nested != rest else []), record(several), several]
    kind = typing.get_origin(annotation) or annotation
    return sorted(ways, key=lambda way: not (isinstance(kind, type) and isinstance(way, kind)))


def _record(names: tuple[str, ...]) -> Callable[[list[Leaf]], Any]:
    kind = namedtuple("Inputs", names)  # type: ignore[misc]
    return lambda values: kind(*values)


def _placed(found: tuple[Parameter, ...], values: Mapping[str, Any]) -> Iterator[Arguments]:
    """``values`` by position as far as they follow each other from the first parameter on, by keyword from there on."""
    if any(_is_required(parameter) and parameter.name not in values for parameter in found):
        return
    positional: list[Any] = []
    for parameter in found:
        if parameter.kind not in _BY_POSITION or parameter.name not in values:
            break
        positional.append(values[parameter.name])
    by_keyword = dict(values)
    for parameter in found[: len(positional)]:
        del by_keyword[parameter.name]
    only_by_position = {parameter.name for parameter in found if parameter.kind is Parameter.POSITIONAL_ONLY}
    if not only_by_position & by_keyword.keys():
        yield Arguments(tuple(positional), by_keyword)


def _nested(given: Mapping[str, Any], own: set[str]) -> dict[str, Any]:
    """Dotted names as dicts, and as tuples where their parts are numbers; a name of ``own`` stays whole."""
    values: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, leaf in given.items():
        root, dot, rest = name.partition(".")
        if name in own or not dot or (own and root not in own):
            values[name] = leaf
        else:
            inner.setdefault(root, {})[rest] = leaf
            values[root] = None
    for root, parts in inner.items():
        deeper = _nested(parts, set())
        values[root] = tuple(deeper.values()) if list(deeper) == [str(number) for number in range(len(deeper))] else deeper
    return values


def _of_schema(module: Any) -> tuple[Parameter, ...]:
    if not hasattr(module, "forward"):
        methods = ", ".join(sorted(module._c._method_names())) or "none"
        raise SourceError(
            f"the TorchScript program has no forward; its methods are {methods}: save a module whose forward calls the one you mean"
        )
    return tuple(
        Parameter(
            argument.name,
            Parameter.KEYWORD_ONLY if argument.kwarg_only else Parameter.POSITIONAL_OR_KEYWORD,
            default=None if argument.has_default_value() else Parameter.empty,
            annotation={"DictType": dict, "ListType": list, "TupleType": tuple}.get(argument.type.kind(), Parameter.empty),
        )
        for argument in module.forward.schema.arguments[1:]
    )
