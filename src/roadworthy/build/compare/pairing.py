"""Two sources beside each other: whether their answers agree on all samples, and which layers differ on a few."""

from __future__ import annotations

from roadworthy.build import verify
from roadworthy.build.compare import layer_diff
from roadworthy.build.compare.forms import VerifiedSide
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core.comparison import Pairing
from roadworthy.core.errors import RoadworthyError

LAYER_SAMPLES, LAYER_MB = 8, 8
"""Layers are compared on so many samples, on fewer where one sample is large."""


def pairing(
    a: VerifiedSide, b: VerifiedSide, layers_a: layer_diff.Recorded, layers_b: layer_diff.Recorded, workspace: Workspace
) -> Pairing:
    """``b`` beside ``a``: the outputs on all samples, the layers on a few."""
    workspace.begin("layers")
    beside = verify.compare_originals(a.trial.reference, b.trial.reference)
    request = layer_diff.MatchRequest(layers_a, layers_b, a.model.name, b.model.name, beside.limit)
    matched = workspace.step(layer_diff.match, request, f"layers-{b.model.name.replace('/', '-')}")
    workspace.notify(Progress("layers", 1, 1, f"{len(matched.layers)} pairs"))
    same = beside.parity is not None and beside.parity.equivalent
    notes = [*matched.notes, *(f"{run.model.name}: {one.why}" for run, one in ((a, layers_a), (b, layers_b)) if one.why)]
    notes += _inputs(a, b)
    return Pairing(
        a=a.model.name,
        b=b.model.name,
        same=same,
        verdict=_verdict(a, b, beside),
        limit=beside.limit,
        parity=beside.parity,
        layers=matched.layers,
        first=matched.first,
        explanations=matched.explanations,
        notes=tuple(notes),
    )


def record_layers(run: VerifiedSide) -> layer_diff.Recorded:
    """What each layer of the original gives for a few samples; empty, with the reason, where that fails."""
    graph, samples = run.model.loaded.graph, run.model.data.evaluation
    each = sum(array[:1].nbytes for array in samples.open().values()) / 2**20
    count = max(1, min(LAYER_SAMPLES, int(LAYER_MB / max(each, 1e-6)), samples.count))
    request = layer_diff.LayersRequest(graph, samples, count, run.model.workspace.folder("layers"))
    try:
        return run.model.workspace.step(layer_diff.record, request, "layers")
    except RoadworthyError as problem:
        return layer_diff.Recorded(request.out, (), f"its layers could not be recorded: {problem.message}")


def _inputs(a: VerifiedSide, b: VerifiedSide) -> list[str]:
    """What differs between the inputs of the two, which each may have its own preprocessing."""
    mine, its = (list(run.model.data.evaluation.feeds(0, 8).values()) for run in (a, b))
    if len(mine) != len(its) or any(one.dtype.kind == "O" for one in (*mine, *its)):
        return []
    apart = [layer_diff.difference(one, other) for one, other in zip(mine, its, strict=True)]
    worst = max((value for value in apart if value is not None), default=0.0)
    if None in apart:
        return [f"{a.model.name} and {b.model.name} take inputs of different shapes, each from its own preprocessing"]
    return [f"the inputs differ by {worst:.2g} of their scale: each side has its own preprocessing"] if worst > 1e-6 else []


def _verdict(a: VerifiedSide, b: VerifiedSide, beside: verify.OriginalsCompared) -> str:
    one, other = a.model.name, b.model.name
    if beside.parity is None:
        return f"{other} cannot be compared with {one}: {beside.relation}"
    seen = beside.parity
    agreed = (
        ""
        if seen.agreement is None or a.model.data.guessed
        else f", and {seen.agreement:.2%} of {seen.samples} samples have the same top class"
    )
    if not seen.equivalent:
        return (
            f"{other} is not the same function as {one}: it differs by {seen.max_rel:.2g} of the output's scale, where float32 explains "
            f"{beside.limit:.2g}{agreed}"
        )
    behind = ""
    if beside.relation:
        extra = other if beside.extra == "b" else one
        behind = f", but for {beside.relation} that {extra} has at its end"
    return (
        f"{other} is the same function as {one}{behind}: it differs by {seen.max_rel:.2g} of the output's scale at most, where float32 "
        f"explains {beside.limit:.2g}{agreed}"
    )
