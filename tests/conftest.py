"""Fixtures that tests of several rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest

import bundles


@pytest.fixture(scope="session")
def real() -> Path:
    """Real models and data beside the repository; absent on most machines, and then the test is skipped."""
    path = Path(__file__).parents[2] / "shared" / "real"
    if not path.is_dir():
        pytest.skip(f"needs the real models and data at {path}")
    return path


@pytest.fixture(scope="session")
def null_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed bundle of a linear map on the null runtime; nobody changes it."""
    return bundles.write_bundle(tmp_path_factory.mktemp("bundles") / "linear")
