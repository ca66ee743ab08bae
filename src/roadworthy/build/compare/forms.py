"""Every form of each source: verified against the source's own answers, then timed beside all others in the same rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roadworthy.build import benchmark, lower, verify
from roadworthy.build.certificate import noticed
from roadworthy.build.compare.load import LoadedSide
from roadworthy.build.graphs import capture_all, promised
from roadworthy.build.job import Job
from roadworthy.build.reference import reference_of
from roadworthy.build.search import Trial, search
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core import registry
from roadworthy.core.comparison import Family, Form, Side
from roadworthy.core.errors import DataError
from roadworthy.core.stages import Graph, Rejected, Verified

ROUNDS_SECONDS = 60.0


@dataclass(frozen=True)
class VerifiedSide:
    """A model with its own answers, and every form of it that gives the same ones."""

    model: LoadedSide
    trial: Trial
    original: Verified
    forms: tuple[Verified, ...]
    failed: tuple[Rejected, ...]
    notes: tuple[str, ...]


def verify_forms(model: LoadedSide, job: Job, *, timed: bool) -> VerifiedSide:
    """The answers of one original; where the forms are to be ``timed``, every form of it that was verified against them too."""
    workspace = model.workspace
    original = model.loaded.graph
    if not timed:
        trial, baseline = reference_of(original, model.loaded.signature, model.data, job, workspace)
        return VerifiedSide(model, trial, baseline, (), (), _notes(model, (original,), trial))
    graphs, routes = capture_all(original, model.data.evaluation, workspace, runtimes=job.runtimes)
    signature = promised(model.loaded.signature, graphs)
    trial, baseline = reference_of(original, signature, model.data, job, workspace)
    planned = lower.forms_for(graphs, workspace.host, original.precision, runtimes=job.runtimes)
    plans = [(plan, graph) for plan, graph in planned.plans if graph.signature.batched == signature.batched]
    # A comparison shows the slow forms, too.
    outcome = search(plans, graphs, replace(trial, keep=True), workspace)
    formats = {route.format for route in routes if route.ok}
    missed = tuple(f"no {route.format} by {route.route}: {route.outcome}" for route in routes if route.format not in formats)
    notes = (*_notes(model, graphs, trial), *missed, *planned.unavailable)
    return VerifiedSide(model, trial, baseline, outcome.verified, outcome.rejected, notes)


def _notes(model: LoadedSide, graphs: tuple[Graph, ...], trial: Trial) -> tuple[str, ...]:
    """What was noticed about one side, in the words of a deployment."""
    found = noticed(model.loaded, model.data, graphs, trial)
    return (*model.notes, *(f"warning: {note.text}" if note.warning else note.text for note in found))


def time_sides(runs: Sequence[VerifiedSide], workspace: Workspace) -> tuple[Side, ...]:
    """Every form of every side, timed in the same rounds."""
    # They would take memory from the forms.
    workspace.templates.close()
    requests = [benchmark.FormRequest(one, run.trial.samples, family) for run in runs for one, family in _families(run)]

    def tell(text: str, share: float) -> None:
        workspace.notify(Progress("forms", round(100 * share), 100, text))

    seconds = min(ROUNDS_SECONDS * len(runs) / 2, max(workspace.seconds_left, 1.0))
    results = list(benchmark.measure_forms(requests, seconds=seconds, log_dir=workspace.folder("forms"), progress=tell))
    workspace.notify(Progress("forms", 100, 100))
    sides = []
    for run in runs:
        mine = [results.pop(0) for _ in _families(run)]
        sides.append(side_of(run, [one for one in mine if isinstance(one, Form)], [one for one in mine if isinstance(one, Rejected)]))
    return tuple(sides)


def _families(run: VerifiedSide) -> list[tuple[Verified, Family]]:
    found: list[tuple[Verified, Family]] = [(run.original, "original")]
    for one in run.forms:
        found.append((one, "own" if registry.facts(one.candidate.plan.runtime).framework else "shared"))
    return found


def side_of(run: VerifiedSide, forms: list[Form], failed: list[Rejected]) -> Side:
    """One side of the result: its model, the forms that were timed, and those that failed."""
    score = run.original.score
    if score is None:
        raise DataError(f"the original of {run.model.name} has no score")
    return Side(
        name=run.model.name,
        file=run.model.source.named.name,
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
        share=score.percent and score.metric != verify.ERROR,
    )
