"""Load weights into an architecture: find them in a checkpoint, remove prefixes of wrappers from their names, list what does not fit."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from roadworthy.core.errors import ArchitectureMismatch, SourceUnreadable
from roadworthy.frameworks.torch import traversal

PLACES = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params", "state",
    "ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "ema",
)  # fmt: skip
"""Where trainers keep the weights, in the order they are looked for: the trained weights come before their moving average."""
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
COUNTERS = ("n_averaged",)
LISTED = 6
NEST = 3
_Renamed = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True)
class FoundWeights:
    """The weights by name, the versions of the modules that wrote them, and where in the checkpoint they were."""

    tensors: dict[str, Any]
    metadata: dict[str, Any]
    notes: tuple[str, ...]


def find(checkpoint: object, path: Path) -> FoundWeights:
    """The weights in an object from ``torch.load``; SourceUnreadable when there are none."""
    found = _search(checkpoint, "", NEST)
    if not found:
        keys = ", ".join(map(repr, list(checkpoint)[:8])) if isinstance(checkpoint, Mapping) else type(checkpoint).__name__
        raise SourceUnreadable(f"{path} holds no weights that can be found; it holds {keys or 'nothing'}")
    (place, state), *others = found
    notes = [f"the weights were taken from {place!r}"] if place else []
    if others:
        notes = [f"the weights were taken from {place!r}; the file also has weights in {', '.join(repr(name) for name, _ in others)}"]
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return FoundWeights(tensors, dict(getattr(state, "_metadata", {})), tuple(notes))


def _search(value: object, place: str, depth: int) -> list[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, torch.nn.Module):
        value = torch.nn.Module.state_dict(value)
    if not isinstance(value, Mapping) or not depth:
        return []
    if value and all(isinstance(key, str) for key in value) and any(isinstance(item, torch.Tensor) for item in value.values()):
        inner = [item for item in value.values() if isinstance(item, Mapping | torch.nn.Module)]
        if not inner:
            return [(place, value)]
    found = []
    for name in PLACES:
        if name in value:
            found += _search(value[name], f"{place}.{name}" if place else name, depth - 1)
    return found


def fill(module: Any, state: FoundWeights, path: Path) -> tuple[str, ...]:
    """Load ``state`` into ``module``, as float32 where it is of another floating type. Returns sentences on what was changed.

    Raises ArchitectureMismatch with everything that does not fit.
    """
    wanted = torch.nn.Module.state_dict(module)
    tensors, metadata, notes = _unwrap(state, wanted)
    lowered = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values() if tensor.is_floating_point()} - {"float32"}
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    shaped = {
        name: tensor for name, tensor in wanted.items() if isinstance(tensor, torch.Tensor) and not torch.nn.parameter.is_lazy(tensor)
    }
    other = [
        f"{name} is {_shape(tensors[name])} in the file and {_shape(shaped[name])} in the architecture"
        for name in shaped
        if name in tensors and not _fits(tensors[name], shaped[name])
    ]
    missing, unexpected = [name for name in wanted if name not in tensors], [name for name in tensors if name not in wanted]
    if not other:
        # The module's own hooks may rename weights (weight_norm does): after them it is known what is missing.
        given = _with_metadata(tensors, metadata)
        result = torch.nn.Module.load_state_dict(module, given, strict=False)
        missing, unexpected = list(result.missing_keys), list(result.unexpected_keys)
    missing = _really_missing(module, missing, tensors)
    if missing or unexpected or other:
        raise ArchitectureMismatch(_mismatch(path, missing, unexpected, other, len(wanted)))
    if lowered:
        notes = (*notes, f"weights in {', '.join(sorted(lowered))} were made float32")
    return (*state.notes, *notes)


def _with_metadata(tensors: dict[str, Any], metadata: dict[str, Any]) -> Any:
    """A state_dict as ``load_state_dict`` wants it, with the versions of the modules that wrote it."""
    given = OrderedDict(tensors)
    if metadata:
        given._metadata = metadata  # type: ignore[attr-defined]
    return given


def to_float32(module: Any) -> tuple[str, ...]:
    """Raise every floating weight of ``module`` to float32 in place."""
    kept = traversal.tensors(module)
    others = {str(tensor.dtype).removeprefix("torch.") for tensor in kept if tensor.is_floating_point() and tensor.dtype != torch.float32}
    if not others:
        return ()
    traversal.convert(module, lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)
    return (f"weights in {', '.join(sorted(others))} were made float32",)


def _unwrap(state: FoundWeights, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """Names without the prefixes of DataParallel, torch.compile, AveragedModel or a trainer's class, where more names fit that way."""
    best: _Renamed = ((), state.tensors)
    ways: list[_Renamed] = [best]
    for prefixes, tensors in ways:
        if _fit(tensors, wanted) > _fit(best[1], wanted):
            best = (prefixes, tensors)
        for prefix in WRAPPERS if len(prefixes) < NEST else ():
            shorter = _without(tensors, prefix)
            if shorter.keys() != tensors.keys() and len(shorter) == len(tensors):
                ways.append(((*prefixes, prefix), shorter))
    stripped, tensors = best
    metadata = {f"{name}.": value for name, value in state.metadata.items()}
    for prefix in stripped:
        metadata = _without(metadata, prefix)
    tensors = {name: value for name, value in tensors.items() if name not in COUNTERS or name in wanted}
    notes = (f"the prefix {''.join(stripped)!r} was removed from the weights' names",) if stripped else ()
    return tensors, {name.removesuffix("."): value for name, value in metadata.items()}, notes


def _without(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    # torch.compile puts its prefix in the middle of a name too, where a part of the model is compiled.
    if prefix == "_orig_mod.":
        return {name.replace(prefix, ""): value for name, value in tensors.items()}
    return {name.removeprefix(prefix): value for name, value in tensors.items()}


def _fit(tensors: Mapping[str, Any], wanted: Mapping[str, Any]) -> int:
    return sum(name in wanted for name in tensors)


def _fits(given: Any, wanted: Any) -> bool:
    return bool(given.shape == wanted.shape and _family(given) == _family(wanted))


def _family(tensor: Any) -> str:
    return "floating" if tensor.is_floating_point() else "complex" if tensor.is_complex() else "integer"


def _really_missing(module: Any, missing: list[str], tensors: Mapping[str, Any]) -> list[str]:
    """Without BatchNorm's counter and tensors tied to one that was loaded (safetensors keeps one of the two): these may be missing."""
    now = torch.nn.Module.state_dict(module, keep_vars=True)
    loaded = {now[name].data_ptr() for name in tensors if name in now and isinstance(now[name], torch.Tensor)}
    return [
        name
        for name in missing
        if not name.endswith("num_batches_tracked")
        and not (isinstance(now.get(name), torch.nn.Parameter) and now[name].data_ptr() in loaded)
    ]


def _mismatch(path: Path, missing: list[str], unexpected: list[str], other: list[str], count: int) -> str:
    parts = []
    if missing:
        parts.append(f"missing in the file: {_listed([_near(name, unexpected) for name in missing])}")
    if unexpected:
        parts.append(f"unexpected in the file: {_listed([_near(name, missing) for name in unexpected])}")
    if other:
        parts.append(f"of another shape: {_listed(other)}")
    return (
        f"the weights in {path} do not fit the architecture ({count} tensors); {'; '.join(parts)}; "
        "pass the --arch that the weights were trained with"
    )


def _near(name: str, others: list[str]) -> str:
    near = difflib.get_close_matches(name, others[:2000], 1, 0.6)
    return f"{name} (nearest: {near[0]})" if near else name


def _listed(items: list[str]) -> str:
    return ", ".join(items[:LISTED]) + (f" and {len(items) - LISTED} more" if len(items) > LISTED else "")


def _shape(tensor: Any) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
