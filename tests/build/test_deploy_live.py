"""Arrays in memory become the data of a deployment as they are, or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build import deploy_live
from roadworthy.core.errors import DataError, UsageError


@pytest.mark.parametrize("data", [np.ma.masked_less([[1.0], [-999.0]], 0), {"x": np.ma.masked_less([[1], [-1]], 0)}])
def test_masked_values_are_not_revealed(data: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'x' has masked values"):
        deploy_live._data_file(data, tmp_path)


def test_labels_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="y has masked values"):
        deploy_live._data_file((np.zeros((2, 1)), np.ma.masked_less([1, -1], 0)), tmp_path)


def test_whole_numbers_are_kept(tmp_path: Path) -> None:
    file = deploy_live._data_file(np.array([[2**62 + 1]]), tmp_path)
    assert file is not None and np.load(file)["x"].tolist() == [[2**62 + 1]]
