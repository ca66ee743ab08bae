"""Every plan carried out and verified: several at a time, each in its own processes, so that no failure reaches another plan."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TypeVar

from roadworthy.build import imports, lower, verify
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core import registry
from roadworthy.core.errors import OutOfSpace, RoadworthyError
from roadworthy.core.isolation import isolate
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Graph, Plan, Rejected, Verified
from roadworthy.core.types import Signature
from roadworthy.preprocess.contract import Answer

A = TypeVar("A")


@dataclass(frozen=True)
class Trial:
    """What every candidate is verified with: samples, the original's answers, the metric and its budget (in the metric's units).

    ``signature`` is what the deployment promises. ``reserve`` is the part of the time budget that is kept for the race, in seconds.
    ``answer`` says how the first output is read, and ``reading`` how the answers are held against the targets. The first ``choosing``
    samples choose among the candidates; ``None``: all do.
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

    def request(self, candidate: Candidate) -> verify.VerifyRequest:
        """What ``candidate`` is verified with."""
        return verify.VerifyRequest(
            candidate, self.samples, self.reference, self.metric, self.budget, reading=self.reading, choosing=self.choosing
        )


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
    stopping = threading.Event()
    workspace.notify(Progress("candidates", 0, len(planned)))
    notify = workspace.notify
    workspace = replace(
        workspace,
        deadline=workspace.deadline - trial.reserve,
        done=lambda words: notify(Progress("candidates", len(results), len(planned), words)),
    )
    with ThreadPoolExecutor(max_workers=workspace.host.cores) as pool:
        try:
            turns = _in_turn(list(artefacts.values()))
            pending = [pool.submit(_try_artefact, plans, graphs, trial, workspace, stopping) for plans in turns]
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
    planned: list[tuple[Plan, Graph]], graphs: tuple[Graph, ...], trial: Trial, workspace: Workspace, stopping: threading.Event
) -> list[Verified | Rejected]:
    """Every plan of one artefact. Those that fail from one graph are tried from the next; the reason names both where that fails too."""
    plan, graph = planned[0]
    results = _try_graph([plan for plan, _ in planned], graph, trial, workspace, stopping)
    for other in lower.others(plan, graph, graphs):
        failed = [result for result in results if isinstance(result, Rejected) and not _by_its_metric(result)]
        if not failed or stopping.is_set() or not workspace.seconds_left:
            break
        again = {_plan(result).name: result for result in _try_graph([result.plan for result in failed], other, trial, workspace, stopping)}
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


def _try_graph(plans: list[Plan], graph: Graph, trial: Trial, workspace: Workspace, stopping: threading.Event) -> list[Verified | Rejected]:
    plan = plans[0]
    if stopping.is_set() or not workspace.seconds_left:
        return [Rejected(plan, "lower", "the time budget was spent before its turn") for plan in plans]
    out = workspace.folder(f"candidates/{graph.format}/{plan.artefact}")
    try:
        request = lower.LowerRequest(graph, plan, trial.calibration, out)
        candidate = workspace.step(lower.lower, request, f"lower-{graph.format}-{plan.artefact}", imports.to_lower(graph, plan))
    except OutOfSpace:
        raise
    except RoadworthyError as problem:
        return [Rejected(plan, "lower", problem.message, problem.detail) for plan in plans]
    return [_verify(replace(candidate, plan=plan, signature=trial.signature), trial, workspace) for plan in plans]


def _verify(candidate: Candidate, trial: Trial, workspace: Workspace) -> Verified | Rejected:
    return verdict(verify.verify, trial.request(candidate), candidate.plan, f"verify-{candidate.plan.name}", workspace)


def verdict(function: Callable[[A], verify.VerifyOutcome], asked: A, plan: Plan, name: str, workspace: Workspace) -> Verified | Rejected:
    """``function(asked)`` about the candidate of ``plan``, as the step ``name``; a step that fails rejects it. Raises OutOfSpace."""
    named = replace(workspace, done=lambda words: workspace.done(f"{plan.name}: {words}"))
    try:
        outcome = named.step(function, asked, name, imports.to_run(plan))
    except OutOfSpace:
        raise
    except RoadworthyError as problem:
        return Rejected(plan, "verify", verify.explained(problem), problem.detail)
    return outcome.verified or outcome.rejected or Rejected(plan, "verify", "gave no outcome")


def _plan(result: Verified | Rejected) -> Plan:
    return result.candidate.plan if isinstance(result, Verified) else result.plan


def _line(result: Verified | Rejected) -> str:
    if isinstance(result, Rejected):
        return f"{result.plan.name} rejected: {result.reason}"
    return f"{result.candidate.plan.name} verified"
