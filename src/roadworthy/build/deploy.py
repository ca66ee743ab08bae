"""The deployment of one model: the order of the stages, from the source to the bundle. Each stage is a module beside this one."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.build import classes, compressing, exporting, lower, pixels, served, supplied
from roadworthy.build.certificate import Findings, certificate_of, nothing_left
from roadworthy.build.choice import choose, notes_on_pixels, notes_on_winner
from roadworthy.build.exporting import ExportJob
from roadworthy.build.graphs import capture_all, plans_to_try, promised
from roadworthy.build.job import Job
from roadworthy.build.original import identify, refuse_wrong_metric
from roadworthy.build.races import can_be_chosen, race_to_serve
from roadworthy.build.reference import reference_of
from roadworthy.build.search import Trial, search
from roadworthy.build.served.work import work_of
from roadworthy.build.time_budget import CLOSING, RACE, SEARCH, ended_early, ended_in_search
from roadworthy.build.workspace import Notify, Workspace, workspace_for
from roadworthy.build.write_bundle import write_bundle
from roadworthy.bundle import store
from roadworthy.bundle.certificate import Certificate, Goal
from roadworthy.core.errors import NoCandidate, OutOfTime, RoadworthyError
from roadworthy.core.isolation import unchanged

EXPORT_SECONDS = 1800.0
"""The time that one export of a new bundle may take."""


@dataclass(frozen=True)
class Deployment:
    """What ``deploy`` gives: the bundle's directory and all the evidence."""

    bundle: Path
    certificate: Certificate


def deploy(job: Job, notify: Notify = lambda progress: None) -> Deployment:
    """Deploy the source of ``job`` to a bundle at ``job.output``.

    Raises SourceError, DataError, NoCandidate and other errors of ``core.errors``. However it ends, by an interrupt too, no process
    is left running; after a failure nothing is at ``job.output`` that was not there before.
    """
    store.refuse_other_content(job.output)
    lower.refuse_unknown(job.runtimes, job.precisions)
    exporting.refuse_unknown(job.exports)
    compressing.refuse_unknown(job.compress)
    try:
        with workspace_for((job,), notify) as workspace:
            certificate = _deployed(job, workspace)
    except OutOfTime as problem:
        raise ended_early(job.seconds, problem) from problem
    return Deployment(job.output, certificate)


def _deployed(job: Job, workspace: Workspace) -> Certificate:
    early = workspace.until((CLOSING + RACE + SEARCH) * job.seconds)
    refuse_wrong_metric(job, early)
    inputs = unchanged.user_files(job.code_files, job.data_files)
    source = identify(job, early)
    supplied.refuse_unproven(job, source)
    if job.compress:
        compressing.refuse_untrainable(source, job.compress)
    found = pixels.contract(job, source, early)
    contract = found.contract
    loaded, data = pixels.load(source, job, found, early)
    inputs.refuse_changed()

    stated = [symbol for spec in job.inputs for symbol in spec.symbols.values()]
    graphs, routes = capture_all(loaded.graph, data.evaluation, early, stated, job.runtimes)
    signature = promised(loaded.signature, graphs)
    smaller = compressing.smaller(source, loaded.graph, graphs, contract, job, workspace) if job.compress else None
    graphs = (*graphs[:-1], *(smaller.graphs if smaller else ()), graphs[-1])
    plans, unavailable = plans_to_try(graphs, signature, data, job, workspace)
    trial, original = reference_of(loaded.graph, signature, data, job, early)
    proven = pixels.prove(found, loaded, trial, original.score, data, job, early)
    data = replace(data, notes=(*data.notes, *found.notes, *pixels.notes_on(proven), *classes.notes_on_answers(trial, data)))
    before = workspace.clock.seconds
    tried = search(plans, graphs, trial, workspace)
    spent = ended_in_search(job.seconds, before, workspace.clock.seconds - before, tried.verified, tried.rejected)
    if not can_be_chosen((original, *tried.verified), job):
        raise NoCandidate(nothing_left((original, *tried.verified), routes, tried.rejected, unavailable, data.notes, spent))

    goal = Goal(job.objective, trial.metric, trial.budget, str(job.budget))
    race = race_to_serve((original, *tried.verified), trial, job, workspace)
    choice, race = choose(race, goal, trial, workspace, framework_allowed=job.allow_framework)
    rejected = (*tried.rejected, *race.failed)
    if choice is None:
        passed = [one.verified for one in race.measured]
        raise NoCandidate(nothing_left(passed, routes, rejected, unavailable, data.notes, spent))
    proofs = served.prove(choice, race, tried.verified, trial, job, workspace)
    work = work_of(choice, race, graphs, trial.signature, workspace)
    notes = (
        *notes_on_winner(choice, race, data),
        *notes_on_pixels(choice, race, contract),
        *served.notes(choice, proofs, workspace.host),
    )
    data = replace(data, notes=(*data.notes, *notes))

    unchanged.refuse_changed(source, workspace.user_code.notes)
    loaded = replace(loaded, notes=(*loaded.notes, *workspace.user_code.notes, *inputs.changed()))
    findings = Findings(
        source, loaded, data, graphs, routes, trial, original, goal, race, rejected, unavailable, choice, proofs, work, proven,
        smaller.proof if smaller else None,
    )  # fmt: skip
    certificate = certificate_of(findings, contract, job, workspace.host, workspace.clock.read())
    write_bundle(findings, certificate, contract, job, workspace)
    for target in job.exports:
        _export(target, trial, job, workspace)
    exports = store.read_certificate(job.output).exports if job.exports else ()
    return replace(certificate, exports=exports).timed(workspace.clock.read())


def _export(target: str, trial: Trial, job: Job, workspace: Workspace) -> None:
    """The new bundle for ``target``, with time of its own; an error says that the bundle is written all the same."""
    asked = ExportJob(job.output, target, precisions=job.precisions, seconds=EXPORT_SECONDS, memory_mb=job.memory_mb, cache=job.cache)
    try:
        here = replace(workspace, deadline=time.monotonic() + EXPORT_SECONDS, bounded=False)
        exporting.export_new(asked, trial, here)
    except RoadworthyError as problem:
        raise type(problem)(
            f"the bundle {job.output} is written, and its export to {target} is not: {problem.message}", detail=problem.detail
        ) from problem
