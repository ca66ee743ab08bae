"""A runtime for another target than a server: its candidates are verified, raced apart, packed under exports/ and never served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import roadworthy as rw
from roadworthy.build import deploy
from roadworthy.build.benchmark.race import Race, Timed
from roadworthy.build.benchmark.statistics import Series
from roadworthy.build.certificate import exports_of
from roadworthy.build.job import Job
from roadworthy.bundle import store
from roadworthy.bundle.certificate import NOT_ON_TARGET, ON_TARGET, Choice
from roadworthy.core import registry
from roadworthy.core.errors import BundleError
from roadworthy.core.registry import RuntimeFacts
from roadworthy.core.stages import Plan
from support.models import certificates

pytestmark = pytest.mark.usefixtures("warm_steps")

TARGET = "elsewhere"


@pytest.fixture
def planted_target() -> Iterator[None]:
    """The runtime is installed, here and in every child, as another distribution's would be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "support" / "planted_target")
        registry.names.cache_clear()
        yield
    registry.names.cache_clear()


@pytest.fixture
def job(linear: Path) -> Job:
    return Job(linear / "model.npz", linear / "bundle", data=str(linear / "data.npz"), seconds=120)


def test_candidates_for_another_target_lie_in_exports_and_are_never_served(job: Job, planted_target: None) -> None:
    certificate = deploy.deploy(job).certificate
    assert [export.measured.verified.candidate.plan.name for export in certificate.exports] == [f"{TARGET}-fp32-t1", f"{TARGET}-fp32-t2"]
    assert {(export.target, export.verification) for export in certificate.exports} == {("browser", NOT_ON_TARGET)}
    (chosen,) = [export for export in certificate.exports if export.path]
    assert chosen.path == f"exports/browser/{TARGET}-fp32" and chosen.reasons
    assert not any(export.reasons for export in certificate.exports if export is not chosen)
    assert all(export.measured.timing.latency_ms.value > 0 for export in certificate.exports)
    assert certificate.baseline.verified.candidate.plan.runtime == "null"
    assert all(one.verified.candidate.plan.runtime == "null" for one in certificate.measured)

    manifest = store.read(job.output)
    assert {variant.plan.runtime for variant in manifest.variants} == {"null"}
    assert f"exports/browser/{TARGET}-fp32/model.npz" in {file.path for file in manifest.files}
    (packed,) = [export for export in store.read_certificate(job.output).exports if export.path]
    assert str(packed.measured.verified.candidate.path) == f"exports/browser/{TARGET}-fp32"
    with rw.load(job.output) as model:
        assert model.variant.plan.runtime == "null"

    assert '"verification": "not verified on the target"' in (job.output / "certificate.json").read_text()
    assert "not verified on the target" in (job.output / "report.html").read_text()
    assert "not verified on the target" in (job.output / "MODEL_CARD.md").read_text()

    (job.output / f"exports/browser/{TARGET}-fp32/model.npz").write_bytes(b"another")
    with pytest.raises(BundleError, match="exports/browser"):
        store.read(job.output)


def test_a_target_has_a_default_and_is_read_without_importing_the_runtime(planted_target: None, tmp_path: Path) -> None:
    assert (registry.facts("null").target, registry.facts("null").on_target) == ("server", True)
    assert (registry.facts(TARGET).target, registry.facts(TARGET).on_target) == ("browser", False)
    # The original runs on a runtime for a server, though another one, first by name, takes its format.
    assert registry.runtime_for("npz") == "null"


def test_a_runtime_that_runs_on_its_target_says_so(planted_target: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tuple(certificates.measured(Plan(TARGET, threads=threads), 0.0, 0.0, 1.0) for threads in (4, 1, 2))
    race = {"browser": Race(tuple(Timed(one, Series({}), Series({})) for one in found), ())}
    choices = {"browser": Choice(f"{TARGET}-fp32-t2", None, ("It is the only one.",))}
    (other, chosen) = exports_of(race, choices)
    assert (other.measured, chosen.measured) == found[1:]
    assert (other.path, chosen.path, chosen.verification) == ("", f"exports/browser/{TARGET}-fp32", NOT_ON_TARGET)
    monkeypatch.setattr(registry, "facts", lambda name: RuntimeFacts((), (), False, False, "browser", on_target=True))
    assert {export.verification for export in exports_of(race, choices)} == {ON_TARGET}
