"""The forms of one target: made, verified and, where the target itself ran, timed; one of them is chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace

from roadworthy.build import lower, races
from roadworthy.build.choice import choose
from roadworthy.build.exporting.job import ExportJob
from roadworthy.build.exporting.packed import PackedModel
from roadworthy.build.search import Trial, search
from roadworthy.build.workspace import Workspace
from roadworthy.bundle.certificate import Goal
from roadworthy.bundle.manifest import Manifest, Variant
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, EnvironmentFault, NoCandidate
from roadworthy.core.evidence import Timing
from roadworthy.core.stages import Candidate, Rejected, Verified

UNPROVEN = (
    "a bundle's golden samples are too few to prove another precision on: name the target with --export when you deploy, or give --data"
)


@dataclass(frozen=True)
class TargetForm:
    """One form that gives the original's answers; ``timing`` is ``None`` where the target itself did not run."""

    verified: Verified
    timing: Timing | None = None


@dataclass(frozen=True)
class Chosen:
    """The ``best`` form for ``reasons``, the ``others`` that passed, and those that were refused."""

    best: TargetForm
    reasons: tuple[str, ...]
    others: tuple[TargetForm, ...]
    rejected: tuple[Rejected, ...]


def chosen_form(job: ExportJob, model: PackedModel, trial: Trial, workspace: Workspace) -> Chosen:
    """The best form of the target.

    Raises EnvironmentFault where this machine cannot make any, NoCandidate where none was made or none gives the answers.
    """
    backend = registry.backend_of(job.target)
    planned = lower.plans_for(
        model.graphs, workspace.host, runtimes=(backend,), precisions=job.precisions, calibrated=trial.calibration is not None,
        unproven="" if trial.calibration is not None else UNPROVEN,
    )  # fmt: skip
    forms = [(plan, graph) for plan, graph in planned.plans if not job.forms or plan.flavour in job.forms]
    forms = [(lower.fitted(plan, graph, model.manifest.signature), graph) for plan, graph in forms]
    if not forms:
        raise _nothing_planned(job, planned.unavailable, [plan.flavour for plan, _ in planned.plans])
    found = search(forms, model.graphs, trial, workspace)
    if not found.verified:
        raise _nothing_passed(job, found.rejected)
    if not registry.facts(backend).on_target:
        first, *rest = found.verified
        return Chosen(
            TargetForm(first),
            ("It is the first form that gives the original's answers; the forms of this target are not timed.",),
            tuple(map(TargetForm, rest)),
            found.rejected,
        )
    return _timed(job, model, found.verified, found.rejected, trial, workspace)


def _timed(
    job: ExportJob, model: PackedModel, verified: tuple[Verified, ...], rejected: tuple[Rejected, ...], trial: Trial, workspace: Workspace
) -> Chosen:
    race = races.race_for(job.target, (_served(model), *verified), trial, workspace)
    goal = Goal(trial.objective, trial.metric, trial.budget)
    choice, race = choose(race, goal, trial, workspace, framework_allowed=True, target=job.target)
    rejected = (*rejected, *race.failed)
    if choice is None:
        raise _nothing_passed(job, rejected)
    forms = {one.verified.candidate.plan.name: TargetForm(one.verified, one.timing) for one in race.measured[1:]}
    best = forms.pop(choice.winner)
    return Chosen(best, choice.reasons, tuple(forms.values()), rejected)


def _served(model: PackedModel) -> Verified:
    """The first variant of the bundle that runs here, beside which the forms are timed."""
    variant, certificate = _runnable(model.manifest), model.certificate
    known = {one.verified.candidate.plan.name: one.verified for one in (certificate.baseline, *certificate.measured)}
    path = model.root / variant.path
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return replace(known[variant.name], candidate=Candidate(variant.plan, path, model.manifest.signature, "", size, 0.0))


def _runnable(manifest: Manifest) -> Variant:
    missing: BackendMissing | None = None
    for variant in manifest.variants:
        try:
            registry.require(variant.plan.runtime)
            return variant
        except BackendMissing as problem:
            missing = missing or problem
    raise missing or BackendMissing("the bundle has no variant")


def _nothing_planned(job: ExportJob, unavailable: tuple[str, ...], flavours: list[str]) -> EnvironmentFault | NoCandidate:
    if flavours:
        return NoCandidate(f"{job.target} has no form {', '.join(job.forms)} here; choose from {', '.join(sorted(set(flavours)))}")
    words = "; ".join(unavailable) or "it has no plan for this model"
    return EnvironmentFault(f"{job.target}: {words}") if unavailable else NoCandidate(f"{job.target}: {words}")


def _nothing_passed(job: ExportJob, rejected: tuple[Rejected, ...]) -> NoCandidate:
    lines = dict.fromkeys(f"{one.plan.name}: {one.reason}" for one in rejected)
    details = "\n\n".join(one.detail for one in rejected if one.detail)
    return NoCandidate(f"nothing that could be made for {job.target} is left. " + "; ".join(lines), detail=details)
