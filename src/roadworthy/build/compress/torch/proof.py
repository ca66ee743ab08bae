"""The proof of a cut: the smaller model answers as the original does with the same channels silenced."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from roadworthy.build.compress.torch import surgery
from roadworthy.build.compress.torch.channels.groups import Anatomy, Group
from roadworthy.build.compress.torch.network import Feeds, TorchNetwork
from roadworthy.core.errors import StepFailed
from roadworthy.core.numerics import output_error, scale_of
from roadworthy.core.text import first_line
from roadworthy.core.types import Array

ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}
"""The largest error, relative to the output's scale, that rounding may leave; a channel too many or in the wrong place leaves far more."""


def error(network: TorchNetwork, anatomy: Anatomy, kept: Array, calls: Sequence[Feeds]) -> float:
    """The largest difference of the two on ``calls``, relative to the output's scale. Both are undone; raises what the cut model raises."""
    with surgery.restored(anatomy):
        surgery.silence(anatomy, kept)
        wanted = [[tensor.numpy() for tensor in network.answers(feeds)] for feeds in calls]
    with surgery.restored(anatomy):
        surgery.cut(anatomy, kept)
        given = [[tensor.numpy() for tensor in network.answers(feeds)] for feeds in calls]
    worst = 0.0
    for number, answers in enumerate(zip(*wanted, strict=True)):
        scale = max(scale_of(answer) for answer in answers)
        found = (output_error(outputs[number], answer, scale) for outputs, answer in zip(given, answers, strict=True))
        worst = max(worst, *found)
    return worst


def refused(network: TorchNetwork, anatomy: Anatomy, kept: Array, calls: Sequence[Feeds], dtype: torch.dtype) -> dict[str, str]:
    """Why the model is another function with the channels of a block cut, by the block's name; empty where it is right with all of them.

    In words on the layer.
    """
    if _fault(network, anatomy, kept, calls, dtype):
        cut = [group for group in anatomy.groups.values() if not kept[group.sets].all()]
        each = {group.name: _fault(network, anatomy, _only(group, kept), calls, dtype) for group in cut}
        return {name: why for name, why in each.items() if why}
    return {}


def prove(network: TorchNetwork, anatomy: Anatomy, kept: Array, calls: Sequence[Feeds], dtype: torch.dtype) -> float:
    """``error`` where only rounding is left of it; StepFailed, which names the layers at fault, where there is more."""
    try:
        found, said = error(network, anatomy, kept, calls), ""
    except Exception as problem:
        found, said = float("inf"), f" ({first_line(problem)})"
    if found <= ROUNDING[dtype]:
        return found
    faults = refused(network, anatomy, kept, calls, dtype)
    named = "; ".join(f"{name}: {why}" for name, why in faults.items()) or "no layer alone is at fault"
    raise StepFailed(f"the model with fewer channels does not answer as the original with these channels at zero{said}: {named}")


def _fault(network: TorchNetwork, anatomy: Anatomy, kept: Array, calls: Sequence[Feeds], dtype: torch.dtype) -> str:
    try:
        found = error(network, anatomy, kept, calls)
    except Exception as problem:
        return f"the model's code needs the number of its channels as it is ({first_line(problem)})"
    if found <= ROUNDING[dtype]:
        return ""
    return (
        f"something reads its channels by their position: with some of them cut the answers differ by {found:.1g} of the output's scale "
        "from those with the same channels at zero"
    )


def _only(group: Group, kept: Array) -> Array:
    """``kept`` for ``group``, and everything of the others."""
    alone = np.ones(len(kept), bool)
    alone[group.sets] = kept[group.sets]
    return alone
