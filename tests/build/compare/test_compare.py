"""Sources side by side on the runtime that needs nothing: parity, the samples they share, and every form on the clock."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.compare import compare
from roadworthy.build.job import Job
from roadworthy.build.package.report import comparison
from roadworthy.core import codec
from roadworthy.core.comparison import Comparison
from roadworthy.core.errors import SourceUnreadable, UsageError
from roadworthy.core.evidence import Interval
from roadworthy.core.isolation.worker import Worker

pytestmark = pytest.mark.usefixtures("warm_steps")


@pytest.fixture
def job(linear: Path) -> Job:
    return Job(linear / "model.npz", linear, data=str(linear / "data.npz"), seconds=120)


def other(job: Job, name: str, scale: float = 1.0) -> Job:
    """The same map, its weights times ``scale``, in a file of its own."""
    with np.load(job.source) as file:
        np.savez(job.source.with_name(name), weight=file["weight"] * np.float32(scale), bias=file["bias"])
    return replace(job, source=job.source.with_name(name))


def test_one_function_twice_is_the_same_and_every_form_has_its_figures(job: Job, planted_here: None) -> None:
    found = compare([job, other(job, "copy.npz")])
    assert not Worker.running
    (pairing,) = found.pairings
    assert pairing.same and pairing.parity is not None and pairing.parity.max_rel == 0.0
    assert (found.data, found.samples) == ("labelled", 400)
    for side in found.sides:
        assert side.score.value == pytest.approx(0.9, abs=0.03)
        original, null = side.forms
        assert (original.family, null.family) == ("original", "shared")
        assert all(one.paired and one.ratio == Interval(1.0, 1.0, 1.0) for one in original.steady), (
            "each side is held against its own original"
        )
        for form in side.forms:
            assert [one.batch for one in form.steady] == [1, 8, 32]
            assert {first.batch for first in form.first_calls} >= {1, 8, 32}
            assert form.throughput > 0 and form.memory_mb > 10
            assert min(form.import_ms, form.load_ms) >= 0 and form.steady[0].ms.value > 0
        # The planted lowering offers one that errs and one of which the child dies.
        assert {(one.plan.flavour, one.stage) for one in side.failed} == {("errs by=0.5", "verify"), ("dies", "lower")}
    assert codec.from_json(Comparison, codec.to_json(found)) == found
    page = comparison.render(found)
    assert page.count("<svg") == 6 and "copy.npz" in page


def test_another_function_is_told_from_the_same_one(job: Job) -> None:
    found = compare([job, other(job, "other.npz", scale=1.01), other(job, "copy.npz")], timed=False)
    differing, same = found.pairings
    assert not differing.same and "is not the same function as model.npz" in differing.verdict
    assert differing.parity is not None and differing.parity.max_rel == pytest.approx(0.01, rel=0.01)
    assert same.same
    assert all(side.forms == () for side in found.sides)
    assert "Nothing was timed" in comparison.render(found)


def test_without_data_the_second_gets_the_noise_of_the_first(job: Job) -> None:
    first = replace(job, data=None, samples=40)
    found = compare([first, replace(other(job, "copy.npz"), data=None, samples=40)], timed=False)
    assert found.data == "generated"
    assert "nothing here was proven on real ones" in found.sides[0].notes[0]
    said = [text.removeprefix("warning: ") for text in found.sides[0].notes]
    assert len(said) == len(set(said))
    assert found.pairings[0].parity is not None and found.pairings[0].parity.max_rel == 0.0


def test_files_of_one_name_are_told_apart(job: Job) -> None:
    other = job.source.parent / "deep" / "model.npz"
    other.parent.mkdir()
    shutil.copy(job.source, other)
    found = compare([job, replace(job, source=other)], timed=False)
    assert [side.name for side in found.sides] == [f"{job.source.parent.name}/model.npz", "deep/model.npz"]


def test_one_source_alone_or_one_that_is_none_is_refused(job: Job, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two sources at least"):
        compare([job])
    (tmp_path / "nothing.npz").write_bytes(b"")
    with pytest.raises(SourceUnreadable, match=r"nothing\.npz"):
        compare([job, replace(job, source=tmp_path / "nothing.npz")], timed=False)
