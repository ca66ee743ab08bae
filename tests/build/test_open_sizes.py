"""Symbolic axes beside the samples: their limits, and how capture, verification and sessions keep them; no framework computes here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.capture import parity as capture_parity
from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.build.capture.original import Subject
from roadworthy.build.capture.route import Written
from roadworthy.build.graphs import promised
from roadworthy.build.verify import feeding, metrics, reference
from roadworthy.build.verify.reference import Reference, ReferenceRequest
from roadworthy.build.verify.trial import CandidateTrial
from roadworthy.core import samples
from roadworthy.core.errors import InvalidRequest
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, Arrays, Signature, SizeRange, TensorSpec
from roadworthy.runtimes import CheckedSession

TIME = SizeRange("time", (4, 2, 7, 1), least=1, most=50)
X = TensorSpec("x", "float32", ("time", BATCH, 3), sample_axis=1)
SIGNATURE = Signature((X,), (TensorSpec("y", "float32", (BATCH, 3)),), sizes=(TIME,))
Answer = Callable[[Array], Array]


def mean(x: Array) -> Array:
    """The mean over the time."""
    answer: Array = x.mean(axis=0)
    return answer


def of_four(x: Array) -> Array:
    """The size of the samples is in it as a constant."""
    return np.asarray(x.sum(axis=0) / 4, np.float32)


def fails_beyond(size: int) -> Answer:
    def answer(x: Array) -> Array:
        if not 2 <= len(x) <= size:
            raise ValueError(f"no kernel for {len(x)} steps")
        return mean(x)

    return answer


class Plain:
    """A session of a function over ``x``."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def run(self, feeds: Arrays) -> dict[str, Array]:
        return {"y": self.answer(feeds["x"])}

    def close(self) -> None:
        """Nothing is held."""


def session(answer: Answer = mean, signature: Signature = SIGNATURE) -> CheckedSession:
    return CheckedSession(Plain(answer), signature, None)


@pytest.fixture
def given(tmp_path: Path) -> SampleSet:
    return samples.write(tmp_path / "samples", {"x": np.random.default_rng(0).standard_normal((9, 4, 3)).astype(np.float32)})


def test_a_range_says_what_it_allows() -> None:
    axis = SizeRange("height", (64, 32, 96), least=32, most=128, multiple=32)
    assert [size for size in (16, 32, 48, 64, 128, 160) if axis.allows(size)] == [32, 64, 128]
    assert str(axis) == "32 to 128, in multiples of 32"
    assert str(SizeRange("time", (4,))) == "at least 1"
    assert axis.until(96) == SizeRange("height", (64, 32, 96), least=32, most=96, multiple=32)
    assert TIME.until(3) == SizeRange("time", (4, 7, 3), least=3, most=50)
    assert TIME.both(SizeRange("time", (4, 2, 6), least=2, multiple=2)) == SizeRange("time", (4, 2, 6), least=2, most=50, multiple=2)


def test_every_axis_is_tried_alone_and_all_at_once() -> None:
    signature = replace(SIGNATURE, sizes=(SizeRange("height", (8, 4, 12)), SizeRange("width", (8, 4, 12))))
    assert signature.size_cases() == (
        {"height": 4, "width": 8}, {"height": 12, "width": 8}, {"height": 8, "width": 4}, {"height": 8, "width": 12},
        {"height": 4, "width": 12},
    )  # fmt: skip
    assert SIGNATURE.size_cases() == ({"time": 2}, {"time": 7}, {"time": 1})
    assert SIGNATURE.closed().inputs[0].shape == (4, BATCH, 3)


def test_samples_of_another_size_hold_the_same_values() -> None:
    rows = np.arange(24).reshape(2, 4, 3)
    longer = X.resized(rows, {"time": 6}, rows=True)
    np.testing.assert_array_equal(longer, np.concatenate([rows, rows[:, :2]], axis=1))
    np.testing.assert_array_equal(X.resized(X.to_call(rows), {"time": 2}), X.to_call(rows[:, :2]))


def test_a_session_takes_what_was_proven_and_says_the_limits() -> None:
    open_ = session()
    for size in (1, 7, 50):
        assert open_.run({"x": np.ones((size, 2, 3), np.float32)})["y"].shape == (2, 3)
    with pytest.raises(InvalidRequest, match="time is 51; this model takes time of 1 to 50"):
        open_.run({"x": np.ones((51, 2, 3), np.float32)})


def test_more_samples_than_the_limit_are_cut_along_their_axis() -> None:
    limited = replace(SIGNATURE, max_batch=2)
    x = np.random.default_rng(1).standard_normal((5, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(session(signature=limited).run({"x": x})["y"], mean(x), rtol=1e-6)


def subject(given: SampleSet, signature: Signature = SIGNATURE) -> Any:
    graph = Graph("planted", given.path, signature, "the original")
    return Subject(graph=graph, signature=signature, samples=given, call=Plain(mean).run, batch=3)


def test_a_graph_that_is_right_at_every_size_keeps_the_range(given: SampleSet) -> None:
    written = capture_parity._proven(session(), Written(given.path, SIGNATURE), subject(given))
    assert written.signature.sizes == (TIME,) and not written.notes


def test_a_graph_with_a_size_baked_in_is_refused(given: SampleSet) -> None:
    with pytest.raises(Refused, match=r"right at the sizes of the samples, and not at time = 2 \(y differs"):
        capture_parity._proven(session(of_four), Written(given.path, SIGNATURE), subject(given))


def test_a_graph_that_fails_at_a_size_promises_less(given: SampleSet) -> None:
    written = capture_parity._proven(session(fails_beyond(6)), Written(given.path, SIGNATURE), subject(given))
    (axis,) = written.signature.sizes
    assert (axis.least, axis.most) == (2, 6) and set(axis.sizes) == {4, 2, 6}
    assert any(note.startswith("fails at time = 7 (ValueError: no kernel for 7 steps), so time may be 1 to 6") for note in written.notes)
    graphs = tuple(Graph("planted", given.path, one, "") for one in (written.signature, SIGNATURE))
    assert promised(SIGNATURE, graphs).sizes == (axis,)


def test_the_sizes_of_the_samples_are_promised_where_no_graph_keeps_the_axis(given: SampleSet) -> None:
    graphs = tuple(Graph("planted", given.path, one, "") for one in (SIGNATURE.closed(), SIGNATURE))
    assert promised(SIGNATURE, graphs) == SIGNATURE.closed()
    assert promised(SIGNATURE, graphs[1:]) == SIGNATURE, "the original alone, used as it is"


@pytest.fixture
def truth(given: SampleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reference:
    monkeypatch.setattr(reference, "open_session", lambda path, signature, plan: session())
    monkeypatch.setattr(reference.registry, "runtime_for", lambda format: "planted")
    return reference.establish(ReferenceRequest(Graph("planted", given.path, SIGNATURE, ""), given, 1, tmp_path / "reference"))


def test_the_original_is_asked_at_other_sizes_too(truth: Reference, given: SampleSet) -> None:
    assert [str(sized) for sized in truth.sized] == ["time = 2", "time = 7", "time = 1"]
    rows = given.feeds(0, 3)["x"]
    np.testing.assert_allclose(truth.values(truth.sized[0])["y"], rows[:, :2].mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [(mean, ""), (of_four, "answers wrongly at time = 2: its error is"), (fails_beyond(6), "fails at time = 7: no kernel")],
)
def test_a_candidate_that_errs_at_another_size_is_rejected(answer: Answer, fault: str, truth: Reference, given: SampleSet) -> None:
    trial = CandidateTrial(session(answer), SIGNATURE, given, truth, metrics.Reading())
    found, _, _ = trial.all_samples(metrics.find("error", metrics.Reading()))
    assert found.worst < 1e-6, "it is right at the sizes of the samples"
    assert trial.batch_fault((1, 2, 5)) == "", "along the axis of the samples"
    said = trial.sizes_fault(truth, found.worst)
    assert said.startswith(fault) and bool(said) == bool(fault)


def test_samples_share_a_call_only_with_the_same_settings(tmp_path: Path) -> None:
    signature = Signature((TensorSpec("x", "float32", (BATCH, 1)), TensorSpec("scale", "float32", (), sample_axis=None)), ())
    scale = np.array([1, 1, 1, 2, 2, 1], np.float32)
    given = samples.write(tmp_path / "settings", {"x": np.ones((6, 1), np.float32), "scale": scale})
    assert list(feeding.calls(signature, given, 2, 6)) == [(0, 2), (2, 3), (3, 5), (5, 6)]
