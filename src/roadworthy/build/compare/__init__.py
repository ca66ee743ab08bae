"""The second conductor: two or more sources, side by side. Are they the same function, and what does each way to run them cost?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from roadworthy.build import benchmark, lower, verify
from roadworthy.build import sources as build_sources
from roadworthy.build.certificate import Data, noticed, packages
from roadworthy.build.compare import layer_diff
from roadworthy.build.data import dataset
from roadworthy.build.graphs import capture_all, promised
from roadworthy.build.job import Job
from roadworthy.build.original import contract_of, identify, load_original
from roadworthy.build.reference import reference_of
from roadworthy.build.search import Trial, search
from roadworthy.build.workspace import Notify, Progress, Workspace, workspace_for
from roadworthy.core import registry
from roadworthy.core.comparison import Comparison, Family, Form, Pairing, Side
from roadworthy.core.contract import Contract
from roadworthy.core.errors import DataError, RoadworthyError, SourceError, UsageError
from roadworthy.core.isolation import unchanged
from roadworthy.core.samples import write
from roadworthy.core.stages import Graph, Rejected, Source, Verified
from roadworthy.core.types import Array
from roadworthy.core.version import __version__

ROUNDS_SECONDS = 60.0
LAYER_SAMPLES, LAYER_MB = 8, 8
"""Layers are looked at on so many samples, fewer where one sample is large."""
CHANNELS_LAST, CHANNELS_FIRST = "height, width, channels", "channels, height, width"


@dataclass(frozen=True)
class _Model:
    """One source on its way: loaded, with its samples, and all that was found out of it."""

    name: str
    source: Source
    loaded: build_sources.Loaded
    data: Data
    workspace: Workspace
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Run:
    """A model with its reference and every form of it that gives its answers."""

    model: _Model
    trial: Trial
    original: Verified
    forms: tuple[Verified, ...]
    failed: tuple[Rejected, ...]
    notes: tuple[str, ...]


def compare(jobs: Sequence[Job], notify: Notify = lambda progress: None, *, timed: bool = True) -> Comparison:
    """Hold the sources of ``jobs`` side by side; the first is what the others are held against.

    Without ``timed`` they are held to each other and nothing is measured: no form is made, and the sides have none.
    Each job says how to read its own source; all have the same data, budget and metric. Samples that are arrays are
    transposed for a source that wants its channels elsewhere, and the result says so. Raises SourceError, DataError and their
    kin where a source cannot be read or run at all; whatever else fails is in the result.
    """
    if len(jobs) < 2:
        raise UsageError("there is nothing to compare: give two sources at least")
    for job in jobs:
        lower.refuse_unknown(job.runtimes, job.precisions)
    started = time.monotonic()
    with workspace_for(jobs, notify) as workspace:
        inputs = [unchanged.user_files(job.code_files, job.data_files) for job in jobs]
        models = _load_all(jobs, workspace)
        for held in inputs:
            held.refuse_changed()
        runs = [_run(model, job, timed=timed) for model, job in zip(models, jobs, strict=True)]
        recorded = [_layers(run) for run in runs]
        pairings = tuple(_pairing(runs[0], runs[number], recorded[0], recorded[number], workspace) for number in range(1, len(runs)))
        sides = _measured(runs, workspace) if timed else tuple(_side(run, [], []) for run in runs)
        for model in models:
            unchanged.refuse_changed(model.source, workspace.user_code.notes)
        return Comparison(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            roadworthy=__version__,
            host=workspace.host,
            packages=tuple(f"{one.name} {one.version}" for one in packages()),
            data=models[0].data.kind,
            samples=models[0].data.evaluation.count,
            sides=sides,
            pairings=pairings,
            seconds=time.monotonic() - started,
        )


def _load_all(jobs: Sequence[Job], workspace: Workspace) -> list[_Model]:
    """Every source, on the same samples: those of the data where they fit as they are, else those of the first that took them."""
    names = _names(jobs)
    sources = [identify(job, workspace) for job in jobs]
    models: dict[int, _Model] = {}
    problems: dict[int, RoadworthyError] = {}
    for index, job in enumerate(jobs):
        contract = contract_of(job, sources[index])
        if models and (job.data is None or (contract.image is None and _foreign(sources[index], models.values()))):
            continue
        here = replace(workspace, path=workspace.path / f"side-{index}")
        try:
            loaded, data = load_original(sources[index], job, contract, here, calibrate=0)
            models[index] = _Model(names[index], sources[index], loaded, data, here, ())
        except (DataError, SourceError, UsageError) as problem:
            problems[index] = problem
    if not models:
        raise problems[0]
    taken = next(iter(models.values()))
    for index, job in enumerate(jobs):
        if index not in models:
            models[index] = _load_from(taken, names[index], sources[index], job, workspace, problems.get(index))
    return [models[index] for index in range(len(jobs))]


def _foreign(source: Source, models: Iterable[_Model]) -> bool:
    """Whether the samples are known to fit another framework alone: arrays lie as one of them wants them."""
    return all(model.source.framework != source.framework for model in models)


def _load_from(taken: _Model, name: str, source: Source, job: Job, workspace: Workspace, problem: RoadworthyError | None) -> _Model:
    """``source`` on the samples that ``taken`` was loaded with, their channels moved where that is what it wants."""
    images = any(array.ndim > 2 for array in taken.data.evaluation.open().values())
    wanted = CHANNELS_FIRST if source.framework == "torch" else CHANNELS_LAST
    moves = (wanted, "", CHANNELS_FIRST) if images and source.framework != taken.source.framework else ("", wanted) if images else ("",)
    for number, move in enumerate(dict.fromkeys(moves)):
        here = replace(workspace, path=workspace.path / f"side-{name.replace('/', '-')}-{number}")
        try:
            given = _moved(taken.data, move, here)
            loaded, data = load_original(source, job, Contract(), here, given=given, calibrate=0)
        except (DataError, SourceError, UsageError) as failure:
            problem = problem or failure
            continue
        note = (f"the samples of {taken.name} were transposed to {move} for {name}",) if move else ()
        return _Model(name, source, loaded, replace(data, kind=taken.data.kind), here, note)
    raise problem or DataError(f"the samples of {taken.name} do not fit {name}")


def _moved(data: Data, move: str, workspace: Workspace) -> dataset.Dataset:
    """The samples of ``data`` in a place of their own, with their channels where ``move`` says."""

    def moved(array: Array) -> Array:
        if not move or array.ndim < 3:
            return array
        return np.moveaxis(array, 1, -1) if move == CHANNELS_LAST else np.moveaxis(array, -1, 1)

    samples = data.evaluation
    arrays = {name: np.ascontiguousarray(moved(array)) for name, array in samples.open().items()}
    copied = write(workspace.folder("data/all"), arrays, samples.labels())
    return dataset.Dataset(copied, data.classes, "labelled" if samples.labelled else "unlabelled")


def _names(jobs: Sequence[Job]) -> list[str]:
    """What each side is called: its file, with its folder where two files have one name, with its number where that is not enough."""
    names = [job.source.name for job in jobs]
    if len(set(names)) < len(names):
        names = [f"{job.source.resolve().parent.name}/{job.source.name}" for job in jobs]
    return names if len(set(names)) == len(names) else [f"{name} ({number})" for number, name in enumerate(names, 1)]


def _run(model: _Model, job: Job, *, timed: bool) -> _Run:
    """The answers of one original, and every form of it, proven against them, where they are to be timed."""
    workspace = model.workspace
    original = model.loaded.graph
    if not timed:
        trial, baseline = reference_of(original, model.loaded.signature, model.data, job, workspace)
        return _Run(model, trial, baseline, (), (), _notes(model, (original,), trial))
    graphs, routes = capture_all(original, model.data.evaluation, workspace)
    signature = promised(model.loaded.signature, graphs)
    trial, baseline = reference_of(original, signature, model.data, job, workspace)
    planned = lower.forms_for(graphs, workspace.host, original.precision, runtimes=job.runtimes)
    plans = [(plan, graph) for plan, graph in planned.plans if graph.signature.batched == signature.batched]
    outcome = search(plans, graphs, trial, workspace)
    formats = {route.format for route in routes if route.ok}
    missed = tuple(f"no {route.format} by {route.route}: {route.outcome}" for route in routes if route.format not in formats)
    notes = (*_notes(model, graphs, trial), *missed, *planned.unavailable)
    return _Run(model, trial, baseline, outcome.verified, outcome.rejected, notes)


def _notes(model: _Model, graphs: tuple[Graph, ...], trial: Trial) -> tuple[str, ...]:
    """What was noticed about one side, as its own deployment would say it."""
    found = noticed(model.loaded, model.data, graphs, trial)
    return (*model.notes, *(f"warning: {note.text}" if note.warning else note.text for note in found))


def _pairing(a: _Run, b: _Run, layers_a: layer_diff.Recorded, layers_b: layer_diff.Recorded, workspace: Workspace) -> Pairing:
    """``b`` beside ``a``: the outputs on all samples, the layers on a few."""
    workspace.notify(Progress("layers", 0, 1))
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


def _layers(run: _Run) -> layer_diff.Recorded:
    graph, samples = run.model.loaded.graph, run.model.data.evaluation
    each = sum(array[:1].nbytes for array in samples.open().values()) / 2**20
    count = max(1, min(LAYER_SAMPLES, int(LAYER_MB / max(each, 1e-6)), samples.count))
    request = layer_diff.LayersRequest(graph, samples, count, run.model.workspace.folder("layers"))
    try:
        return run.model.workspace.step(layer_diff.record, request, "layers")
    except RoadworthyError as problem:
        return layer_diff.Recorded(request.out, (), f"its layers could not be looked at: {problem.message}")


def _inputs(a: _Run, b: _Run) -> list[str]:
    """Whether both really saw the same numbers: each may have a preprocessing of its own."""
    mine, its = (list(run.model.data.evaluation.feeds(0, 8).values()) for run in (a, b))
    if len(mine) != len(its) or any(one.dtype.kind == "O" for one in (*mine, *its)):
        return []
    apart = [layer_diff.difference(one, other) for one, other in zip(mine, its, strict=True)]
    worst = max((value for value in apart if value is not None), default=0.0)
    if None in apart:
        return [f"{a.model.name} and {b.model.name} take inputs of different shapes, each from its own preprocessing"]
    return [f"the inputs differ by {worst:.2g} of their scale: each side has its own preprocessing"] if worst > 1e-6 else []


def _verdict(a: _Run, b: _Run, beside: verify.OriginalsCompared) -> str:
    one, other = a.model.name, b.model.name
    if beside.parity is None:
        return f"{other} cannot be laid onto {one}: {beside.relation}"
    seen = beside.parity
    agreed = "" if seen.agreement is None else f", and {seen.agreement:.2%} of {seen.samples} samples have the same top class"
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


def _measured(runs: Sequence[_Run], workspace: Workspace) -> tuple[Side, ...]:
    """Every form of every side on the clock, in the same rounds."""
    requests = [benchmark.FormRequest(one, run.trial.samples, family) for run in runs for one, family in _families(run)]

    def tell(text: str, share: float) -> None:
        workspace.notify(Progress("forms", round(100 * share), 100, text))

    seconds = min(ROUNDS_SECONDS * len(runs) / 2, max(workspace.seconds_left, 1.0))
    results = list(benchmark.measure_forms(requests, seconds=seconds, log_dir=workspace.folder("forms"), progress=tell))
    workspace.notify(Progress("forms", 100, 100))
    sides = []
    for run in runs:
        mine = [results.pop(0) for _ in _families(run)]
        sides.append(_side(run, [one for one in mine if isinstance(one, Form)], [one for one in mine if isinstance(one, Rejected)]))
    return tuple(sides)


def _families(run: _Run) -> list[tuple[Verified, Family]]:
    found: list[tuple[Verified, Family]] = [(run.original, "original")]
    for one in run.forms:
        found.append((one, "own" if registry.facts(one.candidate.plan.runtime).framework else "shared"))
    return found


def _side(run: _Run, forms: list[Form], failed: list[Rejected]) -> Side:
    score = run.original.score
    if score is None:
        raise DataError(f"the original of {run.model.name} has no score")
    return Side(
        name=run.model.name,
        file=run.model.source.path.name,
        framework=run.model.source.framework,
        kind=run.model.source.kind,
        parameters=run.model.loaded.parameters,
        signature=run.trial.signature,
        metric=score.metric,
        score=score.value,
        tolerance=run.trial.reference.tolerance,
        forms=tuple(forms),
        failed=(*run.failed, *failed),
        notes=run.notes,
    )
