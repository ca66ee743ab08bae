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
    """A plan whose answers are right, and how long a request takes by it, where that could be timed."""

    verified: Verified
    latency_ms: Interval | None

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
    packed.sort(key=lambda one: one.verified.candidate.plan.name != choice.winner)
    wanted = [(one, share) for one in packed for share in sizes(cores, default_workers(cores))]
    workspace.begin("shares", len(wanted))
    for done, (one, share) in enumerate(wanted):
        workspace.notify(Progress("shares", done, len(wanted), f"{one.verified.candidate.plan.name} on {_cores(share)}"))
        proof = prover.proof(one, share)
        if proof is not None:
            proofs.append(_busy(proof, one, trial, workspace) if job.objective == "throughput" else proof)
    workspace.notify(Progress("shares", len(wanted), len(wanted)))
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
        found = {}
        for threads in dict.fromkeys(count for count in counts if count <= cores):
            tried = self._tried(one.verified.candidate, plan.served(threads, alone=cores == all_cores))
            if tried is None:
                return None
            found[threads] = tried
        right = [tried for tried in found.values() if isinstance(tried, _Proven)]
        wrong = {threads: tried.reason for threads, tried in found.items() if isinstance(tried, Rejected)}
        workers = max(1, all_cores // cores)
        if not right:
            return ShareProof(plan.name, Share(cores, None, next(iter(wrong.values()))), workers)
        best = _best(right)
        return ShareProof(plan.name, Share(cores, best.plan, wrong.get(cores, "")), workers, best.verified.parity, best.latency_ms)

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
            # What ended because the time was over is not wrong.
            return found if self.workspace.seconds_left and not found.left_out else None
        if raced:
            return _Proven(found, raced.timing.latency_ms)
        if not self.workspace.seconds_left:
            return None
        try:
            feeds = self.trial.samples.feeds(0, min(FEEDS, self.trial.samples.count))
            today = benchmark.time_variant(candidate.path, candidate.signature, plan, feeds)
        except RoadworthyError:
            return _Proven(found, None)
        return _Proven(found, today.latency_ms)


def _best(right: list[_Proven]) -> _Proven:
    """The fastest; one of fewer threads where it is level with that."""
    fewest = min(right, key=lambda one: one.plan.threads)
    fastest = min(right, key=_latency)
    return fastest if LEVEL * _latency(fastest) < _latency(fewest) else fewest


def _latency(one: _Proven) -> float:
    return one.latency_ms.value if one.latency_ms else float("inf")


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
