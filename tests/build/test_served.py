"""What is packed is proven on the shares of the cores on which a server runs it, and what is wrong there is never served there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build import benchmark, deploy, served, verify, workspace
from roadworthy.build.benchmark.race import Timed
from roadworthy.build.benchmark.statistics import Series
from roadworthy.build.job import Job
from roadworthy.build.search import Trial
from roadworthy.build.workspace import Workspace, open_workspace
from roadworthy.bundle import store
from roadworthy.bundle.certificate import Choice
from roadworthy.bundle.shares import Share, ShareProof, sizes
from roadworthy.core.errors import StepFailed
from roadworthy.core.host import Host, this_host
from roadworthy.core.samples import write
from roadworthy.core.stages import Candidate, Graph, Measured, Plan, Verified
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.serving.engine import batch_plan
from roadworthy.serving.engine.open_bundle import open_engines
from roadworthy.serving.engine.open_messages import OpenVersion
from roadworthy.serving.settings import Settings
from support.models import certificates

pytestmark = pytest.mark.usefixtures("warm_steps", "planted_here")

SIGNATURE = Signature((TensorSpec("input", "float32", (BATCH, 12)),), (TensorSpec("output", "float32", (BATCH, 4)),))
FALLBACK = Plan("null")
WRONG = "its error relative to the output's scale is"


@contextmanager
def prepared(linear: Path, cores: int) -> Iterator[tuple[Trial, Workspace]]:
    """A trial of the linear map, on a host with so many cores."""
    with open_workspace(seconds=100, step_seconds=60, memory_mb=0, notify=lambda progress: None) as opened:
        with np.load(linear / "data.npz") as data:
            samples = write(opened.folder("samples"), {"input": data["x"]}, data["y"])
        here = replace(opened, host=replace(opened.host, cores=cores))
        graph = Graph("npz", linear / "model.npz", SIGNATURE, "as it is")
        reference = here.step(verify.establish, verify.ReferenceRequest(graph, samples, 1, here.folder("reference")), "reference")
        yield Trial(None, samples, reference, SIGNATURE, "top1", 0.01, 0.0), here


def timed(linear: Path, plan: Plan, ms: float) -> Timed:
    made = Candidate(plan, linear, SIGNATURE, "npz", 1, 0.1)
    return Timed(Measured(Verified(made, certificates.parity(0.0), None), certificates.timing(ms)), Series({}), Series({}))


def proven(
    linear: Path, plan: Plan, cores: int, *raced: tuple[Plan, float], objective: str = "latency"
) -> tuple[dict[tuple[str, int], ShareProof], tuple[str, ...]]:
    """The proofs by variant and share, and the warnings, where ``plan`` won on ``cores`` cores and the null runtime is the fallback."""
    with prepared(linear, cores) as (trial, here):
        entries = [(FALLBACK, 4.0), (plan, 1.0), *raced]
        race = benchmark.Race(tuple(timed(linear, *entry) for entry in entries), ())
        choice = Choice(plan.name, FALLBACK.name, ())
        job = Job(linear / "model.npz", linear / "bundle", objective=objective)  # type: ignore[arg-type]
        proofs = served.prove(choice, race, [], trial, job, here)
        return {(one.variant, one.share.cores): one for one in proofs}, tuple(note.text for note in served.notes(choice, proofs, here.host))


def test_which_shares_are_proven() -> None:
    assert [sizes(1, 1), sizes(2, 2), sizes(8, 8), sizes(16, 8), sizes(64, 8)] == [(1,), (1, 2), (1, 8), (1, 2, 16), (1, 8, 64)]


def test_nonsense_on_one_thread_is_found_and_the_fallback_answers_there(linear: Path) -> None:
    plan = Plan("planted", threads=2, flavour="errs on=1")
    proofs, warnings = proven(linear, plan, 2)
    alone, both = proofs[plan.name, 1], proofs[plan.name, 2]
    assert alone.share.plan is None and WRONG in alone.share.fault and alone.workers == 2
    assert both.share.plan == plan and both.share.fault == "" and both.latency_ms == certificates.timing(1.0).latency_ms
    assert proofs[FALLBACK.name, 1].share.plan == FALLBACK
    (warning,) = warnings
    assert "not right on 1 core" in warning and f"there {FALLBACK.name} answers" in warning and "--workers 1" in warning


def test_one_thread_on_a_share_of_two_where_two_are_wrong(linear: Path) -> None:
    plan = Plan("planted", threads=16, flavour="errs on=2")
    proofs, warnings = proven(linear, plan, 16)
    two = proofs[plan.name, 2]
    assert two.share.plan == replace(plan, threads=1) and WRONG in two.share.fault
    assert two.parity is not None and two.parity.equivalent and two.latency_ms is not None and two.latency_ms.value > 0
    assert proofs[plan.name, 1].share.plan == replace(plan, threads=1) and not proofs[plan.name, 1].share.fault
    assert warnings == ()


def test_one_thread_that_is_wrong_says_nothing_against_two(linear: Path) -> None:
    plan = Plan("planted", threads=16, flavour="errs on=1")
    proofs, _ = proven(linear, plan, 16, (replace(plan, threads=2), 1.5))
    assert proofs[plan.name, 2].share == Share(2, replace(plan, threads=2))
    assert proofs[plan.name, 1].share.plan is None and WRONG in proofs[plan.name, 1].share.fault


def test_what_is_right_and_could_not_be_timed_is_served(linear: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise StepFailed("the machine was too busy")

    monkeypatch.setattr(benchmark, "time_variant", fails)
    plan = Plan("null", threads=2, flavour="x")
    proofs, warnings = proven(linear, plan, 2)
    alone = proofs[plan.name, 1]
    assert alone.share == Share(1, replace(plan, threads=1)) and alone.latency_ms is None and warnings == ()


@pytest.mark.parametrize(("two_ms", "threads"), [(1.0, 2), (1.97, 1)])
def test_more_threads_only_where_they_are_faster(linear: Path, two_ms: float, threads: int) -> None:
    """All plans were in the race, so that nothing is timed again."""
    plan = Plan("null", threads=16)
    proofs, _ = proven(linear, plan, 16, (replace(plan, threads=2), two_ms), (replace(plan, flavour="other", threads=1), 0.1))
    # The fallback is the same plan on one thread, at 4 ms: what another artefact takes says nothing of this one.
    assert proofs[plan.name, 2].share.plan == replace(plan, threads=2)
    slow, _ = proven(
        linear, replace(plan, flavour="x"), 16, (Plan("null", threads=2, flavour="x"), two_ms), (Plan("null", flavour="x"), 2.0)
    )
    found = slow[replace(plan, flavour="x").name, 2].share.plan
    assert found is not None and found.threads == threads


def test_what_shares_the_score_of_another_plan_is_proven_by_itself(linear: Path) -> None:
    """The search has held few of its answers against the other plan's; in the planted runtime they are wrong."""
    plan = Plan("planted", threads=2, flavour="errs on=1")
    one = replace(plan, threads=1)
    with prepared(linear, 2) as (trial, here):
        race = benchmark.Race((timed(linear, FALLBACK, 4.0), timed(linear, plan, 1.0)), ())
        shared = replace(timed(linear, one, 1.0).measured.verified, alike=plan.name)
        job = Job(linear / "model.npz", linear / "bundle")
        (alone, _) = served.prove(Choice(plan.name, None, ()), race, [shared], trial, job, here)
        assert alone.share.plan is None and WRONG in alone.share.fault
        own = replace(shared, alike="")
        (alone, _) = served.prove(Choice(plan.name, None, ()), race, [own], trial, job, here)
        assert alone.share.plan == one, "a verdict of its own is not repeated"


def test_a_plan_that_binds_its_threads_does_so_only_alone(linear: Path) -> None:
    plan = Plan("planted", threads=2, spin=True, options=("pinned",))
    unbound, without_spin = replace(plan, threads=1, spin=False, options=()), replace(plan, spin=False)
    proofs, _ = proven(linear, plan, 2, (unbound, 1.5), (without_spin, 1.1))
    assert proofs[plan.name, 1].share.plan == unbound
    assert proofs[plan.name, 2].share.plan == without_spin


def test_throughput_is_of_all_workers_at_once(linear: Path) -> None:
    proofs, _ = proven(linear, Plan("null", threads=2), 2, objective="throughput")
    alone = proofs["null-fp32-t2", 1]
    assert alone.workers == 2 and alone.per_second is not None and alone.per_second.low > 0 and alone.batch == 16
    latency, _ = proven(linear, Plan("null", threads=2), 2)
    assert latency["null-fp32-t2", 1].per_second is None


def test_without_time_nothing_is_claimed(linear: Path) -> None:
    with prepared(linear, 2) as (trial, here):
        plan = Plan("planted", threads=2, flavour="errs on=1")
        race = benchmark.Race((timed(linear, FALLBACK, 4.0), timed(linear, plan, 1.0)), ())
        job = Job(linear / "model.npz", linear / "bundle")
        late = replace(here, deadline=0.0)
        proofs = served.prove(Choice(plan.name, None, ()), race, [], trial, job, late)
        assert [proof.share.cores for proof in proofs] == [2]


def test_a_deployment_whose_winner_errs_on_one_thread_serves_the_fallback_there(linear: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan("planted", threads=2, flavour="errs on=1")

    def two_cores() -> Host:
        return replace(this_host(), cores=2)

    def only(graphs: tuple[Graph, ...], *arguments: object) -> tuple[list[tuple[Plan, Graph]], tuple[str, ...]]:
        return [(plan, graphs[0])], ()

    def chosen(race: object, *arguments: object, framework_allowed: bool) -> tuple[Choice, object]:
        return Choice(plan.name, FALLBACK_OF_DEPLOYMENT, ("it was planted",)), race

    FALLBACK_OF_DEPLOYMENT = "null-fp32-t2"
    monkeypatch.setattr(workspace, "this_host", two_cores)
    monkeypatch.setattr(deploy, "plans_to_try", only)
    monkeypatch.setattr(deploy, "choose", chosen)
    certificate = deploy.deploy(Job(linear / "model.npz", linear / "bundle", data=str(linear / "data.npz"), seconds=120)).certificate
    assert [note.text for note in certificate.notes if note.warning and "not right on 1 core" in note.text]
    found = {(proof.variant, proof.share.cores): proof.share.plan for proof in certificate.shares}
    assert found[plan.name, 1] is None and found[plan.name, 2] == plan
    assert found[FALLBACK_OF_DEPLOYMENT, 1] == Plan("null")
    assert [share.plan for share in store.read(linear / "bundle").variants[0].shares] == [None, plan]

    monkeypatch.setattr(batch_plan, "usable_cores", lambda: 2)
    wanted = OpenVersion(name="linear", version="1", path=str(linear / "bundle"))
    for workers, variant, threads in ((2, FALLBACK_OF_DEPLOYMENT, 1), (1, plan.name, 2)):
        opened = open_engines(wanted, Settings(sources=(), workers=workers))
        (engine,) = opened.engines
        assert (engine.variant.name, engine.plan.threads, engine.proven) == (variant, threads, True)
        assert any(WRONG in note for note in opened.opened.notes) == (workers == 2)
        engine.close()
