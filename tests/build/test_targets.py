"""A target other than a server: its forms are verified, timed beside the bundle's winner, put whole in exports/ and never served."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import roadworthy as rw
from roadworthy.build import deploy, exporting
from roadworthy.build.exporting import ExportJob, placed
from roadworthy.build.job import Job
from roadworthy.bundle import export_evidence, store
from roadworthy.bundle.certificate import NOT_ON_TARGET, ON_TARGET
from roadworthy.cli import export
from roadworthy.core import registry
from roadworthy.core.errors import BundleError, DataError, EnvironmentFault, NoCandidate, StepFailed, UsageError

pytestmark = pytest.mark.usefixtures("warm_steps")

TARGET = "elsewhere"
UNTIMED = "un-reached"
"""A target that cannot run here, whose forms are not raced."""


@pytest.fixture
def planted_target() -> Iterator[None]:
    """The target is installed, here and in every child, as another distribution's would be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "support" / "planted_target")
        registry.names.cache_clear()
        yield
    registry.names.cache_clear()


@pytest.fixture
def job(linear: Path) -> Job:
    return Job(linear / "model.npz", linear / "bundle", data=str(linear / "data.npz"), seconds=120)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test's bundle is kept for the others."""
    return tmp_path_factory.mktemp("deployed") / "bundle"


@pytest.fixture
def bundle(job: Job, deployed: Path, planted_target: None) -> Path:
    if not deployed.is_dir():
        deploy.deploy(replace(job, output=deployed))
    shutil.copytree(deployed, job.output)
    return job.output


def test_an_export_becomes_part_of_the_bundle_whole(bundle: Path) -> None:
    before = store.read(bundle, whole=True)
    assert [(graph.format, graph.path) for graph in before.graphs] == [("npz", "graphs/npz/model.npz")]
    made = exporting.export(ExportJob(bundle, TARGET))

    assert made.path == bundle / "exports" / TARGET
    assert sorted(path.name for path in made.path.iterdir()) == ["README.md", "evidence.json", "golden.npz", "labels.txt", "model.npz"]
    evidence = export_evidence.read(made.path / "evidence.json")
    assert evidence == made.evidence
    assert evidence.on_target and evidence.passed and evidence.ms is not None and evidence.max_rel is not None
    assert evidence.files == export_evidence.files_sum(made.path)
    assert (evidence.samples.golden, evidence.samples.evaluated) == (before.golden.samples, 0)
    readme = (made.path / "README.md").read_text()
    assert "Run it with elsewhere." in readme and "Verified on the target" in readme

    manifest = store.read(bundle, whole=True)
    assert f"exports/{TARGET}/model.npz" in {file.path for file in manifest.kept} - {file.path for file in manifest.files}
    exports = store.read_certificate(bundle).exports
    assert [(one.verified.candidate.plan.threads, bool(one.path), one.verification) for one in exports if one.path] == [
        (made.evidence.plan.threads, True, ON_TARGET)
    ]
    assert len(exports) == 2 and all(one.timing is not None for one in exports)
    for page in ("report.html", "MODEL_CARD.md"):
        assert f"exports/{TARGET}" in (bundle / page).read_text()
    # The score of an export is agreement on the golden samples, and not the accuracy that the deployment measured.
    section = (bundle / "report.html").read_text().partition('id="exports"')[2].partition("</table>")[0]
    assert "agreement 100.00 %" in section and f"on {before.golden.samples} samples" in section and "top1" not in section
    with rw.load(bundle) as model:
        assert model.variant.plan.runtime == "null"


def test_a_damaged_export_or_graph_stops_no_server_and_no_export_starts_from_it(bundle: Path) -> None:
    made = rw.export(bundle, UNTIMED)
    for file in (made.path / "model.npz", bundle / "graphs" / "npz" / "model.npz"):
        whole = file.read_bytes()
        file.write_bytes(b"another")
        store.read(bundle)
        with pytest.raises(BundleError, match=file.name):
            exporting.export(ExportJob(bundle, UNTIMED))
        file.unlink()
        with pytest.raises(BundleError, match="is missing"):
            store.read(bundle, whole=True)
        file.write_bytes(whole)
    store.read(bundle, whole=True)


def test_a_bundle_that_only_serves_needs_neither_folder(bundle: Path, planted_target: None) -> None:
    rw.export(bundle, UNTIMED)
    shutil.rmtree(bundle / "graphs")
    store.read(bundle, whole=True)
    with rw.load(bundle) as model:
        assert model.variant.plan.runtime == "null"
    with pytest.raises(UsageError, match="packed without graphs"):
        rw.export(bundle, UNTIMED)
    # A change seals what is there.
    with store.amending(bundle) as root:
        store.seal(root, store.read(root))
    assert store.read(bundle, whole=True).graphs == ()


def test_an_export_to_a_directory_leaves_the_bundle_as_it_is(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (bundle / "manifest.json").read_bytes()
    out = tmp_path / "out"
    monkeypatch.chdir(bundle.parent)
    # Names are meant from the user's working directory.
    assert rw.export(bundle.name, UNTIMED, "out").path == Path("out")
    assert out.is_dir()
    rw.export(bundle, UNTIMED, out)
    assert export_evidence.read(out / "evidence.json").target == UNTIMED
    assert (bundle / "manifest.json").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an export, so it is not overwritten"):
        rw.export(bundle, UNTIMED, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["work.txt"]


def test_a_deployment_exports_on_all_of_its_samples(job: Job, planted_target: None) -> None:
    deployment = deploy.deploy(replace(job, exports=(TARGET,)))
    evidence = export_evidence.read(job.output / "exports" / TARGET / "evidence.json")
    assert evidence.samples.evaluated == deployment.certificate.samples.evaluated > evidence.samples.golden
    assert deployment.certificate.exports == store.read_certificate(job.output).exports != ()


def test_samples_of_the_users_prove_more_than_the_golden_ones(bundle: Path, linear: Path) -> None:
    made = rw.export(bundle, UNTIMED, data=str(linear / "data.npz"))
    samples = made.evidence.samples
    assert samples.evaluated == 320 and f"320 samples and {samples.golden} golden samples were" in (made.path / "README.md").read_text()
    with pytest.raises(DataError, match="there is no data at nowhere"):
        rw.export(bundle, UNTIMED, data="nowhere")


def test_wrong_answers_are_not_exported_and_nothing_is_written(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is in the graph that the export starts from: it was changed and sealed again."""
    with store.amending(bundle) as root:
        with np.load(root / "graphs/npz/model.npz") as file:
            weight, bias = file["weight"], file["bias"]
        (root / "graphs/npz/model.npz").unlink()
        np.savez(root / "graphs/npz/model.npz", weight=weight * 1.01, bias=bias)
        store.seal(root, store.read(root))
    with pytest.raises(NoCandidate, match=r"elsewhere-fp32-t1: .*error"):
        exporting.export(ExportJob(bundle, TARGET))
    assert not (bundle / "exports").exists()


def test_what_fails_while_it_is_finished_leaves_nothing(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(made: Path, output: Path) -> Path:
        raise StepFailed("planted")

    monkeypatch.setattr(placed, "alone", failing)
    with pytest.raises(StepFailed, match="planted"):
        rw.export(bundle, UNTIMED, bundle.parent / "out")
    assert not (bundle.parent / "out").exists()


def test_what_can_be_known_before_is_refused_before(bundle: Path, job: Job) -> None:
    with pytest.raises(UsageError, match=r"the target 'nowhere' is not known; choose from .*elsewhere"):
        rw.export(bundle, "nowhere")
    with pytest.raises(UsageError, match="there is no precision 'fp8'; choose from fp32"):
        rw.export(bundle, TARGET, precisions=["fp8"])
    for inside in (bundle / "exports" / TARGET, bundle / "new"):
        with pytest.raises(UsageError, match="is inside the bundle"):
            rw.export(bundle, TARGET, inside)
    with pytest.raises(NoCandidate, match="elsewhere has no form other here"):
        rw.export(bundle, TARGET, forms=("other",))
    bare = deploy.deploy(replace(job, graphs=False, output=job.output.with_name("bare"))).bundle
    assert not (bare / "graphs").exists()
    with pytest.raises(UsageError, match="packed without graphs"):
        rw.export(bare, TARGET)
    with pytest.raises(UsageError, match="the target 'nowhere' is not known"):
        deploy.deploy(replace(job, exports=("nowhere",), output=job.output.with_name("none")))
    assert not job.output.with_name("none").exists()


def test_what_cannot_run_here_says_so_and_is_not_timed(bundle: Path) -> None:
    with pytest.raises(EnvironmentFault, match="un-reached cannot run on its target here: no session of this target"):
        rw.export(bundle, UNTIMED, on_target=True)
    assert not (bundle / "exports").exists()
    made = rw.export(bundle, UNTIMED)
    assert not made.evidence.on_target and made.evidence.ms is None
    assert "Not verified on the target" in (made.path / "README.md").read_text()
    (entry,) = store.read_certificate(bundle).exports
    assert (entry.verification, entry.timing) == (NOT_ON_TARGET, None)
    assert "not verified on the target" in (bundle / "report.html").read_text()
    # A second export takes the place of the first.
    again = rw.export(bundle, UNTIMED, forms=("",))
    assert len(store.read_certificate(bundle).exports) == 1 and export_evidence.read(made.path / "evidence.json") == again.evidence


def test_what_was_made_before_a_target_that_fails_is_shown(bundle: Path) -> None:
    result = CliRunner().invoke(export.command, [str(bundle), "--to", f"{UNTIMED},triton"])
    assert isinstance(result.exception, UsageError) and "cannot be exported to triton" in result.exception.message
    assert f"exports/{UNTIMED}, see README.md there" in result.output


def test_a_target_has_a_default_and_is_read_without_importing_the_runtime(planted_target: None, tmp_path: Path) -> None:
    assert (registry.facts("null").target, registry.facts("null").on_target) == ("server", True)
    assert (registry.facts(TARGET).target, registry.facts(TARGET).on_target) == ("elsewhere", True)
    assert (registry.facts("un_reached").target, registry.facts("un_reached").on_target) == (UNTIMED, False)
    # The original runs on a runtime for a server, though another one, first by name, takes its format.
    assert registry.runtime_for("npz") == "null"
