"""A folder that a browser opens: the model, a runtime in WebAssembly, the bundle's preprocessing in JavaScript and a page around them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from roadworthy.build.export._browser import description, npm, page
from roadworthy.build.export._browser.flavour import Flavour
from roadworthy.build.export._browser.flavours import FLAVOURS
from roadworthy.build.exported import Export
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.runtimes.exported._browser import chromium, held

ACCEPTS = ("onnx", "graphdef", "saved_model", "tflite")


def require() -> None:
    """Raises ProgramMissing without a browser to verify with, or without npm for a runtime that was not downloaded before."""
    chromium.program()
    for flavour in FLAVOURS:
        for package in flavour.packages:
            npm.require(package)


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """Each flavour that reads the graph and can be fed, on one thread, and on all where it can use several.

    A browser gives a page several threads only where its server isolates it from other sites.
    """
    for flavour in FLAVOURS:
        if graph.format not in flavour.accepts or graph.unfolded or flavour.unfit(graph.signature):
            continue
        batch = flavour.batch if graph.signature.batched else None
        for threads in sorted({1, host.cores if flavour.threads else 1}):
            yield Plan("browser", graph.precision, threads=threads, batch=batch, flavour=flavour.name)


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write ``model/``, ``runtime/`` and ``js/`` into ``out``, and ``model.json``, which says what is in them.

    Raises UsageError for a plan that is not offered, StepFailed where the runtime lacks what the model needs, EnvironmentFault where
    its files cannot be had.
    """
    flavour = _flavour(plan)
    if plan.precision != graph.precision:
        raise UsageError(f"{plan.name} is not a plan of the browser: the graph is run in its own precision, {graph.precision}")
    if words := flavour.unfit(graph.signature):
        raise StepFailed(f"a page cannot run this model: {words}")
    for folder in ("model", "runtime"):
        (out / folder).mkdir()
    inner = flavour.write(graph, plan, out / "model")
    for package in flavour.packages:
        npm.copy(package, out / "runtime")
    description.write(flavour, graph.signature.fixed(plan.batch) if plan.batch else graph.signature, inner, out)


def finish(export: Export, out: Path) -> str:
    """Add the page to the model in ``out``: ``index.html``, ``page.css`` and ``page.json``. It reads ``golden.npz`` beside them."""
    model = held.read(out)
    page.write(export, model, out)
    return page.instructions(export, _flavour(export.plan), model)


def _flavour(plan: Plan) -> Flavour:
    for flavour in FLAVOURS:
        if flavour.name == plan.flavour:
            return flavour
    raise UsageError(f"the browser has no flavour {plan.flavour!r}; it has {', '.join(flavour.name for flavour in FLAVOURS)}")
