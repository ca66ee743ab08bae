"""The ten shape operations on every path: a cell is equal to the framework's own answer, or refused for a reason that is listed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from conformance import shapes, table
from conformance.walk import Row, WalkRequest, walk
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.worker import Limits

pytestmark = pytest.mark.slow

NAMES = tuple(case.name for case in shapes.CASES)
OFTEN = ("torch",)
"""The side whose table is walked each time; that of the other is in the long form of the suite."""
SIDES = [side if side in OFTEN else pytest.param(side, marks=pytest.mark.soak) for side in ("torch", "tensorflow")]
Rows = Callable[[str], dict[str, Row]]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of a framework's table by case, walked once, in a child."""

    @cache
    def walked(framework: str) -> dict[str, Row]:
        request = WalkRequest(framework, NAMES, table.QUICK[framework], tmp_path_factory.mktemp(framework) / "walk")
        return {row.case: row for row in isolate.call(walk, request, limits=Limits(seconds=280)).rows}

    return walked


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("framework", SIDES)
def test_a_cell_is_equal_or_refused_for_a_listed_reason(rows: Rows, framework: str, name: str) -> None:
    cells = rows(framework)[name].cells
    assert not [f"{cell.way}: {cell.differs}" for cell in cells if cell.differs]
    refused = {cell.way: cell.refused for cell in cells if cell.refused}
    listed = {way: reason for (side, case, way), reason in shapes.GAPS.items() if (side, case) == (framework, name)}
    assert refused.keys() == listed.keys(), refused
    for way, reason in listed.items():
        assert reason in refused[way]


@pytest.mark.parametrize("framework", SIDES)
def test_the_documented_table_says_what_was_found(rows: Rows, framework: str) -> None:
    documented = table.read(framework)
    for name, row in rows(framework).items():
        for cell in row.cells:
            assert documented[name][cell.way] == bool(not cell.refused), (name, cell.way)


@pytest.mark.soak
def test_the_runtime_that_compiles_each_model_answers_all_operations_in_one(tmp_path: Path) -> None:
    request = WalkRequest("torch", (shapes.TOGETHER.name,), table.SLOW, tmp_path / "walk")
    (row,) = isolate.call(walk, request, limits=Limits(seconds=280)).rows
    cells = [cell for cell in row.cells if cell.way.startswith(table.SLOW)]
    assert cells and not [cell for cell in cells if cell.refused or cell.differs]


def test_a_dense_kernel_ported_in_the_wrong_order_is_found() -> None:
    import numpy as np
    import torch

    (x,) = shapes.CASES[-1].feeds(3).values()
    kernel, dense = shapes.kernels()
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
    by_hand = np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, kernel), 0).reshape(3, -1) @ dense
    right, wrong = (shapes.torch_module("conv_flatten_dense", naive=naive)(torch.from_numpy(x)).detach().numpy() for naive in (False, True))
    np.testing.assert_allclose(right, by_hand, rtol=1e-4, atol=1e-4)
    assert np.abs(wrong - by_hand).max() > 0.1 * np.abs(by_hand).max()
