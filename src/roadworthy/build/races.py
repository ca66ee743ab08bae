"""One race for each target: the candidates for a server, of which one is chosen to be served, and those for anywhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roadworthy.build import benchmark
from roadworthy.build.job import Job
from roadworthy.build.search import Trial
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core import registry
from roadworthy.core.interfaces import SERVER
from roadworthy.core.stages import Rejected, Verified

RACE_SECONDS, RACE_CANDIDATES, RACE_SHARE = 60.0, 12, 0.3
"""A race of up to so many candidates takes so long, a larger one longer in proportion, because each needs its rounds to be trusted.

``RACE_SHARE`` is the share of a deployment's time that is reserved for the races.
"""


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
    seconds = min(wanted, max(workspace.seconds_left, RACE_SHARE * job.seconds / 2))
    stage = "race" if target == SERVER else f"race, {target}"

    def tell(text: str, share: float) -> None:
        workspace.notify(Progress(stage, round(100 * share), 100, text))

    workspace.begin(stage, 100)
    log_dir = workspace.folder(f"race/{target}")
    return benchmark.race(candidates, trial.samples, budget_seconds=seconds, log_dir=log_dir, progress=tell)
