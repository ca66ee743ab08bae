"""A whole deployment on the null runtime, which needs no packages; a failure leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import roadworthy as rw
from roadworthy.build import benchmark, deploy, reference
from roadworthy.build.job import Job
from roadworthy.build.workspace import Progress
from roadworthy.bundle import golden, store
from roadworthy.core import cpu_mask, registry
from roadworthy.core.errors import BundleError, DataError, NoCandidate, OutOfSpace, SourceError, UsageError
from roadworthy.core.isolation.worker import Worker
from support import hosts

pytestmark = pytest.mark.slow


@pytest.fixture
def job(linear: Path) -> Job:
    return Job(linear / "model.npz", linear / "bundle", data=str(linear / "data.npz"), seconds=120)


def test_a_source_becomes_a_bundle_that_answers(job: Job) -> None:
    seen: list[Progress] = []
    deployment = deploy.deploy(job, seen.append)
    certificate = deployment.certificate
    # A host of one core has no smaller shares.
    stages = ["data", "load", "original", "candidates", "race", "pack"]
    assert [stage for stage in dict.fromkeys(progress.stage for progress in seen) if stage != "shares"] == stages
    assert [stage.name for stage in certificate.stages if stage.name != "shares"] == ["inspect", *stages]
    assert certificate.seconds == pytest.approx(sum(stage.seconds for stage in certificate.stages))
    steps = {stage.name: [step.name for step in stage.steps] for stage in certificate.stages}
    assert steps["inspect"] == ["identify", "preprocessing"] and steps["load"] == ["load"] and steps["pack"] == ["accept"]
    assert len([name for name in steps["candidates"] if name.startswith("lower-npz-")]) == len({
        one.verified.candidate.plan.artefact for one in certificate.measured
    })  # fmt: skip
    packed = store.read_certificate(deployment.bundle)
    assert [stage.name for stage in packed.stages] == [stage.name for stage in certificate.stages][:-1]
    assert packed.seconds == pytest.approx(sum(stage.seconds for stage in packed.stages))
    assert certificate.samples.evaluated + certificate.samples.calibrated == 400
    assert certificate.original is not None
    assert certificate.original.value.value == pytest.approx(0.9, abs=0.03)
    assert not certificate.rejected
    assert store.read(deployment.bundle).name == "model"
    with (
        np.load(job.data or "", allow_pickle=False) as data,
        np.load(job.source, allow_pickle=False) as model,
        rw.load(deployment) as session,
    ):
        answer = session(data["x"][:3]).outputs["output"]
        assert np.allclose(answer, data["x"][:3] @ model["weight"], atol=1e-5)


def test_without_data_the_certificate_says_first_that_nothing_was_proven_on_real_samples(job: Job) -> None:
    certificate = deploy.deploy(replace(job, data=None)).certificate
    assert (certificate.samples.kind, certificate.samples.evaluated, certificate.samples.calibrated) == ("generated", 256, 0)
    assert certificate.goal.metric == "agreement"
    assert certificate.notes[0].warning and "nothing here was proven on real ones; give some with --data" in certificate.notes[0].text
    assert "The samples were generated: nothing here was proven on real ones" in (job.output / "MODEL_CARD.md").read_text()
    page = (job.output / "report.html").read_text()
    assert "agreement on 256 generated samples" in page and "The samples were generated: nothing here was proven on real ones" in page


def test_a_bundle_is_replaced_whole(job: Job) -> None:
    first = deploy.deploy(job)
    again = deploy.deploy(replace(job, version="2"))
    assert first.bundle == again.bundle
    assert store.read(again.bundle).version == "2"
    assert sorted(path.name for path in job.output.parent.iterdir()) == ["bundle", "data.npz", "model.npz"]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"runtimes": ("nul",)}, UsageError, "there is no runtime 'nul'"),
        ({"data": "nowhere"}, DataError, "nowhere"),
        ({"metric": "top9000"}, UsageError, "top9000"),
        ({"preprocess": "imagenett"}, DataError, "imagenet"),
        ({"labels": Path("no-labels.txt")}, DataError, "no-labels.txt"),
    ],
)
def test_what_cannot_work_is_said_in_words_and_leaves_nothing(
    job: Job, change: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        deploy.deploy(replace(job, **change))  # type: ignore[arg-type]
    assert not job.output.exists()
    assert not Worker.running


def test_what_is_no_bundle_is_not_replaced_and_this_is_said_at_once(job: Job) -> None:
    job.output.mkdir()
    (job.output / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not a bundle"):
        deploy.deploy(job, lambda progress: pytest.fail("it began to work"))
    assert (job.output / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("change", [{"runtimes": ("nulll",)}, {"precisions": ("int3",)}])
def test_a_name_that_does_not_exist_is_refused_before_any_work(job: Job, change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"choose from .*(null|int8)"):
        deploy.deploy(replace(job, **change), lambda progress: pytest.fail("it began to work"))  # type: ignore[arg-type]


def test_candidates_that_come_after_the_time_budget_are_left_out_in_words_and_the_original_is_packed(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "RACE", 2.0)
    certificate = deploy.deploy(job).certificate
    assert [(rejected.stage, rejected.reason) for rejected in certificate.rejected] == [
        ("time budget", "the time budget ended before its turn")
    ]
    assert certificate.choice.winner == certificate.baseline.verified.candidate.plan.name
    assert not (job.output / "rejected").exists()


def test_a_time_budget_that_ends_before_the_search_is_named_with_what_was_done(job: Job) -> None:
    with pytest.raises(
        NoCandidate, match=r"^the time budget of 0\.01s ended while .* before any candidate was tried: give --time-budget 10s"
    ):
        deploy.deploy(replace(job, seconds=0.01))
    assert not job.output.exists()


def test_no_race_of_the_original_against_nothing(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause is the time, so that a wider search is no advice."""
    facts = registry.facts
    monkeypatch.setattr(registry, "facts", lambda name: replace(facts(name), framework=True))
    monkeypatch.setattr(reference, "RACE", 2.0)
    monkeypatch.setattr(deploy, "race_to_serve", lambda *arguments: pytest.fail("a race"))
    with pytest.raises(NoCandidate) as caught:
        deploy.deploy(job)
    said = caught.value.message
    assert "the time budget of 2m ended first: the search began after" in said and "0 of 1 plans were tried" in said
    assert "; give --time-budget 3m or more" in said
    assert "widen the search" not in said and "--max-drop" not in said


def test_when_only_the_framework_passes_the_error_names_what_would_help(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = registry.facts

    def of_a_framework(name: str) -> registry.RuntimeFacts:
        return replace(facts(name), framework=True)

    monkeypatch.setattr(registry, "facts", of_a_framework)
    monkeypatch.setitem(benchmark.choose.__kwdefaults__, "facts_of", of_a_framework)
    with pytest.raises(NoCandidate, match=r"Those that need it \(null-fp32-.*--allow-framework-at-serve"):
        deploy.deploy(job)
    assert deploy.deploy(replace(job, allow_framework=True)).certificate.choice.winner.startswith("null")


def test_an_interrupt_leaves_nothing(job: Job) -> None:
    for stage in ("load", "original", "candidates", "race", "shares", "pack"):

        def interrupt(progress: Progress, at: str = stage) -> None:
            if progress.stage == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            deploy.deploy(job, interrupt)
        assert not job.output.exists() or stage == "pack"
        assert not [path for path in job.output.parent.iterdir() if path.name.startswith(".")]
        assert not Worker.running


def test_a_disk_that_fills_while_packing(job: Job, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 2_088_000)
    with pytest.raises(OutOfSpace, match="disk filled up"):
        deploy.deploy(replace(job, output=small_disk / "bundle"))
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_what_errs_and_what_dies_is_rejected_with_a_program_that_shows_it_again(job: Job, planted_here: None) -> None:
    certificate = deploy.deploy(job).certificate
    errs, dies = certificate.rejected
    assert (errs.stage, dies.stage) == ("verify", "lower")
    assert "not the same function" in errs.reason
    assert dies.reason == "crashed with SIGSEGV"
    assert certificate.choice.winner.startswith("null")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "support" / "planted")}
    for rejected in (errs, dies):
        script = job.output / "rejected" / rejected.plan.name / "reproduce.py"
        run = subprocess.run([sys.executable, script], cwd=job.output.parent, env=environment, capture_output=True, text=True)
        assert rejected.reason in run.stdout, run.stderr


def test_byte_strings_in_memory_reach_a_model_that_takes_none(linear: Path) -> None:
    with pytest.raises(SourceError, match="takes one input of 12 features"):
        rw.deploy(linear / "model.npz", linear / "bundle", data=([b"one\0", b"two\0\0"], [0, 1]))


def test_a_bundle_that_a_server_refuses_is_never_written(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that opens the bundle is another one: what is planted in this one's writer does not reach it."""

    def wrong(path: Path, held: golden.Golden) -> None:
        write(path, golden.Golden(held.inputs, {name: array + 1 for name, array in held.outputs.items()}))

    write = golden.write
    monkeypatch.setattr(golden, "write", wrong)
    with pytest.raises(BundleError, match=r"a server refuses the new bundle's variant null-fp32-\S+: its golden answers are off by"):
        deploy.deploy(job)
    assert sorted(path.name for path in job.output.parent.iterdir()) == ["data.npz", "model.npz"]


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_samples_and_answers_that_are_not_finite_make_a_bundle_that_opens(job: Job, value: float) -> None:
    with np.load(job.data or "", allow_pickle=False) as data:
        x, y = data["x"].copy(), data["y"]
    x[::7, 3] = value
    np.savez(job.data or "", x=x, y=y)
    deployment = deploy.deploy(job)
    with rw.load(deployment) as model:
        assert not np.isfinite(model(x[:1]).outputs["output"]).any()


@pytest.mark.skipif(hosts.true_host().architecture != "x86_64", reason="levels are of x86-64 CPUs")
def test_a_deployment_under_a_mask_says_so_in_its_certificate(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cpu_mask.MASK, "sse4_2")
    certificate = deploy.deploy(job).certificate
    assert certificate.host.features == ("sse4_2",)
    assert certificate.host.cpu.endswith("(ROADWORTHY_CPU_MASK=sse4_2)")
