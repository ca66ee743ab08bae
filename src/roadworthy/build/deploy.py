"""The conductor: the only file that knows the order in which a model walks through the rooms."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from roadworthy.build import benchmark, capture, classes, lower, package, sources, supplied, verify
from roadworthy.build.certificate import Data, Findings, certificate_of, exports_of, nothing_left, reproductions
from roadworthy.build.data import dataset
from roadworthy.build.job import Job
from roadworthy.build.search import Trial, search
from roadworthy.build.workspace import Notify, Progress, Workshop, workshop
from roadworthy.bundle import store
from roadworthy.bundle.acceptance import Acceptance, AcceptanceRequest
from roadworthy.bundle.certificate import Certificate, Goal, TriedRoute
from roadworthy.core import registry
from roadworthy.core.contract import Contract
from roadworthy.core.errors import NoCandidate, RoadworthyError, StepFailed
from roadworthy.core.evidence import Parity
from roadworthy.core.interfaces import SERVER
from roadworthy.core.isolation import isolate, unchanged
from roadworthy.core.samples import SampleSet, renamed
from roadworthy.core.stages import Candidate, Graph, Plan, Source, Verified
from roadworthy.core.types import Signature
from roadworthy.preprocess import names, spec

STEP_SECONDS = 600.0
CALIBRATION_SAMPLES = 200
RACE_SECONDS, RACE_FIELD, RACE_SHARE = 60.0, 12, 0.3
"""A race of up to so many contestants takes so long, a larger field longer in proportion: each needs its rounds to be trusted."""


@dataclass(frozen=True)
class Deployment:
    """What ``deploy`` leaves: the bundle's directory and all the evidence."""

    bundle: Path
    certificate: Certificate


def deploy(job: Job, notify: Notify = lambda progress: None) -> Deployment:
    """Carry one source all the way to a bundle.

    Raises SourceError, DataError, NoCandidate and their kin from ``core.errors``. However it ends, an interrupt
    included, no process is left running, and on failure nothing at ``job.output`` that was not there before.
    """
    started = time.monotonic()
    store.refuse_non_bundle(job.output)
    with opened((job,), notify) as shop:
        inputs = unchanged.inputs(job.code_files, job.data_files)
        source = identified(job, shop)
        supplied.refuse_unproven(job, source)
        contract = contract_of(job, source)
        loaded, data = load_original(source, job, contract, shop)
        inputs.refuse_changed()
        graphs, routes = capture_all(loaded.graph, data.evaluation, shop)
        signature = promised(loaded.signature, graphs)
        plans, unavailable = _plans(graphs, signature, data, job, shop)
        trial, baseline = reference_of(loaded.graph, signature, data, job, shop)
        data = replace(data, notes=(*data.notes, *classes.notes_on_answers(trial, data)))
        outcome = search(plans, graphs, trial, shop)
        targets = _by_target(outcome.verified)
        race = _race((baseline, *targets.pop(SERVER, ())), trial.samples, job, shop)
        others = {target: _race((baseline, *ones), trial.samples, job, shop) for target, ones in targets.items()}
        rejected = (*outcome.rejected, *(failed for one in (race, *others.values()) for failed in one.failed))
        if not any(job.allow_framework or not registry.facts(one.verified.candidate.plan.runtime).framework for one in race.measured):
            raise NoCandidate(nothing_left(race.measured, routes, rejected, unavailable, data.notes))
        goal = Goal(job.objective, trial.metric, trial.budget)
        choice = benchmark.in_words(benchmark.choose(race, goal, framework_allowed=job.allow_framework))
        unchanged.refuse_changed(source, shop.notes.notes)
        loaded = replace(loaded, notes=(*loaded.notes, *shop.notes.notes, *inputs.changed()))
        findings = Findings(
            source, loaded, data, graphs, routes, trial, baseline, goal, race, rejected, unavailable, choice, exports_of(others)
        )
        certificate = certificate_of(findings, job, shop.host, time.monotonic() - started)
        _pack(findings, certificate, contract, job, shop)
    return Deployment(job.output, certificate)


def opened(jobs: Sequence[Job], notify: Notify) -> AbstractContextManager[Workshop]:
    """A workshop for ``jobs``, with the limits of the first; no step of it may write where one of them reads."""
    first = jobs[0]
    code = tuple(folder for job in jobs for folder in job.code_folders)
    reads = tuple(path for job in jobs for path in (job.source, *job.code_files, *job.data_files))
    return workshop(seconds=first.seconds, step_seconds=STEP_SECONDS, memory_mb=first.memory_mb, notify=notify, code=code, reads=reads)


def identified(job: Job, shop: Workshop) -> Source:
    """The source, looked at in a child: a file that brings a parser down costs nobody else anything."""
    request = sources.IdentifyRequest(job.source, job.arch, job.trust, job.signature, job.outputs)
    return replace(shop, confinement=shop.confinement.at_home()).step(sources.identify_step, request, "identify")


def contract_of(job: Job, source: Source) -> Contract:
    """Both ends of the model; presets, and files that leave the layout open, take that of the source's framework."""
    contract = spec.read(job.preprocess, sources.layout(source)) if job.preprocess else Contract()
    return spec.with_labels(contract, job.labels) if job.labels else contract


def load_original(
    source: Source,
    job: Job,
    contract: Contract,
    shop: Workshop,
    *,
    given: dataset.Dataset | None = None,
    calibrate: int = CALIBRATION_SAMPLES,
) -> tuple[sources.Loaded, Data]:
    """The model, proven to be in inference mode on real samples where there are some, and the samples under its input names.

    ``given`` are samples that are there already, in place of the job's data; at most ``calibrate`` are put aside to calibrate with.
    """
    shop.notify(Progress("data", 0, 1))
    before = shop.confinement.listing()
    gathered = given or _gathered(source, job, contract, shop)
    samples = gathered.samples if gathered else supplied.pictures(contract, job.inputs, job, shop)
    shop.notify(Progress("data", 1, 1, f"{gathered.samples.count} samples" if gathered else "none given"))
    shop.notify(Progress("load", 0, 1))
    making = sources.Making(job.samples or sources.MADE, job.ranges, shop.folder("data/made"))
    request = sources.LoadRequest(source, job.inputs, samples, shop.folder("original"), job.allow_training, making)
    loaded = _loaded(request, shop)
    loaded = replace(loaded, notes=(*loaded.notes, *shop.confinement.written(before)))
    inputs = loaded.signature.inputs
    samples = samples or supplied.pictures(contract, inputs, job, shop) or loaded.samples
    samples = renamed(supplied.required(samples), tuple(one.name for one in inputs))
    dataset.check_inputs(samples, loaded.signature)
    supplied.check_ranges(samples, job.ranges)
    classes.refuse_wrong_classes(job, contract, replace(gathered, samples=samples) if gathered else None, loaded.signature)
    data = supplied.data(samples, gathered, loaded, calibrate, shop)
    supplied.refuse_unproven(job, source, data, loaded.graph.precision)
    shop.notify(Progress("load", 1, 1, f"{loaded.parameters:,} parameters"))
    answer = classes.named(contract, gathered)
    notes = (*data.notes, *(gathered.notes if gathered else ()), *classes.notes_on_names(answer.labels))
    return loaded, replace(data, notes=notes, answer=answer)


def _gathered(source: Source, job: Job, contract: Contract, shop: Workshop) -> dataset.Dataset | None:
    """The job's samples, if it has any; in a child where code of the user's gives them, which may take as long as the deployment."""
    if job.data is None:
        return None
    stated, ids = tuple(one.name for one in job.inputs), names.read(job.labels).ids if job.labels else ()
    request = dataset.GatherRequest(job.data, stated, contract, shop.folder("data/all"), job.samples, ids)
    if not dataset.is_code(request.data):
        return dataset.gather_step(request)
    patient = replace(shop, limits=replace(shop.limits, seconds=max(job.seconds, shop.limits.seconds)))
    gathered = patient.step(dataset.gather_step, request, "data")
    unchanged.refuse_changed(source, shop.notes.notes)
    return gathered


def _loaded(request: sources.LoadRequest, shop: Workshop) -> sources.Loaded:
    """The original, from a source that is as it was."""
    try:
        loaded = shop.step(sources.load, request, "load")
    except RoadworthyError:
        # A file that was changed meanwhile fails in any way; that it was changed is the reason.
        unchanged.refuse_changed(request.source, shop.notes.notes)
        raise
    unchanged.refuse_changed(request.source, shop.notes.notes)
    return loaded


def capture_all(original: Graph, samples: SampleSet, shop: Workshop) -> tuple[tuple[Graph, ...], tuple[TriedRoute, ...]]:
    """The original in every format. The first format's doubts reach the others, which do not wait for each other."""
    formats = capture.formats(original)
    if not formats:
        return (original,), ()
    shop.notify(Progress("capture", 0, len(formats)))

    def one(format: str, doubts: tuple[str, ...], exported: Path | None) -> capture.Captured:
        request = capture.CaptureRequest(original, format, samples, shop.folder(f"graphs/{format}"), doubts, exported)
        try:
            return shop.step(capture.capture, request, f"capture-{format}")
        except StepFailed as problem:
            return capture.Captured(None, (TriedRoute(format, "every route", problem.message, False),), doubts)

    first = one(formats[0], (), None)
    shop.notify(Progress("capture", 1, len(formats)))
    exported = first.graph.path if first.graph else None
    with ThreadPoolExecutor(max_workers=shop.host.cores) as pool:
        rest = [pool.submit(one, format, first.doubts, exported) for format in formats[1:]]
        captured = [first, *(shop.result(future) for future in rest)]
    shop.notify(Progress("capture", len(formats), len(formats)))
    graphs = tuple(one.graph for one in captured if one.graph)
    return (*graphs, original), tuple(route for one in captured for route in one.routes)


def promised(signature: Signature, graphs: tuple[Graph, ...]) -> Signature:
    """The signature that every graph keeps: the least of their proven limits. Larger calls are cut, for whichever wins."""
    limits = [graph.signature.max_batch for graph in graphs if graph.signature.batched and graph.signature.max_batch]
    return replace(signature, max_batch=min(limits)) if signature.batched and limits else signature


def _plans(
    graphs: tuple[Graph, ...], signature: Signature, data: Data, job: Job, shop: Workshop
) -> tuple[list[tuple[Plan, Graph]], tuple[str, ...]]:
    """Every plan to try but the original's own, which races as it is.

    A graph that holds for one batch size only gives plans of that size: larger calls are cut for it.
    """
    calibrated = data.calibration is not None
    planned = lower.plans_for(
        graphs, shop.host, runtimes=job.runtimes, precisions=job.precisions, calibrated=calibrated, unproven=data.unproven
    )
    as_it_is = baseline_of(graphs[-1], shop)
    plans: list[tuple[Plan, Graph]] = []
    for plan, graph in planned.plans:
        narrow = signature.batched and not graph.signature.batched
        fitted = replace(plan, batch=graph.signature.call_size(1)) if narrow else plan
        if (not job.plans or fitted.name in job.plans) and fitted not in (as_it_is, *(other for other, _ in plans)):
            plans.append((fitted, graph))
    return plans, planned.unavailable


def baseline_of(original: Graph, shop: Workshop) -> Plan:
    """How the original runs as it is, on every core."""
    return Plan(registry.runtime_for(original.format), original.precision, threads=shop.host.cores)


def reference_of(original: Graph, signature: Signature, data: Data, job: Job, shop: Workshop) -> tuple[Trial, Verified]:
    """The original's own answers, what every candidate is held against, and the original as a contestant of the race."""
    shop.notify(Progress("original", 0, 1))
    request = verify.ReferenceRequest(original, data.evaluation, shop.host.cores, shop.folder("reference"))
    reference = shop.step(verify.establish, request, "reference")
    read = classes.reading(data, reference, signature, job)
    reference = replace(reference, classes=read.seen)
    votes = read.classes and read.seen > 1
    metric = job.metric or ("top1" if data.evaluation.labelled else "agreement" if votes else "error")
    reserve = RACE_SHARE * job.seconds
    trial = Trial(data.calibration, data.evaluation, reference, signature, metric, job.max_drop, reserve, read.answer, read.binary)
    candidate = Candidate(baseline_of(original, shop), original.path, signature, original.format, original.size, 0.0)
    asked = verify.ScoreRequest(data.evaluation, reference, metric, job.max_drop, read.binary)
    score = shop.step(verify.score_original, asked, "score")
    parity = Parity(data.evaluation.count, (reference.batch,), 0.0, 0.0, 0.0, 1.0, 1.0 if votes else None, True)
    shop.notify(Progress("original", 1, 1, f"{score.metric} {score.value.value:.2%}"))
    return trial, Verified(candidate, parity, score)


def _by_target(verified: Sequence[Verified]) -> dict[str, tuple[Verified, ...]]:
    """``verified`` by the target of its runtime: each target has a race of its own."""
    targets: dict[str, tuple[Verified, ...]] = {}
    for one in verified:
        target = registry.facts(one.candidate.plan.runtime).target
        targets[target] = (*targets.get(target, ()), one)
    return targets


def _race(contestants: tuple[Verified, ...], samples: SampleSet, job: Job, shop: Workshop) -> benchmark.Race:
    wanted = RACE_SECONDS * max(1.0, len(contestants) / RACE_FIELD)
    seconds = min(wanted, max(shop.seconds_left, RACE_SHARE * job.seconds / 2))

    def tell(text: str, share: float) -> None:
        shop.notify(Progress("race", round(100 * share), 100, text))

    return benchmark.race(contestants, samples, budget_seconds=seconds, log_dir=shop.folder("race"), progress=tell)


def _pack(findings: Findings, certificate: Certificate, contract: Contract, job: Job, shop: Workshop) -> None:
    shop.notify(Progress("pack", 0, 1))
    contract = replace(contract, answer=findings.trial.answer)
    plans = (findings.choice.winner, findings.choice.fallback)
    by_name = {one.verified.candidate.plan.name: one.verified for one in findings.race.measured}
    request = package.PackRequest(
        certificate=certificate,
        contract=contract,
        version=job.version,
        variants=tuple(by_name[name] for name in plans if name),
        golden=findings.data.evaluation,
        answers=findings.trial.reference.open(),
        reproduce=reproductions(job, findings.rejected),
    )
    package.pack(request, job.output, partial(_opened_by_a_server, shop))
    shop.notify(Progress("pack", 1, 1))


def _opened_by_a_server(shop: Workshop, root: Path) -> Acceptance:
    """The new bundle at ``root``, opened in a fresh process. That is the server's own code, which nothing here imports."""
    log = shop.folder("logs/accept.log")
    return isolate.call_named(
        "roadworthy.serving.engine.acceptance:accept", AcceptanceRequest(root), Acceptance, limits=shop.limits, log=log
    )
