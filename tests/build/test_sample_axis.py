"""Building with samples along axis 1, or with a tensor for the whole call: drawing, feeding, capture and proofs ask the signature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.benchmark import worker
from roadworthy.build.capture.original import Subject
from roadworthy.build.data.dataset import check_inputs
from roadworthy.build.lower import calibration_batches
from roadworthy.build.sources import inference_mode, inputs
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import made, ranges, sampling
from roadworthy.build.verify import feeding
from roadworthy.core import samples
from roadworthy.core.errors import DataError, NotInference, StepFailed
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, Arrays, Signature, TensorSpec
from roadworthy.runtimes import CheckedSession
from support.models.sample_axis import FEATURES, SIGNATURE, TIME, WITH_GAIN, TimeFirst, X, answers, rows


@pytest.fixture
def given(tmp_path: Path) -> SampleSet:
    return samples.write(tmp_path / "samples", {"x": rows(7)})


@pytest.fixture
def with_gain(tmp_path: Path) -> SampleSet:
    return samples.write(tmp_path / "gain", {"x": rows(7), "gain": np.full((7, 1), 2, np.float32)})


def test_samples_are_checked_without_the_axis(given: SampleSet) -> None:
    check_inputs(given, SIGNATURE)
    with pytest.raises(DataError, match="has samples of shape"):
        check_inputs(given, Signature((TensorSpec("x", "float32", (FEATURES, BATCH, TIME), sample_axis=1),), ()))


def test_samples_are_drawn_and_made_in_the_layout_of_the_model(given: SampleSet, tmp_path: Path) -> None:
    np.testing.assert_array_equal(sampling.draw((X,), 3, given)["x"], X.to_call(rows(3)))
    assert {name: array.shape for name, array in sampling.draw(WITH_GAIN.inputs, 3, None).items()} == {
        "x": (TIME, 3, FEATURES),
        "gain": (1,),
    }
    fills = ranges.learn(model(), (X,), ())
    assert made.write(tmp_path / "made", (X,), fills, 6).open()["x"].shape == (6, TIME, FEATURES)


def test_open_sizes_are_those_of_one_sample() -> None:
    known = TensorSpec("x", "float32", ("time", BATCH, 3), sample_axis=1)
    (closed,) = inputs.resolve((known,), (TensorSpec("x", "float32", (9, BATCH, 3)),), None)
    assert closed == TensorSpec("x", "float32", (9, BATCH, 3), sample_axis=1)


def test_the_reference_is_fed_and_read_along_the_axis(given: SampleSet, with_gain: SampleSet) -> None:
    session = TimeFirst()
    pieces = list(feeding.answers(session, SIGNATURE, given, 3))
    np.testing.assert_allclose(np.concatenate([piece.outputs["y"] for piece in pieces]), answers(rows(7)), rtol=1e-6)
    assert session.sizes == [3, 3, 1]
    (piece,) = feeding.answers(TimeFirst(), WITH_GAIN, with_gain, 7)
    np.testing.assert_allclose(piece.outputs["y"], 2 * answers(rows(7)), rtol=1e-6)
    assert piece.outputs["total"].shape == (7,), "one value stands for each sample of its call"
    session = TimeFirst()
    pieces = list(feeding.answers(session, SIGNATURE.fixed(4), given, 1))
    np.testing.assert_allclose(np.concatenate([piece.outputs["y"] for piece in pieces]), answers(rows(7)), rtol=1e-6)
    assert session.sizes == [4, 4]


def test_an_output_that_does_not_count_the_samples_is_refused(given: SampleSet) -> None:
    class Transposed(TimeFirst):
        def run(self, feeds: Arrays) -> dict[str, Array]:
            return {"y": super().run(feeds)["y"].T}

    with pytest.raises(StepFailed, match="its axis 1 must count the samples"):
        list(feeding.answers(Transposed(), SIGNATURE, given, 2))


def test_the_original_is_captured_with_calls_of_its_layout(with_gain: SampleSet) -> None:
    graph = Graph("module", with_gain.path, WITH_GAIN, route="")
    feeds = Subject(graph=graph, signature=WITH_GAIN, samples=with_gain, call=TimeFirst().run).feeds(3, start=6)
    np.testing.assert_array_equal(feeds["x"], X.to_call(rows(7)[[6, 0, 1]]))
    assert feeds["gain"].tolist() == [2]


def test_calibration_comes_in_calls(given: SampleSet) -> None:
    assert [batch["x"].shape[1] for batch in calibration_batches(given, SIGNATURE, 3)] == [3, 3, 1]
    assert [batch["x"].shape[1] for batch in calibration_batches(given, SIGNATURE.fixed(3), 3)] == [3, 3]


def test_a_race_calls_in_the_layout_of_the_model(given: SampleSet) -> None:
    session = CheckedSession(TimeFirst(), SIGNATURE, None)
    candidate = worker._LoadedCandidate(worker.BenchmarkRequest(given.path, SIGNATURE, Plan("null"), given), session)
    assert [feeds["x"].shape for feeds in candidate.feeds(1)] == [(TIME, 1, FEATURES)] * 7
    np.testing.assert_array_equal(candidate.feeds(3)[0]["x"], X.to_call(rows(3)))


def model(call: object = None) -> Model:
    def answer(feeds: Arrays) -> dict[str, Array]:
        return TimeFirst().run({name: np.ascontiguousarray(array) for name, array in feeds.items()})

    return Model(call or answer, (X,), lambda signature, out: Graph("npz", out, signature, route=""), 0)  # type: ignore[arg-type]


def test_inference_mode_is_proven_along_the_axis(given: SampleSet) -> None:
    case = inference_mode.ModelUnderProof(model(), SIGNATURE, 5, symbolic=True, rows=True)
    proofs = inference_mode.prove(case, given, allow=False)
    assert "the 4 others in its batch were replaced" in proofs[1]
    assert proofs[2].startswith("each of 5 samples alone gave")

    def coupled(feeds: Arrays) -> dict[str, Array]:
        y = feeds["x"].sum(axis=0).T
        return {"y": y - y.mean(axis=1, keepdims=True)}

    case = inference_mode.ModelUnderProof(model(coupled), SIGNATURE, 5, symbolic=True, rows=True)
    with pytest.raises(NotInference, match="changes with the others in its batch"):
        inference_mode.prove(case, given, allow=False)


def test_a_tensor_for_the_whole_call_stays_when_the_others_are_replaced(with_gain: SampleSet) -> None:
    case = inference_mode.ModelUnderProof(model(), WITH_GAIN, 3, symbolic=False, rows=True)
    feeds, others = case.draw(with_gain, 0), case.draw(with_gain, 2)
    # Other answers than the model's: the replaced inputs are told where an answer differs.
    here = {name: rows + 1 for name, rows in case.rows_of(feeds, 3).items()}
    replaced, _ = inference_mode._with_others_replaced(case, feeds, others, here)
    np.testing.assert_array_equal(replaced["gain"], feeds["gain"])
    np.testing.assert_array_equal(replaced["x"][:, :1], feeds["x"][:, :1])
    assert (replaced["x"][:, 1:] != feeds["x"][:, 1:]).all()
