"""A linear classifier and its data as files, for deployments that need no framework."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support import short_races, warm_children
from support.models.linear import planted_here

FEATURES, CLASSES, SAMPLES = 12, 4, 400


@pytest.fixture(scope="session")
def step_server() -> Iterator[str]:
    """A server of forks that has imported the steps of a deployment, and no framework."""
    with warm_children.server("roadworthy.build.sources", "roadworthy.build.verify", "roadworthy.build.benchmark") as address:
        yield address


@pytest.fixture
def warm_steps(step_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of this test's deployments are forks of ``step_server``."""
    warm_children.install(step_server, monkeypatch.setattr)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of this folder judges the speed of a deployment."""
    short_races.shorten(monkeypatch.setattr)


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    """A folder with ``model.npz`` and ``data.npz``, whose labels are the model's own answers but for one in ten."""
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((FEATURES, CLASSES)).astype(np.float32)
    bias = np.zeros(CLASSES, np.float32)
    x = generator.standard_normal((SAMPLES, FEATURES)).astype(np.float32)
    y = np.argmax(x @ weight + bias, axis=1)
    y[::10] = (y[::10] + 1) % CLASSES
    np.savez(tmp_path / "model.npz", weight=weight, bias=bias)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return tmp_path


__all__ = ["linear", "planted_here"]
