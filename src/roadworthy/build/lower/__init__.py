"""Graph to candidate: which plans are worth trying here, and carrying one of them out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.interfaces import Lowering
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Graph, Plan, Precision
from roadworthy.core.types import Array, Signature
from roadworthy.preprocess.front import Front, front_of, put_in_front
from roadworthy.runtimes import open_session

PRECISIONS = tuple(name for name in get_args(Precision) if name != "fp64")


@dataclass(frozen=True)
class LowerRequest:
    """One plan to carry out into the empty (or new) directory ``out``; ``calibration`` is for int8 alone."""

    graph: Graph
    plan: Plan
    calibration: SampleSet | None
    out: Path


@dataclass(frozen=True)
class Planned:
    """Every plan worth trying, each with the graph it starts from, and in words what could not be planned."""

    plans: tuple[tuple[Plan, Graph], ...]
    unavailable: tuple[str, ...]


def lower(request: LowerRequest) -> Candidate:
    """Carry out one plan, in a process of its own; the result was opened once by its runtime.

    Raises StepFailed where nothing was made or what was made does not load, and what the backend raises.
    """
    graph, plan, out = request.graph, request.plan, request.out
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise UsageError(f"{out} is not empty; a candidate is made in a directory of its own")
    started = time.monotonic()
    if found := front_of(graph.path):
        _lower_behind(*found, request)
    else:
        registry.lowering(plan.runtime).lower(graph, plan, request.calibration, out)
    seconds = time.monotonic() - started
    files = [path for path in out.rglob("*") if path.is_file()]
    if not files:
        raise StepFailed(f"lowering to {plan.artefact} ended without an error and left no file")
    open_session(out, graph.signature, plan).close()
    size = sum(path.stat().st_size for path in files)
    return Candidate(plan, out, graph.signature, graph.format, size, seconds)


def _lower_behind(front: Front, model: Path, request: LowerRequest) -> None:
    """Carry out the plan for the model behind ``front`` alone, and put ``front`` in front of what was made."""
    graph = replace(request.graph, path=model, signature=front.behind(request.graph.signature), unfolded=False)
    with tempfile.TemporaryDirectory(dir=request.out) as scratch:
        folder = Path(scratch) / "candidate"
        folder.mkdir()
        calibration = request.calibration and front.applied(request.calibration, Path(scratch) / "calibration")
        registry.lowering(request.plan.runtime).lower(graph, replace(request.plan, unfolded=False), calibration, folder)
        if any(folder.iterdir()):
            put_in_front(front, folder, request.out)


def takes(format: str, runtimes: Collection[str]) -> bool:
    """Whether a candidate of one of ``runtimes``, or of any where none are named, can be made from a graph of that format."""
    return not runtimes or any(format in registry.lowering(name).ACCEPTS for name in runtimes)


def plans_for(
    graphs: tuple[Graph, ...], host: Host, *, runtimes: tuple[str, ...], precisions: tuple[str, ...], calibrated: bool, unproven: str = ""
) -> Planned:
    """Ask every lowering (or those of ``runtimes``) for its plans; empty filters let everything through.

    Each gets the first graph of the format it likes best, and likewise one of each compression of the model. Where that graph holds the
    steps in front of the model, the first plan of each precision is tried without them as well: it shows what they cost outside.
    ``calibrated`` says that there are samples to calibrate int8 on. ``unproven`` is why the samples prove no lossy plan: there are none
    then.
    """
    plans: list[tuple[Plan, Graph]] = []
    unavailable: list[str] = []
    dropped: dict[str, None] = {}
    for name in runtimes or registry.names(registry.LOWERINGS):
        lowering = registry.lowering(name)
        chosen = _best(graphs, lowering.ACCEPTS)
        if not chosen:
            # A backend that takes no format of this source is worth a message only if the user named it.
            if runtimes:
                unavailable.append(f"{name}: it needs the model as {' or '.join(lowering.ACCEPTS)}, and no such graph was captured")
            continue
        try:
            registry.require(name)
        except BackendMissing as problem:
            unavailable.append(problem.message)
            continue
        reasons = dict(_lacking(lowering, host))
        offered = [(plan.made_from(graph), graph) for graph in chosen for plan in lowering.plans(graph, host)]
        offered = [(plan, graph) for plan, graph in offered if not precisions or plan.precision in precisions]
        offered = _without_needless(offered)
        if unproven:
            dropped |= dict.fromkeys(plan.compression or plan.precision for plan, _ in offered if plan.lossy)
            offered = [(plan, graph) for plan, graph in offered if not plan.lossy]
        if all(graph.quantized for graph in chosen):
            # It came that way: nothing is left to calibrate, nor to quantise with.
            reasons.pop("int8", None)
        elif not calibrated and any(plan.precision == "int8" and not graph.quantized for plan, graph in offered):
            reasons["int8"] = "int8 needs samples to calibrate on"
        plans += [(plan, graph) for plan, graph in offered if plan.precision not in reasons or plan.precision == graph.precision]
        unavailable += [f"{name}: {reason}" for precision, reason in reasons.items() if not precisions or precision in precisions]
    if dropped:
        unavailable.append(f"{', '.join(dropped)}: {unproven}")
    return Planned(tuple(plans), tuple(unavailable))


def forms_for(graphs: tuple[Graph, ...], host: Host, precision: Precision, *, runtimes: tuple[str, ...] = ()) -> Planned:
    """Every way to run a model in ``precision``, for any batch: the plans of a deployment, and what is only worth a comparison.

    Those that need the training framework use all cores, as it does by itself. Empty ``runtimes`` lets everything through.
    """
    planned = plans_for(graphs, host, runtimes=runtimes, precisions=(precision,), calibrated=precision != "int8")
    found = [(plan, graph) for plan, graph in planned.plans if plan.batch is None and not plan.spin]
    found = [(plan, graph) for plan, graph in found if plan.threads == host.cores or not registry.facts(plan.runtime).framework]
    for name in runtimes or registry.names(registry.LOWERINGS):
        lowering = registry.lowering(name)
        offer = getattr(lowering, "forms", None)
        if offer is not None:
            best = _best(graphs, lowering.ACCEPTS)
            found += [(plan.made_from(graph), graph) for graph in best for plan in offer(graph, host) if plan.precision == precision]
    return Planned(tuple(found), planned.unavailable)


def fitted(plan: Plan, graph: Graph, signature: Signature) -> Plan:
    """``plan`` for what ``signature`` promises: of a graph for one batch size a plan of that size, for which calls are cut."""
    narrow = signature.dynamic and not graph.signature.dynamic
    return replace(plan, batch=graph.signature.call_size(1)) if narrow else plan


def for_exports(graphs: tuple[Graph, ...]) -> tuple[Graph, ...]:
    """Those of ``graphs`` that the targets other than a server start from: of each the original function in the format it likes best."""
    whole = tuple(graph for graph in graphs if not (graph.derived_from or graph.unfolded))
    wanted: list[Graph] = []
    for name in registry.names(registry.EXPORTS):
        with suppress(BackendMissing):
            wanted += _best(whole, registry.lowering(name).ACCEPTS)
    return tuple(graph for graph in whole if graph in wanted)


def others(plan: Plan, graph: Graph, graphs: tuple[Graph, ...]) -> tuple[Graph, ...]:
    """The graphs that ``plan`` could be made from as well, should ``graph`` fail it: the backend takes them, for as many samples."""
    formats = registry.lowering(plan.runtime).ACCEPTS
    return tuple(
        other
        for wanted in formats[formats.index(graph.format) + 1 :]
        for other in graphs
        if other.format == wanted and _function(other) == _function(graph)
    )


def seconds_to_make(plan: Plan) -> float:
    """About how long the artefact of ``plan`` takes to make, where that is long enough to plan for; else 0."""
    return float(getattr(registry.lowering(plan.runtime), "SECONDS", 0.0))


def repaired(plan: Plan) -> str:
    """The artefact whose failure ``plan`` is a remedy for; "" for a plan that is tried in any case."""
    words: tuple[str, ...] = getattr(registry.lowering(plan.runtime), "REPAIRS", ())
    other = replace(plan, flavour="-".join(word for word in plan.flavour.split("-") if word not in words))
    return "" if other.artefact == plan.artefact else other.artefact


def _function(graph: Graph) -> tuple[object, ...]:
    """What two graphs have to share for one to stand in for the other."""
    return graph.signature.batched, graph.precision, graph.derived_from, graph.compression, graph.unfolded


NARROW = "7bit"
"""The flavour of an int8 artefact whose weights keep to 7 bits."""


def int8_flavour(host: Host) -> str:
    """``NARROW`` where products of full 8-bit numbers would saturate, silently, and "" elsewhere.

    Before VNNI, x86 multiplies unsigned by signed bytes and adds the products pairwise in 16 bits, which overflow;
    with weights of 7 bits they cannot. Sources: ONNX Runtime, "Quantize ONNX models" (reduce_range); NNCF, OverflowFix.
    """
    vnni = host.has("avx512_vnni") or host.has("avx_vnni")
    return NARROW if host.architecture == "x86_64" and not vnni else ""


def calibration_batches(samples: SampleSet, signature: Signature, size: int) -> Iterator[dict[str, Array]]:
    """All of ``samples``, ``size`` at a time; a model that takes one number of samples, or few, gets no more than that."""
    size = signature.call_size(size)
    for start in range(0, samples.count, size):
        if signature.dynamic or start + size <= samples.count:
            yield signature.to_call(samples.feeds(start, start + size))


def _best(graphs: tuple[Graph, ...], formats: tuple[str, ...]) -> tuple[Graph, ...]:
    """The graph of the format that comes first in ``formats``: one of the original function, and one of each compression of it.

    Where steps are in front of the model, there may be one with them in the graph, which comes first, and one without.
    """
    best: dict[tuple[str, bool], Graph] = {}
    for graph in sorted((one for one in graphs if one.format in formats), key=lambda one: formats.index(one.format)):
        best.setdefault((graph.compression, graph.unfolded), graph)
    return tuple(sorted(best.values(), key=lambda one: (bool(one.derived_from), one.unfolded)))


def _without_needless(offered: list[tuple[Plan, Graph]]) -> list[tuple[Plan, Graph]]:
    """``offered``, of one runtime; where it has plans with the steps in the graph, only the first of a precision without them."""
    if not any(not plan.unfolded for plan, _ in offered):
        return offered
    first: dict[str, Plan] = {}
    for plan, _ in offered:
        if plan.unfolded:
            first.setdefault(plan.precision, plan)
    return [(plan, graph) for plan, graph in offered if not plan.unfolded or plan is first[plan.precision]]


def _lacking(lowering: Lowering, host: Host) -> Mapping[str, str]:
    ask = getattr(lowering, "unavailable", None)
    return ask(host) if ask else {}


def refuse_unknown(runtimes: tuple[str, ...], precisions: tuple[str, ...]) -> None:
    """Raise UsageError for a runtime or a precision that does not exist."""
    for what, asked, known in (("runtime", runtimes, registry.names(registry.LOWERINGS)), ("precision", precisions, PRECISIONS)):
        for name in asked:
            if name not in known:
                raise UsageError(f"there is no {what} {name!r}; choose from {', '.join(known)}")
