"""Load weights into an architecture: the set in the file that fits it, what was left out of the file, and what does not fit."""

from __future__ import annotations

import difflib
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from roadworthy.build.sources.torch import weight_sets
from roadworthy.build.sources.torch.weight_sets import WeightSet
from roadworthy.core.errors import ArchitectureMismatch
from roadworthy.frameworks.torch import traversal

LISTED = 6
TRAINING = re.compile(
    r"(^|_)(loss|losses|criterion|criteria|crit|metrics?|acc|accuracy|auroc|auc|f1|iou|mae|mse|precision|recall|confmat|confusion|meter"
    r"|margin|arcface|cosface|aux\d*|auxiliary|teacher|optim|optimizers?)(_|\d|$)",
    re.IGNORECASE,
)
"""How trainers call the parts that only training uses: losses, metrics, auxiliary heads, optimisers; averages by another pattern."""


def fill(module: Any, held: object, path: Path, chosen: str = "") -> tuple[str, ...]:
    """Load the weights in ``held`` into ``module``, as float32 where they are of another floating type.

    ``held`` is what ``torch.load`` gives, ``chosen`` the set that the user names. Returns sentences on which set was taken, what was left
    out and what was changed. Raises ArchitectureMismatch with everything that does not fit, and the errors of ``weight_sets.choose``.
    """
    wanted = torch.nn.Module.state_dict(module)
    found = weight_sets.choose(weight_sets.read(held), wanted, chosen, path)
    tensors, left_out = _without_training_parts(module, found, path)
    lowered = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values() if tensor.is_floating_point()} - {"float32"}
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    _load(module, tensors, found, wanted, path)
    raised = (f"weights in {', '.join(sorted(lowered))} were made float32",) if lowered else ()
    return (*_taken(found), *found.renamed, *left_out, *raised)


def _load(module: Any, tensors: Mapping[str, Any], found: WeightSet, wanted: Mapping[str, Any], path: Path) -> None:
    """Load ``tensors`` into ``module``; ArchitectureMismatch where a name or a shape does not fit."""
    shaped = {
        name: tensor for name, tensor in wanted.items() if isinstance(tensor, torch.Tensor) and not torch.nn.parameter.is_lazy(tensor)
    }
    other = [name for name in shaped if name in tensors and not _fits(tensors[name], shaped[name])]
    missing, unexpected = [name for name in wanted if name not in tensors], [name for name in tensors if name not in wanted]
    if not other:
        # The module's own hooks may rename weights (weight_norm does): after them it is known what is missing.
        given = _with_metadata(tensors, found.metadata)
        result = torch.nn.Module.load_state_dict(module, given, strict=False)
        missing, unexpected = list(result.missing_keys), list(result.unexpected_keys)
    missing = _really_missing(module, missing, tensors)
    if missing or unexpected or other:
        sizes = [f"{name} is {_shape(tensors[name])} in the file and {_shape(shaped[name])} in the architecture" for name in other]
        raise ArchitectureMismatch(_mismatch(path, missing, unexpected, sizes, wanted, found, tensors))


def _taken(found: WeightSet) -> tuple[str, ...]:
    """Where in the file the weights were, and where else there are weights that would fit."""
    notes = []
    if found.others:
        listed = ", ".join(map(repr, found.others))
        notes.append(
            f"the weights were taken from {found.spelled or 'the top'!r}; the file also has weights in {listed}: "
            f"--weights {found.others[0]} takes those"
        )
    elif found.place:
        notes.append(f"the weights were taken from {found.place!r}")
    if found.prefix:
        notes.append(f"the prefix {found.prefix!r} was removed from the weights' names")
    return tuple(notes)


def _without_training_parts(module: Any, found: WeightSet, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The tensors of the network, and a sentence on those that only training uses.

    Raises ArchitectureMismatch where a layer lies beside the network that the architecture has no place for. Where ``--weights`` names
    the network itself, nothing lies beside it.
    """
    wanted = torch.nn.Module.state_dict(module)
    computed = {name: tensor for name, tensor in torch.nn.Module.named_buffers(module) if name not in wanted}
    tensors, training = {}, []
    for name, tensor in found.tensors.items():
        if name not in wanted and (of_training(name) or (name in computed and _equal(computed[name], tensor))):
            training.append(name)
        elif name not in weight_sets.COUNTERS or name in wanted:
            tensors[name] = tensor
    layers = [name for name, tensor in found.beside.items() if tensor.ndim > 1 and tensor.is_floating_point() and not of_training(name)]
    if layers:
        raise ArchitectureMismatch(
            f"{path} has weights beside those of the architecture ({found.spelled!r}): {_listed(layers)}; pass the --arch that uses them, "
            f"or say that the model does without them: --weights {found.spelled}"
        )
    left_out = [*training, *found.beside]
    if not left_out:
        return tensors, ()
    return tensors, (f"the file also holds {_listed(left_out)}; the architecture does not have these, and they were left out",)


def of_training(name: str) -> bool:
    """Whether a part of the dotted ``name`` is called as a part that only training uses."""
    return any(TRAINING.search(part) or weight_sets.AVERAGED.search(part) for part in name.split(".")[:-1] or [name])


def _equal(computed: Any, saved: Any) -> bool:
    return bool(computed.shape == saved.shape and torch.equal(computed, saved.to(computed.dtype)))


def _with_metadata(tensors: Mapping[str, Any], metadata: Mapping[str, Any]) -> Any:
    """A state_dict as ``load_state_dict`` wants it, with the versions of the modules that wrote it."""
    given = OrderedDict(tensors)
    if metadata:
        given._metadata = dict(metadata)  # type: ignore[attr-defined]
    return given


def to_float32(module: Any) -> tuple[str, ...]:
    """Raise every floating weight of ``module`` to float32 in place."""
    kept = traversal.tensors(module)
    others = {str(tensor.dtype).removeprefix("torch.") for tensor in kept if tensor.is_floating_point() and tensor.dtype != torch.float32}
    if not others:
        return ()
    traversal.convert(module, lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)
    return (f"weights in {', '.join(sorted(others))} were made float32",)


def _fits(given: Any, wanted: Any) -> bool:
    return bool(given.shape == wanted.shape and _family(given) == _family(wanted))


def _family(tensor: Any) -> str:
    return "floating" if tensor.is_floating_point() else "complex" if tensor.is_complex() else "integer"


def _really_missing(module: Any, missing: list[str], tensors: Mapping[str, Any]) -> list[str]:
    """Without BatchNorm's counter and tensors tied to one that was loaded (safetensors keeps one of the two): these may be missing."""
    now = module.state_dict(keep_vars=True)
    loaded = {now[name].data_ptr() for name in tensors if name in now and isinstance(now[name], torch.Tensor)}
    return [
        name
        for name in missing
        if not name.endswith("num_batches_tracked")
        and not (isinstance(now.get(name), torch.nn.Parameter) and now[name].data_ptr() in loaded)
    ]


def _mismatch(
    path: Path,
    missing: list[str],
    unexpected: list[str],
    other: list[str],
    wanted: Mapping[str, Any],
    found: WeightSet,
    tensors: Mapping[str, Any],
) -> str:
    parts = []
    if missing:
        parts.append(f"missing in the file: {_listed([_near(name, unexpected) for name in missing])}")
    if unexpected:
        parts.append(f"unexpected in the file: {_listed([_near(name, missing) for name in unexpected])}")
    if other:
        parts.append(f"of another shape: {_listed(other)}")
    place = f" in {found.spelled!r}" if found.spelled else ""
    advice = _advice(missing, unexpected, wanted, tensors)
    return f"the weights{place} of {path} do not fit the architecture ({len(wanted)} tensors); {'; '.join(parts)}; {advice}"


def _advice(missing: list[str], unexpected: list[str], wanted: Mapping[str, Any], tensors: Mapping[str, Any]) -> str:
    """What to do about the mismatch that was found."""
    common = [name for name in wanted if name in tensors]
    other = [name for name in common if isinstance(wanted[name], torch.Tensor) and not _fits(tensors[name], wanted[name])]
    tail = {name.rpartition(".")[0] for name in other}
    if not (missing or unexpected) and len(tail) == 1 and all(_rows_differ(tensors[name], wanted[name]) for name in other):
        rows = tensors[other[0]].shape[0]
        return (
            f"the layer {tail.pop()!r} has {rows} outputs in the file: build the architecture with as many, for example "
            f"--arch 'FILE.py:CALLABLE(num_classes={rows})'"
        )
    if not common:
        return "none of the names is the architecture's: pass the --arch that the weights were trained with"
    return "pass the --arch that the weights were trained with, with the arguments of the training"


def _rows_differ(given: Any, wanted: Any) -> bool:
    return bool(given.ndim and given.ndim == wanted.ndim and given.shape[1:] == wanted.shape[1:] and given.shape[0] != wanted.shape[0])


def _near(name: str, others: list[str]) -> str:
    near = difflib.get_close_matches(name, others[:2000], 1, 0.6)
    return f"{name} (nearest: {near[0]})" if near else name


def _listed(items: list[str]) -> str:
    return ", ".join(items[:LISTED]) + (f" and {len(items) - LISTED} more" if len(items) > LISTED else "")


def _shape(tensor: Any) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
