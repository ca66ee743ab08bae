"""Two originals compared layer by layer: the inputs, outputs and weights of each layer are recorded, then matched and compared."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.compare.layer_diff.pairs import difference, matched
from roadworthy.build.compare.layer_diff.recorded import Layer, Recorded
from roadworthy.core.comparison import LayerPair
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph

__all__ = ["Layer", "LayersRequest", "MatchRequest", "Matched", "Recorded", "difference", "match", "record"]

READERS = {"module": "torch", "keras": "keras"}
"""The formats of originals whose layers can be recorded, each with the module here that does it."""
FEWEST_ULPS = 1e-4
"""Below this share of a layer's scale nothing is called a difference: float32 rounds in another order in each framework."""


@dataclass(frozen=True)
class LayersRequest:
    """Run the original ``graph`` on the first ``count`` samples and keep the arrays of its layers in the new directory ``out``."""

    graph: Graph
    samples: SampleSet
    count: int
    out: Path


@dataclass(frozen=True)
class MatchRequest:
    """Two originals on the same samples; ``limit`` is the largest difference of the same function, relative to the output's scale."""

    a: Recorded
    b: Recorded
    name_a: str
    name_b: str
    limit: float


@dataclass(frozen=True)
class Matched:
    """See ``core.comparison.Pairing``, which these become."""

    layers: tuple[LayerPair, ...]
    first: str
    explanations: tuple[str, ...]
    notes: tuple[str, ...]


def record(request: LayersRequest) -> Recorded:
    """A step for a child: every layer's input, output and weights as arrays; none, and why, where the format shows no layers."""
    request.out.mkdir(parents=True, exist_ok=True)
    reader = READERS.get(request.graph.format)
    if reader is None:
        return Recorded(request.out, (), f"a {request.graph.format} graph shows no layers; only its outputs are compared")
    feeds = request.samples.feeds(0, min(request.graph.signature.call_size(request.count), request.samples.count))
    recorded: Recorded = importlib.import_module(f"{__name__}.{reader}").record(
        request.graph, request.graph.signature.to_call(feeds), request.out
    )
    return recorded


def match(request: MatchRequest) -> Matched:
    """A step for a child: the layers of both matched and compared, and the first difference explained where that can be computed."""
    from roadworthy.build.compare.layer_diff import explain

    limit = max(request.limit, FEWEST_ULPS)
    found = matched(request.a, request.b, limit)
    rows = tuple(
        LayerPair(one.a.name, one.b.name, one.a.kind, one.how, one.a.shape, one.b.shape, one.error, one.same(limit)) for one in found
    )
    why = explain.explain(found, request.a, request.b, explain.Words(request.name_a, request.name_b), limit)
    return Matched(rows, why.first, why.explanations, why.notes)
