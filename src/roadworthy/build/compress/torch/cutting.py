"""The two steps: where a PyTorch model can be cut, and the cut."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from roadworthy.build.compress.stages import BlocksRequest, Cut, CutRequest, Cuttable, Widths
from roadworthy.build.compress.torch import importance, proof, surgery
from roadworthy.build.compress.torch.channels.following import follow
from roadworthy.build.compress.torch.channels.groups import Anatomy, Group
from roadworthy.build.compress.torch.network import Network, doubled, feeds_of, open_network
from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Graph
from roadworthy.core.types import Array
from roadworthy.frameworks.torch import module as torch_module

PRUNED = "pruned"
FEW = 2
"""Samples on which a model is followed and each block is tried."""
PROVING = 64
"""Samples that prove a cut."""
JUDGING = 256
"""Samples whose answers choose the channels by gradient."""


def blocks(request: BlocksRequest) -> Cuttable:
    """As ``roadworthy.build.compress.blocks``: each block was cut once, and the answers compared."""
    network = open_network(request.graph)
    with doubled(network, request.samples) as dtype:
        calls = feeds_of(request.samples, network.signature, FEW, dtype)
        anatomy = Anatomy(follow(network, calls[0]))
        left = dict(anatomy.left)
        for group in list(anatomy.groups.values()):
            if why := proof.refusal(network, anatomy, group, _some(anatomy, group), calls[:1], dtype):
                left[group.name] = why
                del anatomy.groups[group.name]
        inner = tuple(anatomy.block(group) for group in anatomy.groups.values() if not group.stream)
        streams = tuple(anatomy.block(group) for group in anatomy.groups.values() if group.stream)
        return Cuttable(inner, left, network.parameters, network.multiplications(calls[0]), streams)


def cut(request: CutRequest) -> Cut:
    """As ``roadworthy.build.compress.cut``."""
    network, samples = open_network(request.graph), request.samples
    with doubled(network, samples) as dtype:
        calls = feeds_of(samples, network.signature, PROVING, dtype)
        anatomy = Anatomy(follow(network, feeds_of(samples, network.signature, FEW, dtype)[0]))
        widths = _checked(request.widths, anatomy)
        judging = feeds_of(samples, network.signature, JUDGING, dtype) if request.importance == "gradient" else ()
        scores = importance.scores(network, anatomy, request.importance, judging)
        kept = np.ones(anatomy.count, bool)
        for name, width in widths.items():
            kept[anatomy.groups[name].sets] = _best(scores[anatomy.groups[name].sets], width, anatomy.groups[name].multiple)
        error = proof.prove(network, anatomy, kept, calls, dtype)
        before = network.multiplications(calls[0])
        surgery.cut(anatomy, kept)
        after = network.multiplications(calls[0])
    request.out.mkdir(parents=True, exist_ok=True)
    return Cut(_saved(network, request, 1 - after / before), request.widths, network.parameters, after, error)


def _saved(network: Network, request: CutRequest, removed: float) -> Graph:
    path = torch_module.save(network.call, request.out)
    original = request.graph
    # A model that was cut before counts from its beginning.
    before = re.match(rf"{PRUNED}(\d+)", original.compression)
    removed = 1 - (1 - int(before[1]) / 100 if before else 1) * (1 - removed)
    return Graph(
        "module", path, original.signature, original.route, original.notes, original.precision,
        derived_from=original.derived_from or original.format, compression=f"{PRUNED}{round(100 * removed)}", unfolded=original.unfolded,
    )  # fmt: skip


def _checked(widths: Widths, anatomy: Anatomy) -> Mapping[str, int]:
    """``widths``; StepFailed for a layer that is not the first of a block, and for a width that its block cannot have."""
    for name, width in widths.items():
        group = anatomy.groups.get(name)
        if group is None:
            why = anatomy.left.get(name) or f"there are blocks at {', '.join(anatomy.groups) or 'no layer'}"
            raise StepFailed(f"the layer {name} cannot be cut: {why}")
        if not 0 < width <= len(group.sets) or width % group.multiple:
            step = f" in multiples of {group.multiple}" if group.multiple > 1 else ""
            raise StepFailed(f"the layer {name} cannot have {width} channels: it can have 1 to {len(group.sets)}{step}")
    return widths


def _best(scores: Array, width: int, multiple: int) -> Array:
    """Truth values: the ``width`` channels of the highest scores, as many in each of the ``multiple`` parts."""
    parts = scores.reshape(multiple, -1)
    order = np.argsort(-parts, axis=1, kind="stable")[:, : width // multiple]
    chosen = np.zeros(parts.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen.reshape(-1)


def _some(anatomy: Anatomy, group: Group) -> Array:
    """About half of the channels of ``group``, at places without a pattern, for a trial."""
    kept = np.ones(anatomy.count, bool)
    scores = np.random.default_rng(0).random(len(group.sets))
    width = max(1, len(group.sets) // group.multiple // 2) * group.multiple
    kept[group.sets] = _best(scores, width, group.multiple)
    return kept
