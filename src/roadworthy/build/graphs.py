"""The original in every graph format, the signature that all of these keep, and the plans to try on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from roadworthy.build import capture, imports, lower
from roadworthy.build.capture import front as fold
from roadworthy.build.certificate import Data
from roadworthy.build.job import Job
from roadworthy.build.search import baseline_of
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.bundle.certificate import TriedRoute
from roadworthy.core import registry
from roadworthy.core.errors import StepFailed
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature
from roadworthy.preprocess.front import Front, front_of, put_in_front

FEW = 64
"""The samples that graphs are captured on where the steps in front of the model have to be carried out for them first."""


def capture_all(
    original: Graph, samples: SampleSet, workspace: Workspace, stated: Collection[str] = (), runtimes: Collection[str] = ()
) -> tuple[tuple[Graph, ...], tuple[TriedRoute, ...]]:
    """The original in every format that one of ``runtimes`` takes, all formats where none are named.

    Where no format keeps its symbolic axes, graphs for the sizes of the samples, unless the user ``stated`` their symbols. Where steps are
    in front of the original, its graphs come first with the steps inside and then with the steps in front.
    """
    front, model = behind(original)
    if front:
        few = front.applied(samples, workspace.folder("graphs-behind/samples"), FEW)
        graphs, routes = capture_all(model, few, workspace, stated, runtimes)
        fronted = [*(in_front(front, graph, workspace) for graph in graphs[:-1]), original]
        folded, more = _folded([graph for graph in fronted if lower.takes(graph.format, runtimes)], samples, workspace)
        return (*folded, *fronted), (*routes, *more)
    formats = capture.formats(original)
    # The others start from what the first one gives.
    wanted = tuple(format for format in formats if format == formats[0] or lower.takes(format, runtimes))
    graphs, routes = _captured(original, wanted, samples, workspace, "graphs")
    if graphs or not original.signature.sizes or any(axis.symbol in stated for axis in original.signature.sizes):
        return (*graphs, original), routes
    closed, again = _captured(replace(original, signature=original.signature.closed()), wanted, samples, workspace, "graphs/closed")
    named = tuple(replace(route, route=f"{route.route}, sizes of the samples") for route in again)
    return (*closed, original), (*routes, *named)


def _captured(
    original: Graph, formats: tuple[str, ...], samples: SampleSet, workspace: Workspace, folder: str
) -> tuple[tuple[Graph, ...], tuple[TriedRoute, ...]]:
    """``original`` in each of ``formats``. The first format's doubts are passed to the others, which run at once."""
    if not formats:
        return (), ()
    workspace.begin("capture", len(formats))

    def one(format: str, doubts: tuple[str, ...], exported: Path | None) -> capture.Captured:
        request = capture.CaptureRequest(original, format, samples, workspace.folder(f"{folder}/{format}"), doubts, exported)
        try:
            return workspace.reusable(capture.capture, request, f"capture-{format}", imports.of_framework(capture.framework(original)))
        except StepFailed as problem:
            return capture.Captured(None, (TriedRoute(format, "every route", problem.message, False),), doubts)

    first = one(formats[0], (), None)
    workspace.notify(Progress("capture", 1, len(formats)))
    exported = first.graph.path if first.graph else None
    with ThreadPoolExecutor(max_workers=workspace.host.cores) as pool:
        rest = [pool.submit(one, format, first.doubts, exported) for format in formats[1:]]
        captured = [first, *(workspace.result(future) for future in rest)]
    workspace.notify(Progress("capture", len(formats), len(formats)))
    graphs = tuple(one.graph for one in captured if one.graph)
    return graphs, tuple(route for one in captured for route in one.routes)


def behind(graph: Graph) -> tuple[Front | None, Graph]:
    """The steps in front of the model, if there are any, and its graph without them."""
    found = front_of(graph.path)
    if not found:
        return None, graph
    front, path = found
    return front, replace(graph, path=path, signature=front.behind(graph.signature), unfolded=False)


def in_front(front: Front, graph: Graph, workspace: Workspace) -> Graph:
    """The graph of a model with the steps of ``front`` in front of it."""
    (spec,) = graph.signature.inputs
    path = put_in_front(front, graph.path, workspace.folder(f"graphs-behind/{graph.format}{graph.compression and f'-{graph.compression}'}"))
    return replace(graph, path=path, signature=replace(graph.signature, inputs=(front.outer(spec),)), unfolded=True)


def _folded(fronted: Sequence[Graph], samples: SampleSet, workspace: Workspace) -> tuple[tuple[Graph, ...], tuple[TriedRoute, ...]]:
    """The graphs in ``fronted`` with the steps inside; what cannot have them there is a route that failed."""
    graphs: list[Graph] = []
    routes: list[TriedRoute] = []
    for graph in fronted:
        if graph.format not in fold.MODULES and registry.facts(registry.runtime_for(graph.format)).framework:
            # The original as it is: nothing that serves is made from it.
            continue
        request = fold.FoldRequest(graph, samples, workspace.folder(f"graphs-folded/{graph.format}"))
        slow = imports.of_framework(fold.framework(graph))
        try:
            outcome = workspace.reusable(fold.fold, request, f"fold-{graph.format}", slow)
        except StepFailed as problem:
            outcome = capture.Captured(None, (TriedRoute(graph.format, fold.ROUTE, problem.message, False),), ())
        graphs += [outcome.graph] if outcome.graph else []
        routes += outcome.routes
    return tuple(graphs), tuple(routes)


def promised(signature: Signature, graphs: tuple[Graph, ...]) -> Signature:
    """The signature that every graph keeps, with the smallest of their proven limits; larger calls are split, whichever candidate wins.

    Where no graph but the original keeps its symbolic axes, they have the sizes of the samples.
    """
    captured = graphs[:-1]
    if captured and signature.sizes and not captured[0].signature.sizes:
        signature = signature.closed()
    for graph in captured if signature.sizes else ():
        theirs = {axis.symbol: axis for axis in graph.signature.sizes}
        signature = replace(signature, sizes=tuple(axis.both(theirs[axis.symbol]) for axis in signature.sizes))
    if any(len(axis.sizes) < 2 for axis in signature.sizes):
        signature = signature.closed()
    limits = [graph.signature.max_batch for graph in graphs if graph.signature.dynamic and graph.signature.max_batch]
    return replace(signature, max_batch=min(limits)) if signature.dynamic and limits else signature


def plans_to_try(
    graphs: tuple[Graph, ...], signature: Signature, data: Data, job: Job, workspace: Workspace
) -> tuple[list[tuple[Plan, Graph]], tuple[str, ...]]:
    """Every plan to try but the original's own, which is timed as it is.

    A graph that holds for one batch size only gives plans of that size: larger calls are cut for it. What takes long to make and may not
    be chosen, because it needs a training framework to answer, is left out unless the user names it.
    """
    calibrated = data.calibration is not None
    planned = lower.plans_for(
        graphs, workspace.host, runtimes=job.runtimes, precisions=job.precisions, calibrated=calibrated, unproven=data.unproven
    )
    as_it_is = baseline_of(graphs[-1], workspace)
    plans: list[tuple[Plan, Graph]] = []
    left_out: dict[str, str] = {}
    for plan, graph in planned.plans:
        if not (job.allow_framework or job.runtimes or job.plans) and (reason := _not_worth_its_time(plan)):
            left_out[plan.runtime] = reason
            continue
        fitted = lower.fitted(plan, graph, signature)
        if (not job.plans or fitted.name in job.plans) and fitted not in (as_it_is, *(other for other, _ in plans)):
            plans.append((fitted, graph))
    return plans, (*planned.unavailable, *left_out.values())


def _not_worth_its_time(plan: Plan) -> str:
    """Why ``plan`` is not tried where a plan that needs a training framework may not be chosen; "" where it is."""
    seconds = lower.seconds_to_make(plan)
    if not seconds or not registry.facts(plan.runtime).framework:
        return ""
    return (
        f"{plan.runtime}: it needs the training framework to answer and takes about {seconds:.0f} s a plan to make, so it is tried only "
        f"with --allow-framework-at-serve or --runtimes {plan.runtime}"
    )
