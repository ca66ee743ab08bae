"""One race for each target: the candidates for a server, of which one is chosen to be served, and those for anywhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from roadworthy.build import benchmark
from roadworthy.build.job import Job
from roadworthy.build.search import Trial
from roadworthy.build.time_budget import CLOSING
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core import registry
from roadworthy.core.interfaces import SERVER
from roadworthy.core.stages import Plan, Rejected, Verified

RACE_SECONDS, RACE_CANDIDATES = 60.0, 12
"""A race of up to so many candidates takes so long at most, a larger one longer in proportion: each is loaded and has its first rounds."""
LOADING_SHARE, WARM_SECONDS = 0.5, 0.5
"""Starting the candidates may take this share of a race's time; each warms up for about so many seconds after it is open."""


@dataclass(frozen=True)
class Races:
    """The race of the candidates for a server, and those for the other targets by name; the original is first in each."""

    server: benchmark.Race
    others: Mapping[str, benchmark.Race]

    @property
    def failed(self) -> tuple[Rejected, ...]:
        """What failed while it was timed."""
        return tuple(failed for race in (self.server, *self.others.values()) for failed in race.failed)


def race_by_target(original: Verified, verified: Sequence[Verified], trial: Trial, job: Job, workspace: Workspace) -> Races:
    """Time the candidates for each target beside ``original``; only those for a server compete to be served."""
    # They would take memory from the candidates.
    workspace.templates.close()
    targets: dict[str, list[Verified]] = {SERVER: []}
    for one in verified:
        targets.setdefault(registry.facts(one.candidate.plan.runtime).target, []).append(one)
    races = {target: _race(target, (original, *candidates), trial, job, workspace) for target, candidates in targets.items()}
    return Races(races.pop(SERVER), races)


def _race(target: str, candidates: Sequence[Verified], trial: Trial, job: Job, workspace: Workspace) -> benchmark.Race:
    wanted = RACE_SECONDS * max(1.0, len(candidates) / RACE_CANDIDATES)
    available = max(0.0, workspace.seconds_left - CLOSING * job.seconds)
    candidates, left_out = contestants(candidates, available)
    stage = "race" if target == SERVER else f"race, {target}"

    def tell(text: str, share: float) -> None:
        workspace.notify(Progress(stage, round(100 * share), 100, text))

    def may_win(plan: Plan) -> bool:
        return _may_serve(plan, job) if target == SERVER else registry.facts(plan.runtime).target == target

    workspace.begin(stage, 100)
    race = benchmark.race(
        candidates,
        trial.samples,
        benchmark.Aim(job.objective, may_win),
        budget_seconds=min(wanted, available),
        limited=available < wanted,
        log_dir=workspace.folder(f"race/{target}"),
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
    facts = registry.facts(plan.runtime)
    return facts.target == SERVER and (job.allow_framework or not facts.framework)
