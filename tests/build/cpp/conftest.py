"""The graphs of all tests of generated operators, compiled once."""

from __future__ import annotations

import pytest

from support.generated_code import Compiled
from support.models.integer_cases import integer_cases
from support.models.operator_cases import cases


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return Compiled([*cases(), *integer_cases()], tmp_path_factory.mktemp("operators"))
