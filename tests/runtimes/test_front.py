"""A model behind steps, in any runtime: pixels in, at any number of samples, and what is made of it keeps its steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build import lower
from roadworthy.core.errors import InvalidRequest, UsageError
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec
from roadworthy.preprocess.front import Front, front_of, put_in_front
from roadworthy.preprocess.steps import ChannelsFirst, Normalize
from roadworthy.runtimes import open_session

FRONT = Front((ChannelsFirst(), Normalize(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))))
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 2, 4, 3), np.uint8)
WEIGHT = np.random.default_rng(1).normal(size=(24, 3)).astype(np.float32)


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """A linear map of [3,2,4] behind the steps."""
    home = tmp_path / "home"
    home.mkdir()
    np.savez(home / "model.npz", weight=WEIGHT, bias=np.zeros(3, np.float32))
    inputs = (TensorSpec("x", "uint8", (BATCH, 2, 4, 3)),)
    path = put_in_front(FRONT, home / "model.npz", tmp_path / "fronted")
    return Graph("npz", path, Signature(inputs, (TensorSpec("y", "float32", (BATCH, 3)),)), "made", unfolded=True)


def wanted(pixels: Array) -> Array:
    return np.asarray(FRONT.samples(pixels).reshape(len(pixels), -1) @ WEIGHT)


@pytest.mark.parametrize("batch", [None, 1, 2])
def test_a_session_takes_pixels(graph: Graph, batch: int | None) -> None:
    with open_session(graph.path, graph.signature, Plan("null", batch=batch)) as session:
        assert session.front is not None and session.front.front == FRONT
        for count in (1, 2, 5):
            found = session.run({"x": PIXELS[:count]})["y"]
            assert np.allclose(found, wanted(PIXELS[:count]), atol=1e-5)
        # What comes strided is not read as if it were contiguous.
        assert np.allclose(session.run({"x": PIXELS[::2]})["y"], wanted(PIXELS[::2]), atol=1e-5)
        with pytest.raises(InvalidRequest, match=r"the model takes x:uint8\[batch,2,4,3\]"):
            session.run({"x": FRONT.samples(PIXELS)})
    with pytest.raises(UsageError, match="closed"):
        session.run({"x": PIXELS})


def test_a_candidate_of_it_keeps_its_steps_in_front(graph: Graph, tmp_path: Path) -> None:
    plan = Plan("null").made_from(graph)
    assert plan.name == "null-fp32-unfolded-t1"
    candidate = lower.lower(lower.LowerRequest(graph, plan, None, tmp_path / "candidate"))
    found = front_of(candidate.path)
    assert found is not None and found[0] == FRONT
    assert candidate.size == sum(file.stat().st_size for file in candidate.path.rglob("*") if file.is_file())
    with open_session(candidate.path, candidate.signature, plan) as session:
        assert np.allclose(session.run({"x": PIXELS})["y"], wanted(PIXELS), atol=1e-5)


@pytest.mark.parametrize("fault", ["mean", "std", "layout"])
def test_other_steps_give_other_answers(graph: Graph, tmp_path: Path, fault: str) -> None:
    normalize = {"mean": Normalize(mean=(0.6, 0.5, 0.4), std=(0.2, 0.3, 0.4)), "std": Normalize(mean=(0.4, 0.5, 0.6), std=(0.2,))}
    wrong = Front(
        (Normalize(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), axis=2),) if fault == "layout" else (ChannelsFirst(), normalize[fault])
    )
    path = put_in_front(wrong, graph.path / "model.npz", tmp_path / "other")
    with open_session(path, graph.signature, Plan("null")) as session:
        assert not np.allclose(session.run({"x": PIXELS})["y"], wanted(PIXELS), atol=1e-2)


def test_the_names_of_plans_with_and_without_are_different(graph: Graph) -> None:
    assert Plan("null").made_from(graph).artefact != Plan("null").made_from(replace(graph, unfolded=False)).artefact
