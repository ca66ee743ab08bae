"""A runtime for another target than a server: its candidates are verified, raced apart, packed under exports/ and never served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roadworthy.build.job import Job
from roadworthy.core import registry

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


def test_a_target_has_a_default_and_is_read_without_importing_the_runtime(planted_target: None, tmp_path: Path) -> None:
    assert (registry.facts("null").target, registry.facts("null").on_target) == ("server", True)
    assert (registry.facts(TARGET).target, registry.facts(TARGET).on_target) == ("elsewhere", False)
    # The original runs on a runtime for a server, though another one, first by name, takes its format.
    assert registry.runtime_for("npz") == "null"
