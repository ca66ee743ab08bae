"""The two steps: where a PyTorch model can be cut, and the cut."""

from __future__ import annotations

import re

import numpy as np
import torch

from roadworthy.build.compress.stages import BlocksRequest, Cut, CutRequest, Cuttable, Widths
from roadworthy.build.compress.torch import importance, proof, surgery
from roadworthy.build.compress.torch.channels.following import follow
from roadworthy.build.compress.torch.channels.groups import Anatomy
from roadworthy.build.compress.torch.network import TorchNetwork, doubled, feeds_of, open_network
from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Graph
from roadworthy.core.types import Array
from roadworthy.frameworks.torch import module as torch_module

PRUNED = "pruned"
FEW = 2
"""Samples on which a model is followed and its blocks are tried."""
PROVING = (FEW, 64, 2e10)
"""Samples that prove a cut: at least, at most, and the multiplications that these may take."""
JUDGING = (32, 256, 2e11)
"""The same for the samples whose answers choose the channels by gradient."""


def blocks(request: BlocksRequest) -> Cuttable:
    """As ``roadworthy.build.compress.blocks``: all blocks were cut once, and the answers compared."""
    network = open_network(request.graph)
    with doubled(network, request.samples) as dtype:
        calls = feeds_of(request.samples, network.signature, FEW, dtype)
        anatomy = Anatomy(follow(network, calls[0]))
        refused = proof.refused(network, anatomy, _halves(anatomy), calls, dtype)
        inner = tuple(anatomy.block(group) for name, group in anatomy.groups.items() if not group.stream and name not in refused)
        streams = tuple(anatomy.block(group) for name, group in anatomy.groups.items() if group.stream and name not in refused)
        return Cuttable(inner, {**anatomy.left, **refused}, network.parameters, network.multiplications(calls[0]), streams)


def cut(request: CutRequest) -> Cut:
    """As ``roadworthy.build.compress.cut``."""
    network, samples = open_network(request.graph), request.samples
    few = feeds_of(samples, network.signature, FEW, torch.float32)[0]
    anatomy, before = Anatomy(follow(network, few)), network.multiplications(few)
    judging = feeds_of(samples, network.signature, _affordable(JUDGING, before), torch.float32)
    kept = _chosen(anatomy, request.widths, importance.scores(network, anatomy, request.importance, judging))
    with doubled(network, samples) as dtype:
        proving = feeds_of(samples, network.signature, _affordable(PROVING, before), dtype)
        error = proof.prove(network, anatomy, kept, proving, dtype)
    surgery.cut(anatomy, kept)
    after = network.multiplications(few)
    request.out.mkdir(parents=True, exist_ok=True)
    return Cut(_saved(network, request, 1 - after / before), request.widths, network.parameters, after, error)


def _affordable(limits: tuple[int, int, float], multiplications: int) -> int:
    """The number of samples; the same for the same model, whatever the machine."""
    least, most, work = limits
    return max(least, min(most, int(work / max(1, multiplications))))


def _saved(network: TorchNetwork, request: CutRequest, removed: float) -> Graph:
    path = torch_module.save(network.call, request.out)
    original = request.graph
    # A model that was cut before counts from its beginning.
    before = re.match(rf"{PRUNED}(\d+)", original.compression)
    removed = 1 - (1 - int(before[1]) / 100 if before else 1) * (1 - removed)
    return Graph(
        "module", path, original.signature, original.route, original.notes, original.precision,
        derived_from=original.derived_from or original.format, compression=f"{PRUNED}{round(100 * removed)}", unfolded=original.unfolded,
    )  # fmt: skip


def _chosen(anatomy: Anatomy, widths: Widths, scores: Array) -> Array:
    """Truth values by the number of a set: what stays with ``widths``.

    Raises StepFailed for a layer that is not the first of a block, and for a width that its block cannot have.
    """
    kept = np.ones(anatomy.count, bool)
    for name, width in widths.items():
        group = anatomy.groups.get(name)
        if group is None:
            why = anatomy.left.get(name) or f"there are blocks at {', '.join(anatomy.groups) or 'no layer'}"
            raise StepFailed(f"the layer {name} cannot be cut: {why}")
        if not 0 < width <= len(group.sets) or width % group.multiple:
            step = f" in multiples of {group.multiple}" if group.multiple > 1 else ""
            raise StepFailed(f"the layer {name} cannot have {width} channels: it can have 1 to {len(group.sets)}{step}")
        kept[group.sets] = _best(scores[group.sets], width, group.multiple)
    return kept


def _best(scores: Array, width: int, multiple: int) -> Array:
    """Truth values: the ``width`` channels of the highest scores, as many in each of the ``multiple`` parts."""
    parts = scores.reshape(multiple, -1)
    order = np.argsort(-parts, axis=1, kind="stable")[:, : width // multiple]
    chosen = np.zeros(parts.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen.reshape(-1)


def _halves(anatomy: Anatomy) -> Array:
    """About half of the channels of every block, at places without a pattern, for a trial."""
    widths = {name: max(1, len(group.sets) // group.multiple // 2) * group.multiple for name, group in anatomy.groups.items()}
    return _chosen(anatomy, widths, np.random.default_rng(0).random(anatomy.count))
