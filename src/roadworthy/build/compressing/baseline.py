"""The uncompressed model's fastest plans, and smaller models timed beside them on the real runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roadworthy.build import benchmark, imports, lower
from roadworthy.build.benchmark import Beside
from roadworthy.build.graphs import capture_all
from roadworthy.build.job import Job
from roadworthy.build.search import SearchResult, Trial, search
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core import registry
from roadworthy.core.errors import NoCandidate, RoadworthyError
from roadworthy.core.stages import Candidate, Graph, Plan

LONGEST_TO_MAKE = 10.0
"""Plans whose files take longer to make, in seconds, are left to the search."""
PLANS = 2
"""The plans of different runtimes, the fastest first, that smaller models are tried with."""
SECONDS = 20.0
"""About how long candidates are timed beside each other."""


@dataclass(frozen=True)
class BaselinePlans:
    """``fastest`` are candidates of the uncompressed model, the fastest of each runtime; ``trial`` judges on validation samples."""

    fastest: tuple[Candidate, ...]
    trial: Trial
    job: Job
    workspace: Workspace

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Those of ``fastest``."""
        return tuple(one.plan.runtime for one in self.fastest)

    def made(self, graphs: tuple[Graph, ...], name: str) -> tuple[Candidate, ...]:
        """The plans of ``fastest`` carried out for the smaller model ``graphs``; a plan that cannot be carried out is left out."""
        found = []
        for one in self.fastest:
            graph = next((graph for graph in graphs if graph.format == one.graph), None)
            if graph is not None:
                found.append(_lowered(one.plan.made_from(graph), graph, self.trial, self.workspace, name))
        return tuple(one for one in found if one)

    def beside(self, smaller: Sequence[Candidate], name: str) -> tuple[Beside, ...]:
        """``smaller`` timed beside the fastest of ``fastest``; what fails is left out."""

        def tell(text: str, share: float) -> None:
            self.workspace.notify(Progress("compress", 0, 1, f"{name}: {text}"))

        log = self.workspace.folder(f"timed/{name}")
        return benchmark.side_by_side(self.fastest, smaller, self.trial.samples, seconds=SECONDS, log_dir=log, progress=tell)

    def judged(self, graphs: tuple[Graph, ...], precision: str = "fp32") -> SearchResult:
        """The plans of a smaller model on the validation samples: those within the budget, and the others."""
        plans = _plans(graphs, self.job, self.workspace, precision)
        plans = [(plan, graph) for plan, graph in plans if plan.runtime in self.runtimes]
        return search(plans, graphs, self.trial, self.workspace)


def captured(model: Graph, baseline: BaselinePlans, workspace: Workspace, runtimes: tuple[str, ...]) -> tuple[Graph, ...]:
    """A smaller model in the formats that ``runtimes`` take, all formats where none are named, each named after the model."""
    graphs, _ = capture_all(model, baseline.trial.samples, workspace, (), runtimes)
    return tuple(replace(graph, derived_from=model.derived_from, compression=model.compression) for graph in graphs[:-1])


def baseline_plans(graphs: tuple[Graph, ...], trial: Trial, job: Job, workspace: Workspace) -> BaselinePlans:
    """The baseline with the fastest plans of the uncompressed model, ``graphs``, by their first look.

    Raises NoCandidate where none that may serve gives the original's answers.
    """
    plans = _plans(graphs, job, workspace, "fp32")
    found = search(plans, graphs, trial, workspace)
    ranked = sorted(found.verified, key=lambda one: one.look.ms if one.look else 0.0)
    best: dict[str, Candidate] = {}
    for one in ranked:
        best.setdefault(one.candidate.plan.runtime, one.candidate)
    if not best:
        raise NoCandidate("no plan in float32 gives the original's answers, so nothing smaller can be timed beside it")
    return BaselinePlans(tuple(best.values())[:PLANS], trial, job, workspace)


def _plans(graphs: tuple[Graph, ...], job: Job, workspace: Workspace, precision: str) -> list[tuple[Plan, Graph]]:
    """The plans in ``precision`` that are made quickly and may serve."""
    planned = lower.plans_for(graphs, workspace.host, runtimes=job.runtimes, precisions=(precision,), calibrated=precision == "int8")
    return [
        (plan, graph)
        for plan, graph in planned.plans
        if lower.seconds_to_make(plan) <= LONGEST_TO_MAKE
        and (job.allow_framework or not registry.facts(plan.runtime).framework)
        and not (plan.spin or plan.options)
    ]


def _lowered(plan: Plan, graph: Graph, trial: Trial, workspace: Workspace, name: str) -> Candidate | None:
    out = workspace.folder(f"cuts/{name}/{plan.artefact}")
    request = lower.LowerRequest(graph, plan, trial.calibration, out)
    try:
        made = workspace.reusable(lower.lower, request, f"lower-{name}-{plan.artefact}", imports.to_lower(graph, plan))
    except RoadworthyError:
        return None
    return replace(made, signature=trial.signature)
