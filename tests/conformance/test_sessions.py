"""What every room relies on, asked of every backend in the registry: one suite, no backend known by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conformance.conftest import Bench
from conformance.gaps import GAPS
from conformance.models import BATCHES, MODELS, Captured
from roadworthy.core import registry
from roadworthy.core.errors import InvalidRequest, RoadworthyError, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import Array, Arrays
from roadworthy.runtimes import CheckedSession, open_session

pytestmark = pytest.mark.slow

TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 5e-2, "int8": 1.5e-1}
"""Largest error relative to the output's scale. Whether that is good enough for a user is verify's to say."""


def test_every_gap_is_of_a_test_and_a_backend_that_exist() -> None:
    tests = {name for name in globals() if name.startswith("test_")}
    for backend, test in GAPS:
        assert backend in registry.names(registry.LOWERINGS)
        name, _, model = test.partition("[")
        assert name in tests
        assert not model or model.removesuffix("]").partition("-")[0] in MODELS


def test_answers_are_the_originals(bench: Bench, backend: str, model: str) -> None:
    captured = bench.captured(model)
    for session in (bench.simplest(backend, model), *bench.as_captured(backend, model)):
        with session:
            for batch in captured.model.batches:
                feeds = captured.model.feeds(batch)
                _assert_close(session.run(feeds), captured.answers(feeds), TOLERANCE["fp32"])


def test_every_graph_that_is_accepted_gives_the_same_answers(bench: Bench, backend: str, model: str, form: str) -> None:
    """A graph that fails is replaced by the next one, which must be as good."""
    captured = bench.captured(model)
    if plan := bench.exact(backend, model, form):
        with bench.opened(plan, model, form=form) as session:
            feeds = captured.model.feeds(captured.graphs[form].signature.call_size(3))
            _assert_close(session.run(feeds), captured.answers(feeds), TOLERANCE["fp32"])


def test_every_artefact_that_is_offered_answers(bench: Bench, backend: str, main: str) -> None:
    """Every precision of this CPU, fixed batches with their padding; several artefacts of machine code take too long.

    What keeps sensitive layers in float is made only of a model that has some.
    """
    plans = {plan.artefact: plan for plan in reversed(bench.plans(backend, main)) if "sensitive" not in plan.flavour}
    if registry.facts(backend).native and (plan := bench.exact(backend, main)):
        plans = {plan.artefact: plan}
    captured = bench.captured(main)
    for plan in plans.values():
        with bench.opened(plan, main) as session:
            for batch in BATCHES:
                feeds = captured.model.feeds(batch)
                _assert_close(session.run(feeds), captured.answers(feeds), TOLERANCE[plan.precision])


def test_a_strided_feed_is_read_as_it_looks(session: CheckedSession, captured: Captured) -> None:
    feeds = captured.model.feeds(3)
    strided = {name: np.asfortranarray(array) for name, array in feeds.items()}
    assert not any(array.flags.c_contiguous for array in strided.values())
    _assert_same(session.run(strided), session.run(feeds))


def test_feeds_are_only_read(session: CheckedSession, captured: Captured) -> None:
    feeds = captured.model.feeds(3)
    before = {name: array.copy() for name, array in feeds.items()}
    answers = session.run(feeds)
    _assert_same(feeds, before)
    for array in feeds.values():
        array.flags.writeable = False
    _assert_same(session.run(feeds), answers)


def test_a_later_call_leaves_earlier_answers_alone(session: CheckedSession, captured: Captured) -> None:
    first = session.run(captured.model.feeds(2, seed=1))
    kept = {name: array.copy() for name, array in first.items()}
    session.run(captured.model.feeds(2, seed=2))
    session.run(captured.model.feeds(5, seed=3))
    session.close()
    _assert_same(first, kept)


def test_a_changed_feed_changes_the_answer(session: CheckedSession, captured: Captured) -> None:
    """The same arrays with other numbers in them, as a server that reuses its buffers would send."""
    feeds = captured.model.feeds(2, seed=1)
    session.run(feeds)
    for name, array in captured.model.feeds(2, seed=2).items():
        feeds[name][...] = array
    _assert_close(session.run(feeds), captured.answers(feeds), TOLERANCE["fp32"])


def test_the_same_feed_gives_the_same_answer(session: CheckedSession, captured: Captured) -> None:
    feeds = captured.model.feeds(3)
    first = session.run(feeds)
    session.run(captured.model.feeds(1))
    _assert_same(session.run(feeds), first)


def test_two_sessions_in_one_process(session: CheckedSession, captured: Captured, again: Callable[..., CheckedSession]) -> None:
    feeds = captured.model.feeds(2, seed=1)
    first = session.run(feeds)
    with again() as other:
        _assert_same(other.run(feeds), first)
        other.run(captured.model.feeds(3, seed=2))
        _assert_same(session.run(feeds), first)
    _assert_same(session.run(feeds), first)


def test_threads_do_not_change_the_answer(session: CheckedSession, captured: Captured, again: Callable[..., CheckedSession]) -> None:
    feeds = captured.model.feeds(3)
    with again(threads=2) as other:
        _assert_close(other.run(feeds), session.run(feeds), TOLERANCE["fp32"])


def test_what_does_not_fit_the_signature_is_refused(session: CheckedSession, captured: Captured) -> None:
    feeds = captured.model.feeds(2)
    ((name, array),) = feeds.items()
    wrong = {
        "dtype": {name: array.astype(np.float64)},
        "shape": {name: array[..., :-1]},
        "rank": {name: array[0]},
        "no samples": {name: array[:0]},
        "name": {"other": array},
        "missing": {},
        "one too many": {**feeds, "other": array},
    }
    for feed in wrong.values():
        with pytest.raises(InvalidRequest):
            session.run(feed)
    _assert_close(session.run(feeds), captured.answers(feeds), TOLERANCE["fp32"])


def test_a_closed_session_says_so(session: CheckedSession, captured: Captured) -> None:
    session.run(captured.model.feeds(1))
    session.close()
    session.close()
    with pytest.raises(UsageError, match="closed"):
        session.run(captured.model.feeds(1))


def test_a_directory_without_a_model_is_refused(backend: str, main: str, tmp_path: Path) -> None:
    """By one of our errors, or by the system's word for a missing file."""
    with pytest.raises((RoadworthyError, OSError)):
        open_session(tmp_path, MODELS[main].signature, Plan(backend))


def _assert_close(found: Arrays, wanted: Arrays, tolerance: float) -> None:
    """Same names in the same order, dtypes and shapes; floats within ``tolerance`` of the output's scale."""
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        if array.dtype.kind == "f":
            assert np.abs(found[name] - array).max() <= tolerance * _scale(array), name
        else:
            assert np.array_equal(found[name], array), name


def _assert_same(found: Arrays, wanted: Arrays) -> None:
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert np.array_equal(found[name], array), name


def _scale(array: Array) -> float:
    return float(np.abs(array).max())
