"""Every plan carried out and verified: several artefacts at a time, each in its own processes, so that no failure reaches another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TypeVar

from roadworthy.build import imports, lower, verify
from roadworthy.build.job import Objective
from roadworthy.build.search.leaders import Leaders
from roadworthy.build.search.turns import Artefact, Turns, in_order
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core import registry
from roadworthy.core.errors import OutOfSpace, OutOfTime, RoadworthyError
from roadworthy.core.isolation import isolate
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Graph, Plan, Rejected, Verified
from roadworthy.core.types import Signature
from roadworthy.preprocess.contract import Answer

A = TypeVar("A")

UNTIL_ONE_PASSED = 0.7
"""The share of ``Trial.reserve`` that the search leaves to the race in any case; it takes the rest where nothing has passed yet."""

LOOKS: dict[Objective, tuple[int, ...]] = {"latency": (1,), "throughput": (1, 8, 32), "size": (), "memory": ()}
"""The batch sizes at which a candidate is looked at first, by what the best is chosen by: a slow one may still be the smallest."""


@dataclass(frozen=True)
class Trial:
    """What every candidate is verified with: samples, the original's answers, the metric and its budget (in the metric's units).

    ``signature`` is what the deployment promises. ``reserve`` is the part of the time budget that is kept for what follows, in seconds.
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

    Several run at once: nothing here is timed but a first look, which allows for that. An interrupt stops all of them; a full disk ends
    the search (OutOfSpace). Any other failure rejects only the plans of one artefact.
    """
    found = _Search(len(planned), graphs, trial, workspace)
    artefacts: dict[str, list[tuple[Plan, Graph]]] = {}
    for plan, graph in planned:
        artefacts.setdefault(plan.artefact, []).append((plan, graph))
    grouped = [
        Artefact(tuple(plan for plan, _ in group), group[0][1], lower.seconds_to_make(group[0][0]), lower.repaired(group[0][0]))
        for group in artefacts.values()
    ]
    turns = Turns(in_order(grouped), workspace.host.cores, found.leaders.passed)
    workers = [lambda: found.work(turns)] * workspace.host.cores
    with ThreadPoolExecutor(max_workers=workspace.host.cores) as pool:
        try:
            for finished in as_completed([pool.submit(work) for work in workers]):
                finished.result()
        except BaseException:
            found.stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            isolate.stop_all()
            raise
    for artefact in turns.not_needed:
        found.results |= {plan.name: _not_needed(plan, artefact) for plan in artefact.plans}
    ordered = [found.results[plan.name] for plan, _ in planned]
    return SearchResult(
        tuple(result for result in ordered if isinstance(result, Verified)),
        tuple(result for result in ordered if isinstance(result, Rejected)),
    )


def baseline_of(original: Graph, workspace: Workspace) -> Plan:
    """How the original runs as it is, on every core."""
    plan = Plan(registry.runtime_for(original.format), original.precision, threads=workspace.host.cores)
    return replace(plan, unfolded=original.unfolded)


class _Search:
    """One search of ``count`` plans, whose threads share the results, the leaders and the time."""

    def __init__(self, count: int, graphs: tuple[Graph, ...], trial: Trial, workspace: Workspace) -> None:
        self.results: dict[str, Verified | Rejected] = {}
        self.leaders = Leaders(keep=trial.keep)
        self.stopping = threading.Event()
        self._count, self._graphs, self._trial, self._workspace = count, graphs, trial, workspace
        workspace.begin("candidates", count)

    def work(self, turns: Turns) -> None:
        """One thread: an artefact after another, until there are none."""
        while not self.stopping.is_set() and (artefact := turns.next()) is not None:
            results: list[Verified | Rejected] = []
            try:
                results = self._try(artefact)
            finally:
                turns.done(
                    artefact, failed=bool(results) and all(isinstance(result, Rejected) and not result.left_out for result in results)
                )
            for result in results:
                self.results[_plan(result).name] = result
                self._tell(_line(result))

    def _try(self, artefact: Artefact) -> list[Verified | Rejected]:
        """Every plan of one artefact. Those that fail from one graph are tried from the next; the reason names both where both fail."""
        left = self._within.seconds_left
        if not left or left < artefact.seconds:
            reason = f"it takes about {artefact.seconds:.0f} s to make, and the time budget had {left:.0f} s left for it"
            reason = reason if left else "the time budget ended before its turn"
            return [Rejected(plan, "time budget", reason) for plan in artefact.plans]
        results = self._from_graph(artefact.plans, artefact.graph)
        for other in lower.others(artefact.plans[0], artefact.graph, self._graphs):
            failed = [result for result in results if isinstance(result, Rejected) and not (result.left_out or _by_its_metric(result))]
            if not failed or not self._within.seconds_left:
                break
            again = {_plan(result).name: result for result in self._from_graph([result.plan for result in failed], other)}
            results = [
                _second(result, again, other) if isinstance(result, Rejected) and _plan(result).name in again else result
                for result in results
            ]
        return results

    def _from_graph(self, plans: Sequence[Plan], graph: Graph) -> list[Verified | Rejected]:
        """``plans``, which run the same files, from ``graph``: the files are made once and opened for each plan in turn."""
        try:
            candidate = replace(self._lowered(plans[0], graph), signature=self._trial.signature)
        except OutOfSpace:
            raise
        except OutOfTime as problem:
            return [Rejected(plan, "time budget", problem.message, problem.detail) for plan in plans]
        except RoadworthyError as problem:
            return [Rejected(plan, "lower", problem.message, problem.detail) for plan in plans]
        results = self._verified(candidate, plans)
        self.leaders.add(results)
        return results

    def _lowered(self, plan: Plan, graph: Graph) -> Candidate:
        """The files that ``plan`` runs, made from ``graph``."""
        out = self._workspace.folder(f"candidates/{graph.format}/{plan.artefact}")
        request = lower.LowerRequest(graph, plan, self._trial.calibration, out)
        return self._within.reusable(lower.lower, request, f"lower-{graph.format}-{plan.artefact}", imports.to_lower(graph, plan))

    def _verified(self, candidate: Candidate, plans: Sequence[Plan]) -> list[Verified | Rejected]:
        """Every one of ``plans`` in one process; where that ends without an answer, each in a process of its own."""
        first, *others = plans
        asked = self._trial.request(replace(candidate, plan=first), self.leaders.of(first))
        request = verify.PlansRequest(asked, tuple(others))
        try:
            outcomes = _told(self._within, first).step(verify.verify_plans, request, f"verify-{first.name}", imports.to_run(first)).outcomes
        except OutOfSpace:
            raise
        except OutOfTime as problem:
            return [Rejected(plan, "time budget", problem.message, problem.detail) for plan in plans]
        except RoadworthyError as problem:
            if not others:
                return [Rejected(first, "verify", verify.explained(problem), problem.detail)]
            return [result for plan in plans for result in self._verified(candidate, [plan])]
        return [_result(outcome, plan) for plan, outcome in zip(plans, outcomes, strict=True)]

    @property
    def _within(self) -> Workspace:
        """The workspace of the next step, with the time that the search has left: a little more until a candidate has passed."""
        share = 1.0 if self.leaders.passed() else UNTIL_ONE_PASSED
        return replace(self._workspace.until(share * self._trial.reserve), done=self._tell)

    def _tell(self, words: str) -> None:
        self._workspace.notify(Progress("candidates", len(self.results), self._count, words))


def _by_its_metric(result: Rejected) -> bool:
    """Whether a plan that is meant to differ differs too much: from another graph of the same function it would do so again."""
    return result.stage == "verify" and result.plan.lossy


def _second(first: Rejected, again: dict[str, Verified | Rejected], graph: Graph) -> Verified | Rejected:
    result = again[first.plan.name]
    if isinstance(result, Verified):
        return result
    return replace(first, reason=f"{first.reason}; and made from the {graph.format} graph: {result.reason}")


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


def _not_needed(plan: Plan, artefact: Artefact) -> Rejected:
    return Rejected(plan, "not needed", f"it is a remedy that is tried only where {artefact.repairs} was found to be wrong")


def _plan(result: Verified | Rejected) -> Plan:
    return result.candidate.plan if isinstance(result, Verified) else result.plan


def _line(result: Verified | Rejected) -> str:
    if isinstance(result, Rejected):
        return f"{result.plan.name} rejected: {result.reason}"
    return f"{result.candidate.plan.name} verified"
