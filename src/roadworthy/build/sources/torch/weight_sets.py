"""Find the weights of an architecture in whatever a trainer saved: every set of tensors whose names end as the architecture's do.

A checkpoint is read as one tree of dotted names, so ``{"state_dict": {"model.fc.weight": t}}`` holds ``state_dict.model.fc.weight``.
A set is a beginning of such names (``state_dict.model.``) after which the names of the architecture follow.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from roadworthy.core.errors import SourceUnreadable, UsageError

DEEP = 8
AVERAGED = re.compile(r"(^|[._])(ema|swa|avg|averaged?|polyak|shadow|momentum)(?=[._\d]|$)", re.IGNORECASE)
"""How trainers call a moving average of the weights. The trained weights come before it."""
COUNTERS = ("n_averaged",)
RENAMINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("", lambda name: name),
    ("'_orig_mod.' and 'module.' were removed from the weights' names", lambda name: re.sub(r"(^|\.)(_orig_mod|module)\.", r"\1", name)),
    (
        "the weights' old names 'gamma' and 'beta' were read as 'weight' and 'bias'",
        lambda name: re.sub(r"\.beta$", ".bias", re.sub(r"\.gamma$", ".weight", name)),
    ),
)
"""What torch.compile and DataParallel put into the middle of names, and what early releases of BERT called the weights of LayerNorm."""


@dataclass(frozen=True)
class SavedTensor:
    """``name`` is within the dictionary ``place``, which is the dotted name of the dictionary itself, empty for the file's root."""

    place: str
    name: str
    tensor: Any

    @property
    def full(self) -> str:
        """The dotted name in the whole file."""
        return f"{self.place}.{self.name}" if self.place else self.name


@dataclass(frozen=True)
class Checkpoint:
    """All tensors of a file, and the versions of the modules that wrote them, by the dictionary that carries them."""

    tensors: tuple[SavedTensor, ...]
    metadata: Mapping[str, Mapping[str, Any]]
    holds: str


@dataclass(frozen=True)
class WeightSet:
    """``tensors`` by the architecture's names. ``prefix`` is what stood before them in the file, ``place`` the dictionary that they are in.

    ``beside`` are further tensors in the same dictionary, outside of the prefix. ``others`` are sets that fit as well, as ``--weights``
    takes them, and ``renamed`` says how names were changed.
    """

    place: str
    prefix: str
    tensors: Mapping[str, Any]
    beside: Mapping[str, Any]
    metadata: Mapping[str, Any]
    renamed: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def spelled(self) -> str:
        """The set as ``--weights`` takes it; empty where it is the whole file."""
        return ".".join(part for part in (self.place, self.prefix.rstrip(".")) if part)


def read(held: object) -> Checkpoint:
    """Every tensor in an object from ``torch.load``; those of modules by their state_dict."""
    metadata: dict[str, Mapping[str, Any]] = {}
    tensors = tuple(_walk(held, "", metadata, 0))
    keys = ", ".join(map(repr, list(held)[:8])) if isinstance(held, Mapping) else type(held).__name__
    return Checkpoint(tensors, metadata, keys or "nothing")


def choose(checkpoint: Checkpoint, wanted: Mapping[str, Any], chosen: str, path: Path) -> WeightSet:
    """The set for an architecture whose state_dict is ``wanted``: that of ``chosen`` (``--weights``), or the one that fits best.

    Raises SourceUnreadable where there are no tensors and the architecture has some, UsageError where ``chosen`` is not there, or where
    several sets fit equally well and none of them is the trained one beside averages.
    """
    saved = _under(checkpoint.tensors, chosen, path)
    if not (saved or wanted):
        return WeightSet("", "", {}, {}, {})
    if not saved:
        raise SourceUnreadable(f"{path} holds no weights that can be found; it holds {checkpoint.holds}")
    said, rename, found = max(
        ((said, rename, _prefixes(saved, rename, wanted)) for said, rename in RENAMINGS),
        key=lambda way: max(way[2].values(), default=(0, 0)),
    )
    best = max(found.values(), default=(0, 0))
    if not best[0]:
        place = Counter(one.place for one in saved).most_common(1)[0][0]
        return _set(checkpoint, saved, f"{place}." if place else "", lambda name: name, ())
    equal = _distinct([prefix for prefix, score in found.items() if score == best], saved, rename)
    prefix = _trained(equal, path)
    others = [other for other in equal if other != prefix]
    inside = [one for one in saved if not any(other.startswith(prefix) and rename(one.full).startswith(other) for other in others)]
    result = _set(checkpoint, tuple(inside), prefix, rename, (said,) if said else ())
    return replace(result, others=tuple(map(_spelled, others)))


def _walk(value: object, place: str, metadata: dict[str, Mapping[str, Any]], depth: int) -> Iterator[SavedTensor]:
    if isinstance(value, torch.nn.Module):
        value = torch.nn.Module.state_dict(value)
    if depth > DEEP or not isinstance(value, Mapping | list | tuple):
        return
    metadata[place] = dict(getattr(value, "_metadata", {}))
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        if isinstance(item, torch.Tensor):
            yield SavedTensor(place, str(key), item)
        else:
            yield from _walk(item, f"{place}.{key}" if place else str(key), metadata, depth + 1)


def _under(tensors: tuple[SavedTensor, ...], chosen: str, path: Path) -> tuple[SavedTensor, ...]:
    if not chosen:
        return tensors
    found = tuple(one for one in tensors if one.full.startswith(f"{chosen}."))
    if not found:
        places = Counter(one.place for one in tensors if one.place)
        known = ", ".join(f"{place} ({count} tensors)" for place, count in places.most_common(8))
        raise UsageError(f"{path} holds no weights in {chosen!r}; it holds {known or 'one set of weights, which needs no --weights'}")
    return found


def _prefixes(saved: tuple[SavedTensor, ...], rename: Callable[[str], str], wanted: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """For each beginning of names after which names of the architecture follow: how many follow, and how many of these have its shape."""
    names: Counter[str] = Counter()
    shapes: Counter[str] = Counter()
    for one in saved:
        full = rename(one.full)
        start = 0
        while True:
            rest = full[start:]
            if rest in wanted:
                names[full[:start]] += 1
                shapes[full[:start]] += getattr(wanted[rest], "shape", None) == one.tensor.shape
            start = full.find(".", start) + 1
            if not start:
                break
    return {prefix: (names[prefix], shapes[prefix]) for prefix in names}


def _distinct(prefixes: list[str], saved: tuple[SavedTensor, ...], rename: Callable[[str], str]) -> list[str]:
    """Without sets that are the very tensors of one before them."""
    found: dict[tuple[tuple[int, int], ...], str] = {}
    for prefix in prefixes:
        inside = [one.tensor for one in saved if rename(one.full).startswith(prefix)]
        found.setdefault(tuple((tensor.data_ptr(), tensor.storage_offset()) for tensor in inside), prefix)
    return list(found.values())


def _trained(prefixes: list[str], path: Path) -> str:
    """The set as it was trained, where all others are averages of it."""
    trained = [prefix for prefix in prefixes if not AVERAGED.search(prefix)]
    if len(trained) == 1 or len(prefixes) == 1:
        return (trained or prefixes)[0]
    several = [_spelled(prefix) for prefix in trained or prefixes]
    raise UsageError(
        f"{path} holds {len(several)} sets of weights that fit the architecture equally well: {', '.join(map(repr, several))}; "
        f"say which one to deploy, for example --weights {next(filter(None, several))}"
    )


def _set(
    checkpoint: Checkpoint, saved: tuple[SavedTensor, ...], prefix: str, rename: Callable[[str], str], notes: tuple[str, ...]
) -> WeightSet:
    inside = [one for one in saved if rename(one.full).startswith(prefix)]
    places = {one.place for one in inside}
    # Weights in nested dictionaries have no dictionary of their own: their place is where their names begin.
    place = places.pop() if len(places) == 1 else _spelled(prefix)
    own = rename(f"{place}.") if place else ""
    inner = prefix.removeprefix(own)
    used = {one.full for one in inside}
    beside = {one.name: one.tensor for one in saved if one.place == place and one.full not in used and one.name not in COUNTERS}
    metadata = {rename(f"{name}.").removeprefix(inner).rstrip("."): value for name, value in checkpoint.metadata.get(place, {}).items()}
    tensors = {rename(one.full)[len(prefix) :]: one.tensor for one in inside}
    return WeightSet(place, inner, tensors, beside, metadata, notes)


def _spelled(prefix: str) -> str:
    """The beginning of names as ``--weights`` takes it."""
    return prefix.rstrip(".")
