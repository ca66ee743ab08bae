"""Where a Keras model can be cut: from the layers that make channels to those that take them, nothing but what keeps them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from roadworthy.build.compress.stages import Block, BlocksRequest, Cuttable
from roadworthy.build.compress.tensorflow import counting, walk, wiring
from roadworthy.build.compress.tensorflow.channels import MAKERS, NotFollowed
from roadworthy.build.compress.tensorflow.counting import Counted, Products
from roadworthy.build.compress.tensorflow.walk import LiveBlock
from roadworthy.core.types import Array
from roadworthy.frameworks.tensorflow import keras_model


@dataclass(frozen=True)
class FoundBlocks:
    """The blocks of a live model, and by the path of a layer why its channels cannot be cut."""

    blocks: tuple[LiveBlock, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)


def blocks(request: BlocksRequest) -> Cuttable:
    """Where the model can be cut; nowhere, with the reason by its name, for a model of the user's own class."""
    original = keras_model.load(request.graph.path)
    found = find(original.model)
    counted = counting.count(original, request.graph.signature, request.samples)
    inner, streams = (tuple(_described(block, counted) for block in found.blocks if block.summed == summed) for summed in (False, True))
    return Cuttable(inner, found.left, counted.parameters, counted.multiplications, streams)


def find(model: object) -> FoundBlocks:
    """Every block of a live model, in the order in which the layers run."""
    if reason := wiring.refused(model):
        return FoundBlocks(left={str(getattr(model, "name", "model")): reason})
    wired, found, left = wiring.of(model), list[LiveBlock](), dict[str, str]()
    for call in wired.calls:
        held = {maker.call.path for block in found for maker in block.makers}
        if wiring.kind(call.layer) not in MAKERS or call.path in held or call.path in left:
            continue
        try:
            found.append(walk.block(wired, call))
        except NotFollowed as reason:
            left[call.path] = str(reason)
    return FoundBlocks(tuple(found), left)


def stays(origin: Array, keep: Array) -> Array:
    """Which positions of ``origin`` hold no channel but those in ``keep``."""
    return np.asarray((origin < 0) | np.isin(origin, keep))


def _described(block: LiveBlock, counted: Counted) -> Block:
    layers = dict.fromkeys(place.call.path for place in block.places if place.touches)
    return Block(block.name, block.channels, tuple(layers), _work(block, counted), block.groups)


def _work(block: LiveBlock, counted: Counted) -> float:
    """The part of all multiplications that is proportional to the block's channels."""
    found = 0.0
    for place in block.places:
        products = counted.by_layer.get(place.call.path, Products())
        held = [float(np.mean(touch.origin >= 0)) for touch in place.touches[:1]]
        found += products.dense if place.made else products.all * sum(held)
    return found / counted.multiplications if counted.multiplications else 0.0
