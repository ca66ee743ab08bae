"""One case of ``shapes`` through every capture route and every runtime, beside the framework's own answers; a step for a child."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from conformance import shapes
from roadworthy.build import lower, sources
from roadworthy.build.capture import CaptureRequest, exporter_errors, formats, try_routes
from roadworthy.core import registry, samples
from roadworthy.core.errors import BackendMissing, RoadworthyError
from roadworthy.core.host import this_host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Array
from roadworthy.runtimes import open_session

BATCHES = (1, 3)
GATE = 1e-5


@dataclass(frozen=True)
class WalkRequest:
    """``framework`` is tensorflow or torch; ``runtimes`` are those to try, ``out`` a directory of the walk's own."""

    framework: str
    cases: tuple[str, ...]
    runtimes: tuple[str, ...]
    out: Path


@dataclass(frozen=True)
class Cell:
    """What became of one way: ``refused`` says why there is no answer, ``differs`` how an answer is wrong; both empty where it is equal."""

    way: str
    refused: str = ""
    differs: str = ""


@dataclass(frozen=True)
class Row:
    """Every way of one case."""

    case: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Walked:
    """The cases in the order they were asked for."""

    rows: tuple[Row, ...]


def walk(request: WalkRequest) -> Walked:
    """Load each case's model, capture it by every route of every format, lower every graph to every runtime that takes it."""
    if request.framework == "tensorflow":
        from roadworthy.frameworks.tensorflow import framework as tensorflow_framework

        tensorflow_framework.set_threads(this_host().cores)
    known = {case.name: case for case in (*shapes.CASES, shapes.TOGETHER)}
    return Walked(tuple(Row(name, _walk(known[name], replace(request, out=request.out / name))) for name in request.cases))


def _walk(case: shapes.Case, request: WalkRequest) -> tuple[Cell, ...]:
    request.out.mkdir(parents=True)
    data = samples.write(request.out / "data", case.feeds(24))
    model = shapes.torch_module(case.name) if request.framework == "torch" else shapes.tensorflow_model(case.name)
    wanted = {batch: _by_hand(model, request.framework, list(case.feeds(batch).values())) for batch in BATCHES}
    (request.out / "source").mkdir()
    source = sources.save_live(
        model if request.framework == "torch" or case.name in shapes.KERAS else _module(model, case), request.out / "source"
    )
    loaded = sources.load(sources.LoadRequest(source, (), data, request.out / "original"))
    data = samples.renamed(data, tuple(spec.name for spec in loaded.signature.inputs))
    cells, graphs = [], [loaded.graph]
    for format in formats(loaded.graph):
        first = graphs[1].path if len(graphs) > 1 else None
        for way, graph, reason in _captured(loaded.graph, format, first, data, request.out):
            cells.append(Cell(way, refused=reason))
            if graph and format not in [one.format for one in graphs]:
                graphs.append(graph)
    for name in request.runtimes:
        for graph in graphs:
            cells += _run(name, graph, wanted, data, request.out)
    return tuple(cells)


def _module(function: Any, case: shapes.Case) -> Any:
    """A tf.Module whose call is ``function``, for any number of samples."""
    import tensorflow as tf

    def one(self: Any, x: Any) -> Any:
        return function(x)

    def two(self: Any, x: Any, y: Any) -> Any:
        return function(x, y)

    specs = [tf.TensorSpec((None, *shape), tf.float32, name) for name, shape in zip(shapes.NAMES, case.inputs, strict=False)]
    call = tf.function(one if len(specs) == 1 else two, input_signature=specs)
    return type("Case", (tf.Module,), {"__call__": call})()


def _by_hand(model: Any, framework: str, arrays: list[Array]) -> list[Array]:
    """The framework's own answers, without any of our code."""
    if framework == "torch":
        import torch

        answer = model(*map(torch.from_numpy, arrays))
    else:
        import tensorflow as tf

        answer = model(*map(tf.constant, arrays))
    return [np.asarray(one.detach() if framework == "torch" else one) for one in (answer if isinstance(answer, tuple) else (answer,))]


def _captured(original: Graph, format: str, first: Path | None, data: SampleSet, out: Path) -> Iterator[tuple[str, Graph | None, str]]:
    """Every route to ``format``, whether the ones before it worked or not."""
    request = CaptureRequest(original, format, data, out / "graphs" / format, exported=first)
    subject = try_routes._opened(request)
    for index, route in enumerate(try_routes._routes(format, subject)):
        place = request.out / str(index)
        place.mkdir(parents=True)
        try:
            graph = try_routes._attempt(route, route.name, subject, replace(request, out=place))
        except Exception as problem:
            yield f"{format} by {route.name}", None, exporter_errors.reason(problem)
        else:
            yield f"{format} by {route.name}", graph, ""


def _run(name: str, graph: Graph, wanted: dict[int, list[Array]], data: SampleSet, out: Path) -> list[Cell]:
    """The first float32 plan of each flavour, made from ``graph``, at every number of samples."""
    lowering = importlib.import_module(f"{registry.LOWERINGS}.{name}")
    if graph.format not in lowering.ACCEPTS:
        return []
    plans: dict[str, Plan] = {}
    for plan in lowering.plans(graph, this_host()):
        if plan.precision == "fp32" and plan.batch is None:
            plans.setdefault(plan.artefact, plan)
    return [_cell(plan, graph, wanted, data, out / "candidates" / graph.format / plan.artefact) for plan in plans.values()]


def _cell(plan: Plan, graph: Graph, wanted: dict[int, list[Array]], data: SampleSet, out: Path) -> Cell:
    way = f"{plan.artefact} from {graph.format}"
    try:
        registry.require(plan.runtime)
        lower.lower(lower.LowerRequest(graph, plan, None, out))
        with open_session(out, graph.signature, plan) as session:
            for batch, arrays in wanted.items():
                found = list(session.run(data.feeds(0, batch)).values())
                if text := _difference(found, arrays):
                    return Cell(way, differs=f"at {batch} samples {text}")
    except BackendMissing:
        raise
    except RoadworthyError as problem:
        return Cell(way, refused=problem.message.replace(f"{out}/", ""))
    return Cell(way)


def _difference(found: list[Array], wanted: list[Array]) -> str:
    if [one.shape for one in found] != [one.shape for one in wanted]:
        return f"the shapes are {[one.shape for one in found]} and not {[one.shape for one in wanted]}"
    worst = max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in zip(found, wanted, strict=True))
    return f"an output differs by {worst:.1e} of its scale" if worst > GATE else ""
