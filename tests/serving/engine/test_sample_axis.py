"""Serving with samples along axis 1: requests are joined, split, padded and ranked along it, golden samples are compared by it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np

from roadworthy.bundle.golden import Golden
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.answer import columns, ranks
from roadworthy.preprocess.contract import Answer
from roadworthy.runtimes import CheckedSession
from roadworthy.serving.engine import batch_plan
from roadworthy.serving.engine.golden_check import golden_errors
from roadworthy.serving.engine.inputs import as_input
from roadworthy.serving.engine.instance import QueuedRequest, call, kind_of
from support.models.sample_axis import SIGNATURE, TimeFirst, X, Y, answers, rows


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
    assert Signature((X,), (whole,)).batched is False
