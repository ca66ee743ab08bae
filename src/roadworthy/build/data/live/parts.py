"""The inputs and targets in one item of a data set: a tuple, a mapping, or the sample alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roadworthy.build.data.live.values import array_of, is_array
from roadworthy.build.data.live.wanted import Item, Wanted
from roadworthy.core.errors import DataError


def item_of(given: Any, wanted: Wanted, what: str, *, weighted: bool = False) -> Item:
    """``given`` as arrays by name; ``what`` names it in messages. DataError where its parts cannot be told apart."""
    if not isinstance(given, Mapping):
        wanted.refuse_targets(what)
    inputs, y = parted(given, wanted, what, weighted=weighted)
    arrays = {name: array_of(value, f"{what}: {name}") for name, value in named_inputs(inputs, wanted).items()}
    if not arrays:
        raise DataError(f"{what} holds no inputs")
    return Item(arrays, y)


def parted(given: Any, wanted: Wanted, what: str, *, weighted: bool = False) -> tuple[Any, Any]:
    """The inputs and the targets in ``given``; ``None`` where it has no targets. With ``weighted`` a third part does not count."""
    if isinstance(given, Mapping):
        return of_mapping(given, wanted, what)
    if not is_several(given):
        return given, None
    several = len(wanted.names)
    if len(given) == 1:
        return parted(given[0], wanted, what, weighted=weighted)
    if len(given) == several and not isinstance(given[0], Mapping | tuple | list):
        return given, None
    if len(given) == 2:
        return given[0], given[1]
    if len(given) == several + 1:
        return given[:-1], given[-1]
    if len(given) == 3 and weighted:
        return given[0], given[1]
    raise DataError(
        f"{what} has {len(given)} parts, and which are inputs cannot be known: give (inputs, target), with a dict of inputs by name "
        "where the model takes several"
    )


def of_mapping(given: Mapping[Any, Any], wanted: Wanted, what: str) -> tuple[dict[str, Any], Any]:
    """The inputs by name, and the targets: those of their names. Of the others only what the model takes, where it takes all by name."""
    named = {str(name): value for name, value in given.items()}
    wanted.refuse_targets(what, named)
    targets = {name: value for name, value in named.items() if wanted.is_target(name)}
    inputs = {name: value for name, value in named.items() if name not in targets}
    if wanted.names and set(wanted.names) <= set(inputs):
        inputs = {name: inputs[name] for name in (*wanted.names, *wanted.optional) if name in inputs}
    return inputs, next(iter(targets.values())) if len(targets) == 1 else targets or None


def named_inputs(inputs: Any, wanted: Wanted) -> dict[str, Any]:
    """The inputs by name; several without names in the order of the model's."""
    if isinstance(inputs, Mapping):
        alone = len(inputs) == 1 and len(wanted.names) == 1
        return {wanted.only if alone else str(name): value for name, value in inputs.items()}
    if not is_several(inputs):
        return {wanted.only: inputs}
    return dict(zip(wanted.positional(len(inputs)), inputs, strict=False))


def is_several(given: Any) -> bool:
    """Whether ``given`` is a tuple, or a list of arrays, and not a sample that is written as a list of numbers."""
    if isinstance(given, tuple):
        return True
    if not isinstance(given, list) or not given:
        return False
    return all(is_array(part) or isinstance(part, Mapping | tuple) for part in given) and any(getattr(part, "ndim", 1) for part in given)
