"""The races: the candidates for a server, of which one is chosen to be served, and those for one other target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from roadworthy.build import benchmark
from roadworthy.build.job import Job
from roadworthy.build.search import Trial
from roadworthy.build.time_budget import CLOSING
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core import registry
from roadworthy.core.stages import Plan, Rejected, Verified

RACE_SECONDS, RACE_CANDIDATES = 60.0, 12
"""A race of up to so many candidates takes so long at most, a larger one longer in proportion: each is loaded and has its first rounds."""
LOADING_SHARE, WARM_SECONDS = 0.5, 0.5
"""Starting the candidates may take this share of a race's time; each warms up for about so many seconds after it is open."""


def race_to_serve(candidates: Sequence[Verified], trial: Trial, job: Job, workspace: Workspace) -> benchmark.Race:
    """Time ``candidates``, the original first."""
    available = max(0.0, workspace.seconds_left - CLOSING * job.seconds)
    return _race("race", candidates, trial, lambda plan: _may_serve(plan, job), available, workspace)


def race_for(target: str, candidates: Sequence[Verified], trial: Trial, workspace: Workspace) -> benchmark.Race:
    """Time the candidates for ``target`` beside the first of ``candidates``, which is one for a server."""
    return _race(
        f"race, {target}", candidates, trial, lambda plan: registry.facts(plan.runtime).target == target, workspace.seconds_left, workspace
    )


def _race(
    stage: str, candidates: Sequence[Verified], trial: Trial, may_win: Callable[[Plan], bool], available: float, workspace: Workspace
) -> benchmark.Race:
    # They would take memory from the candidates.
    workspace.templates.close()
    wanted = RACE_SECONDS * max(1.0, len(candidates) / RACE_CANDIDATES)
    candidates, left_out = contestants(candidates, available)

    def tell(text: str, share: float) -> None:
        workspace.notify(Progress(stage, round(100 * share), 100, text))

    workspace.begin(stage, 100)
    race = benchmark.race(
        candidates,
        trial.samples,
        benchmark.Aim(trial.objective, may_win),
        budget_seconds=min(wanted, available),
        limited=available < wanted,
        log_dir=workspace.folder(stage.replace(", ", "/")),
        progress=tell,
    )
    return replace(race, failed=(*race.failed, *left_out))


def contestants(candidates: Sequence[Verified], seconds: float) -> tuple[tuple[Verified, ...], tuple[Rejected, ...]]:
    """Those of ``candidates`` (the original first) that can be started in a race of ``seconds``, and those that it has no time for.

    The fastest at first sight come first, after one that can be the fallback; those that need a training framework, last. All stay where
    no first look tells them apart.
    """
    original, *others = candidates
    if not all(one.look for one in others):
        return tuple(candidates), ()
    ranked = sorted(others, key=lambda one: (registry.facts(one.candidate.plan.runtime).framework, one.look.ms if one.look else 0.0))
    fallback = next((one for one in ranked if benchmark.is_universal(one.candidate.plan, registry.facts(one.candidate.plan.runtime))), None)
    ranked.sort(key=lambda one: one is not fallback)
    spent, kept = 0.0, [original]
    for one in ranked:
        spent += (one.look.opened if one.look else 0.0) + WARM_SECONDS
        # The fallback and the fastest run in any case.
        if spent > LOADING_SHARE * seconds and len(kept) > 2:
            break
        kept.append(one)
    left_out = [one for one in others if one not in kept]
    return (
        tuple(one for one in candidates if one in kept),
        tuple(map(_without_a_race, left_out)),
    )


def _without_a_race(one: Verified) -> Rejected:
    ms = f"; at first sight a sample took {one.look.ms:.3g} ms, and others were faster" if one.look else ""
    reason = f"verified, but the time budget had no time left to race it{ms}"
    return Rejected(one.candidate.plan, "time budget", reason, parity=one.parity, score=one.score, look=one.look)


def can_be_chosen(candidates: Sequence[Verified], job: Job) -> bool:
    """Whether one of ``candidates`` may serve."""
    return any(_may_serve(one.candidate.plan, job) for one in candidates)


def _may_serve(plan: Plan, job: Job) -> bool:
    return job.allow_framework or not registry.facts(plan.runtime).framework
