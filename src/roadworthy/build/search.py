"""Every plan carried out and verified: several artefacts at a time, each in its own processes, so that no failure reaches another."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TypeVar

from roadworthy.build import imports, lower, verify
from roadworthy.build.job import Objective
from roadworthy.build.leaders import Leaders
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core import registry
from roadworthy.core.errors import OutOfSpace, RoadworthyError
from roadworthy.core.isolation import isolate
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Graph, Plan, Rejected, Verified
from roadworthy.core.types import Signature
from roadworthy.preprocess.contract import Answer

A = TypeVar("A")

LOOKS: dict[Objective, tuple[int, ...]] = {"latency": (1,), "throughput": (1, 8, 32), "size": (), "memory": ()}
"""The batch sizes at which a candidate is looked at first, by what the best is chosen by: a slow one may still be the smallest."""


@dataclass(frozen=True)
class Trial:
    """What every candidate is verified with: samples, the original's answers, the metric and its budget (in the metric's units).

    ``signature`` is what the deployment promises. ``reserve`` is the part of the time budget that is kept for the race, in seconds.
    ``answer`` says how the first output is read, and ``reading`` how the answers are held against the targets. The first ``choosing``
    samples choose among the candidates; ``None``: all do. ``objective`` says by what the best is chosen; with ``keep``
    none is left out for being slow, because the user asked for it by name.
    """

    calibration: SampleSet | None
    samples: SampleSet
    reference: verify.Reference
    signature: Signature
    metric: str
    budget: float
    reserve: float
    answer: Answer = field(default_factory=Answer)
    reading: verify.Reading = field(default_factory=verify.Reading)
    choosing: int | None = None
    objective: Objective = "latency"
    keep: bool = False

    def request(self, candidate: Candidate, leader: verify.Leader | None = None) -> verify.VerifyRequest:
        """What ``candidate`` is verified with; it leaves at its first look where ``leader`` is far faster."""
        return verify.VerifyRequest(
            candidate, self.samples, self.reference, self.metric, self.budget, reading=self.reading, choosing=self.choosing,
            look=LOOKS[self.objective], leader=leader,
        )  # fmt: skip


@dataclass(frozen=True)
class SearchResult:
    """Every plan is in one of the two, in the order in which the plans were given."""

    verified: tuple[Verified, ...]
    rejected: tuple[Rejected, ...]


def search(planned: Sequence[tuple[Plan, Graph]], graphs: tuple[Graph, ...], trial: Trial, workspace: Workspace) -> SearchResult:
    """Lower each artefact once and verify every plan that loads it; where its graph fails, from the next of ``graphs`` that will do.

    Nothing here is timed, so several run at once. An interrupt stops all of them; a full disk ends the search (OutOfSpace). Any other
    failure rejects only the plans of one artefact.
    """
    artefacts: dict[str, list[tuple[Plan, Graph]]] = {}
    for plan, graph in planned:
        artefacts.setdefault(plan.artefact, []).append((plan, graph))
    results: dict[str, Verified | Rejected] = {}
    stopping, leaders = threading.Event(), Leaders(keep=trial.keep)
    workspace.begin("candidates", len(planned))
    notify = workspace.notify
    workspace = replace(
        workspace,
        deadline=workspace.deadline - trial.reserve,
        done=lambda words: notify(Progress("candidates", len(results), len(planned), words)),
    )
    with ThreadPoolExecutor(max_workers=workspace.host.cores) as pool:
        try:
            turns = _in_turn(list(artefacts.values()))
            pending = [pool.submit(_try_artefact, plans, graphs, trial, workspace, leaders, stopping) for plans in turns]
            for finished in as_completed(pending):
                for result in finished.result():
                    results[_plan(result).name] = result
                    workspace.notify(Progress("candidates", len(results), len(planned), _line(result)))
        except BaseException:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            isolate.stop_all()
            raise
    ordered = [results[plan.name] for plan, _ in planned]
    return SearchResult(
        tuple(result for result in ordered if isinstance(result, Verified)),
        tuple(result for result in ordered if isinstance(result, Rejected)),
    )


def baseline_of(original: Graph, workspace: Workspace) -> Plan:
    """How the original runs as it is, on every core."""
    return Plan(registry.runtime_for(original.format), original.precision, threads=workspace.host.cores)


def _in_turn(artefacts: list[list[tuple[Plan, Graph]]]) -> list[list[tuple[Plan, Graph]]]:
    """The simplest artefact of every runtime first, then the second of each: a short time budget leaves out no runtime."""
    seen: Counter[str] = Counter()
    turns = []
    for planned in artefacts:
        runtime = planned[0][0].runtime
        turns.append((seen[runtime], planned))
        seen[runtime] += 1
    return [planned for _, planned in sorted(turns, key=lambda turn: turn[0])]


def _try_artefact(
    planned: list[tuple[Plan, Graph]],
    graphs: tuple[Graph, ...],
    trial: Trial,
    workspace: Workspace,
    leaders: Leaders,
    stopping: threading.Event,
) -> list[Verified | Rejected]:
    """Every plan of one artefact. Those that fail from one graph are tried from the next; the reason names both where that fails too."""
    plan, graph = planned[0]
    results = _try_graph([plan for plan, _ in planned], graph, trial, workspace, leaders, stopping)
    for other in lower.others(plan, graph, graphs):
        failed = [result for result in results if isinstance(result, Rejected) and not (result.left_out or _by_its_metric(result))]
        if not failed or stopping.is_set() or not workspace.seconds_left:
            break
        plans = [result.plan for result in failed]
        again = {_plan(result).name: result for result in _try_graph(plans, other, trial, workspace, leaders, stopping)}
        results = [
            _second(result, again, other) if isinstance(result, Rejected) and _plan(result).name in again else result for result in results
        ]
    return results


def _by_its_metric(result: Rejected) -> bool:
    """Whether a plan that is meant to differ differs too much: from another graph of the same function it would do so again."""
    return result.stage == "verify" and result.plan.lossy


def _second(first: Rejected, again: dict[str, Verified | Rejected], graph: Graph) -> Verified | Rejected:
    result = again[first.plan.name]
    if isinstance(result, Verified):
        return result
    return replace(first, reason=f"{first.reason}; and made from the {graph.format} graph: {result.reason}")


def _try_graph(
    plans: list[Plan], graph: Graph, trial: Trial, workspace: Workspace, leaders: Leaders, stopping: threading.Event
) -> list[Verified | Rejected]:
    """``plans``, which run the same files, from ``graph``: the files are made once and opened for each plan in turn."""
    if stopping.is_set() or not workspace.seconds_left:
        return [Rejected(plan, "time budget", "the time budget ended before its turn") for plan in plans]
    try:
        candidate = replace(_lowered(plans[0], graph, trial, workspace), signature=trial.signature)
    except OutOfSpace:
        raise
    except RoadworthyError as problem:
        return [Rejected(plan, "lower", problem.message, problem.detail) for plan in plans]
    results = _verify(candidate, plans, trial, leaders, workspace)
    leaders.add(results)
    return results


def _lowered(plan: Plan, graph: Graph, trial: Trial, workspace: Workspace) -> Candidate:
    """The files that ``plan`` runs, made from ``graph``."""
    out = workspace.folder(f"candidates/{graph.format}/{plan.artefact}")
    request = lower.LowerRequest(graph, plan, trial.calibration, out)
    return workspace.reusable(lower.lower, request, f"lower-{graph.format}-{plan.artefact}", imports.to_lower(graph, plan))


def _verify(candidate: Candidate, plans: list[Plan], trial: Trial, leaders: Leaders, workspace: Workspace) -> list[Verified | Rejected]:
    """Every one of ``plans`` in one process; where that ends without an answer, each in a process of its own."""
    first, *others = plans
    asked = trial.request(replace(candidate, plan=first), leaders.of(first))
    try:
        request, name = verify.PlansRequest(asked, tuple(others)), f"verify-{first.name}"
        outcomes = _told(workspace, first).step(verify.verify_plans, request, name, imports.to_run(first)).outcomes
    except OutOfSpace:
        raise
    except RoadworthyError as problem:
        if not others:
            return [Rejected(first, "verify", verify.explained(problem), problem.detail)]
        return [result for plan in plans for result in _verify(candidate, [plan], trial, leaders, workspace)]
    return [_result(outcome, plan) for plan, outcome in zip(plans, outcomes, strict=True)]


def verdict(function: Callable[[A], verify.VerifyOutcome], asked: A, plan: Plan, name: str, workspace: Workspace) -> Verified | Rejected:
    """``function(asked)`` about the candidate of ``plan``, as the step ``name``; a step that fails rejects it. Raises OutOfSpace."""
    try:
        outcome = _told(workspace, plan).step(function, asked, name, imports.to_run(plan))
    except OutOfSpace:
        raise
    except RoadworthyError as problem:
        return Rejected(plan, "verify", verify.explained(problem), problem.detail)
    return _result(outcome, plan)


def _result(outcome: verify.VerifyOutcome, plan: Plan) -> Verified | Rejected:
    return outcome.verified or outcome.rejected or Rejected(plan, "verify", "gave no outcome")


def _told(workspace: Workspace, plan: Plan) -> Workspace:
    """``workspace`` whose steps say which plan they are about."""
    return replace(workspace, done=lambda words: workspace.done(f"{plan.name}: {words}"))


def _plan(result: Verified | Rejected) -> Plan:
    return result.candidate.plan if isinstance(result, Verified) else result.plan


def _line(result: Verified | Rejected) -> str:
    if isinstance(result, Rejected):
        return f"{result.plan.name} rejected: {result.reason}"
    return f"{result.candidate.plan.name} verified"
