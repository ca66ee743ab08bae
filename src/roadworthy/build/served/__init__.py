"""What is served is proven as it is served: each packed variant on the shares of the cores that a server's worker gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from roadworthy.build import benchmark, verify
from roadworthy.build.job import Job
from roadworthy.build.search import Trial, verdict
from roadworthy.build.served.all_busy import AllBusyRequest, all_busy
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.bundle.certificate import Choice
from roadworthy.bundle.shares import Share, ShareProof, sizes
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.evidence import Interval, Note
from roadworthy.core.host import Host, default_workers
from roadworthy.core.stages import Candidate, Measured, Plan, Rejected, Verified

LEVEL = 1.05
"""More threads are taken where they are more than this many times as fast; the cores they leave alone serve the other workers."""
FEEDS = 8
"""The samples with which a plan is timed that took no part in the race."""


@dataclass(frozen=True)
class _Proven:
    """A plan whose answers are right, and how long a request takes by it."""

    verified: Verified
    latency_ms: Interval

    @property
    def plan(self) -> Plan:
        return self.verified.candidate.plan


def prove(
    choice: Choice, race: benchmark.Race, verified: Sequence[Verified], trial: Trial, job: Job, workspace: Workspace
) -> tuple[ShareProof, ...]:
    """Every packed variant on each share: its answers compared with the original's, and timed, on as many threads as it is served on.

    ``verified`` are the candidates that passed: a plan that is among them, or was in the race, is not tried again, unless it only shares
    the score of another plan. A share for which the time budget leaves no time is left out: nothing is claimed of it.
    """
    known = {one.candidate.plan: one for one in verified}
    measured = {one.verified.candidate.plan: one for one in race.measured}
    prover = _Prover(known, measured, trial, workspace)
    cores = workspace.host.cores
    proofs: list[ShareProof] = []
    packed = [one for one in race.measured if one.verified.candidate.plan.name in (choice.winner, choice.fallback)]
    for one in sorted(packed, key=lambda one: one.verified.candidate.plan.name != choice.winner):
        for share in sizes(cores, default_workers(cores)):
            workspace.begin("shares", text=f"{one.verified.candidate.plan.name} on {_cores(share)}")
            proof = prover.proof(one, share)
            if proof is not None:
                proofs.append(_busy(proof, one, trial, workspace) if job.objective == "throughput" else proof)
    workspace.notify(Progress("shares", 1, 1))
    return tuple(proofs)


def notes(choice: Choice, proofs: tuple[ShareProof, ...], host: Host) -> Iterator[Note]:
    """A warning where the winner is not what a server on this host answers with by default."""
    workers = default_workers(host.cores)
    default = host.cores // workers
    found = {proof.variant: proof.share for proof in proofs if proof.share.cores == default}
    winner = found.get(choice.winner)
    if winner is None or winner.plan is not None:
        return
    fallback = found.get(choice.fallback or "")
    instead = (
        f"there {choice.fallback} answers" if fallback and fallback.plan else "there it runs on more threads than cores, and is slower"
    )
    yield Note(
        f"{choice.winner} is not right on {_cores(default)}, which is what each of the {workers} workers of a server has on this host "
        f"({winner.fault}): {instead}; `roadworthy serve --workers 1` runs it as it was raced",
        warning=True,
    )


@dataclass(frozen=True)
class _Prover:
    """What is known already, and how the rest is found out."""

    known: dict[Plan, Verified]
    measured: dict[Plan, Measured]
    trial: Trial
    workspace: Workspace

    def proof(self, one: Measured, cores: int) -> ShareProof | None:
        """The variant ``one`` on ``cores`` cores; ``None`` where the time was over before anything was known."""
        plan, all_cores = one.verified.candidate.plan, self.workspace.host.cores
        # On all cores the race has decided which number of threads is best.
        counts = (plan.threads,) if cores == all_cores else (cores, 1, plan.threads)
        fault, right = "", []
        for threads in dict.fromkeys(count for count in counts if count <= cores):
            found = self._tried(one.verified.candidate, plan.served(threads, alone=cores == all_cores))
            if isinstance(found, _Proven):
                right.append(found)
            elif found is None:
                return None
            elif threads == cores or not fault:
                fault = found.reason
        workers = max(1, all_cores // cores)
        if not right:
            return ShareProof(plan.name, Share(cores, None, fault), workers)
        fewest = min(right, key=lambda one: one.plan.threads)
        fastest = min(right, key=lambda one: one.latency_ms.value)
        best = fastest if LEVEL * fastest.latency_ms.value < fewest.latency_ms.value else fewest
        return ShareProof(plan.name, Share(cores, best.plan, fault), workers, best.verified.parity, best.latency_ms)

    def _tried(self, candidate: Candidate, plan: Plan) -> _Proven | Rejected | None:
        """The files of ``candidate`` run by ``plan``; ``None`` where no time is left to try that."""
        raced = self.measured.get(plan)
        found: Verified | Rejected | None = raced.verified if raced else self.known.get(plan)
        if found is None or (isinstance(found, Verified) and found.alike):
            if not self.workspace.seconds_left:
                return None
            asked = replace(self.trial.request(replace(candidate, plan=plan)), look=())
            found = verdict(verify.verify, asked, plan, f"share-{plan.name}", self.workspace)
        if isinstance(found, Rejected):
            return found
        if raced:
            return _Proven(found, raced.timing.latency_ms)
        if not self.workspace.seconds_left:
            return None
        try:
            feeds = self.trial.samples.feeds(0, min(FEEDS, self.trial.samples.count))
            today = benchmark.time_variant(candidate.path, candidate.signature, plan, feeds)
        except RoadworthyError as problem:
            return Rejected(plan, "measure", problem.message, problem.detail)
        return _Proven(found, today.latency_ms)


def _busy(proof: ShareProof, one: Measured, trial: Trial, workspace: Workspace) -> ShareProof:
    """``proof`` with the throughput of all workers at once, where it could be measured."""
    if proof.share.plan is None or not workspace.seconds_left:
        return proof
    candidate = replace(one.verified.candidate, plan=proof.share.plan)
    batch = candidate.plan.batch or (one.timing.rate.batch if one.timing.rate else 1)
    request = AllBusyRequest(candidate, trial.samples, batch, proof.workers)
    try:
        return replace(proof, per_second=all_busy(request, workspace.folder(f"busy/{proof.variant}-{proof.share.cores}")), batch=batch)
    except RoadworthyError:
        # So many processes at once may not fit into memory: no figure is claimed.
        return proof


def _cores(count: int) -> str:
    return f"{count} core{'s' if count != 1 else ''}"
