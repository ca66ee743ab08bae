"""Serving with samples along axis 1: requests are joined, split, padded and ranked along it, golden samples are compared by it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np

from roadworthy.bundle.golden import Golden
from roadworthy.core.types import BATCH, Array, Arrays, Signature, SizeRange, TensorSpec
from roadworthy.preprocess.answer import columns, ranks
from roadworthy.preprocess.contract import Answer
from roadworthy.runtimes import CheckedSession
from roadworthy.serving.engine import batch_plan
from roadworthy.serving.engine.golden_check import golden_calls, golden_errors
from roadworthy.serving.engine.inputs import as_input
from roadworthy.serving.engine.instance import QueuedRequest, call, kind_of
from support.models.sample_axis import SIGNATURE, WITH_GAIN, TimeFirst, X, Y, answers, rows


def checked_session(session: TimeFirst) -> CheckedSession:
    return CheckedSession(session, SIGNATURE, None)


def test_requests_share_a_call_and_get_their_own_answers() -> None:
    session = TimeFirst()
    checked = checked_session(session)
    model: Any = SimpleNamespace(signature=SIGNATURE, answer=checked.answer)
    loop = asyncio.new_event_loop()
    requests = []
    for part in (rows(5)[:2], rows(5)[2:]):
        given = checked.checked(SIGNATURE.to_call({"x": part}))
        requests.append(QueuedRequest(given, 0, kind_of(SIGNATURE, given.feeds), loop.create_future(), None, 0))
    loop.close()
    assert requests[0].kind == requests[1].kind
    ran = call(model, requests)
    assert ran.problem is None
    assert session.sizes == [5]
    np.testing.assert_allclose(ran.outputs[0]["y"], answers(rows(5)[:2]).T, rtol=1e-6)
    np.testing.assert_allclose(ran.outputs[1]["y"], answers(rows(5)[2:]).T, rtol=1e-6)


def test_a_constant_is_the_answer_to_every_request() -> None:
    """A detector's anchors: no request's samples are in them, so all of them may share the call."""
    signature = Signature((X,), (Y, TensorSpec("anchors", "float32", (2, 2), sample_axis=None)))
    assert signature.batched

    class WithAnchors(TimeFirst):
        def run(self, feeds: Arrays) -> dict[str, Array]:
            return super().run(feeds) | {"anchors": np.eye(2, dtype=np.float32)}

    session = WithAnchors()
    checked = CheckedSession(session, signature, None)
    model: Any = SimpleNamespace(signature=signature, answer=checked.answer)
    loop = asyncio.new_event_loop()
    given = [checked.checked(signature.to_call({"x": part})) for part in (rows(5)[:2], rows(5)[2:])]
    requests = [QueuedRequest(one, 0, kind_of(signature, one.feeds), loop.create_future(), None, 0) for one in given]
    loop.close()
    ran = call(model, requests)
    assert session.sizes == [5]
    for outputs, part in zip(ran.outputs, (rows(5)[:2], rows(5)[2:]), strict=True):
        np.testing.assert_allclose(outputs["y"], answers(part).T, rtol=1e-6)
        np.testing.assert_array_equal(outputs["anchors"], np.eye(2))


def test_requests_of_different_sizes_do_not_share_a_call() -> None:
    time = TensorSpec("x", "float32", ("time", BATCH, 3), sample_axis=1)
    signature = Signature((time,), (), sizes=(SizeRange("time", (4, 2)),))
    kinds = [kind_of(signature, {"x": np.zeros((size, 2, 3), np.float32)}) for size in (4, 4, 5)]
    assert kinds[0] == kinds[1] != kinds[2]


def test_golden_samples_with_settings_are_answered_alone() -> None:
    assert list(golden_calls(WITH_GAIN, 3)) == [(0, 1), (0, 1), (1, 2), (2, 3)]
    assert list(golden_calls(SIGNATURE, 3)) == [(0, 1), (0, 3)]


def test_golden_samples_are_rows_and_compared_as_rows() -> None:
    session = TimeFirst()
    golden = Golden({"x": rows(4)}, {"y": answers(rows(4))})
    errors = golden_errors(checked_session(session), SIGNATURE, golden)
    assert errors["y"].shape == (4,)
    assert errors["y"].max() < 1e-6
    wrong = answers(rows(4)).copy()
    wrong[2] += 1
    errors = golden_errors(checked_session(session), SIGNATURE, Golden({"x": rows(4)}, {"y": wrong}), size=2)
    assert (errors["y"] > 1e-3).tolist() == [False, False, True, False]


def test_a_plan_is_measured_with_calls_of_the_layout() -> None:
    session = TimeFirst()
    model: Any = SimpleNamespace(
        signature=SIGNATURE, run=checked_session(session).run, variant=SimpleNamespace(plan=SimpleNamespace(batch=None))
    )
    batch_plan.batches(model, {"x": rows(3)}, 1.0)
    assert {1, 2} <= set(session.sizes)


def test_a_single_sample_gets_its_axis() -> None:
    assert as_input(rows(1)[0].tolist(), X).shape == (4, 1, 3)


def test_scores_are_told_by_the_shape_of_one_sample() -> None:
    assert columns(Y) == 3
    assert ranks(Answer(), Y)
    whole = TensorSpec("y", "float32", (3,), sample_axis=None)
    assert columns(whole) is None
    assert not ranks(Answer(), whole)
    assert Signature((X,), (whole,)).batched, "a constant keeps no request out of a call"
