"""One packed bundle of the null runtime for the tests that only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.build.package import pack
from support.models import certificates


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    pack(certificates.null_request(folder / "work"), folder / "bundle", certificates.unopened)
    return folder / "bundle"
