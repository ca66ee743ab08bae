"""Data in memory becomes the data of a deployment as it is, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build import deploy_live
from roadworthy.build.data.live.wanted import Wanted
from roadworthy.core.errors import DataError


def shown(data: Any, folder: Path) -> dict[str, np.ndarray]:
    """The arrays that ``data`` shows of a model's inputs."""
    path, arrays = deploy_live._data_file(data, Wanted(), folder)
    assert path == str(folder / "data")
    return arrays


@pytest.mark.parametrize("data", [np.ma.masked_less([[1.0], [-999.0]], 0), {"x": np.ma.masked_less([[1], [-1]], 0)}])
def test_masked_values_are_not_revealed(data: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has masked values"):
        shown(data, tmp_path)


def test_labels_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="y has masked values"):
        shown((np.zeros((2, 1)), np.ma.masked_less([1, -1], 0)), tmp_path)


def test_whole_numbers_are_kept(tmp_path: Path) -> None:
    assert shown(np.array([[2**62 + 1]]), tmp_path)["input"].tolist() == [[2**62 + 1]]


def test_byte_strings_keep_the_zeros_at_their_ends(tmp_path: Path) -> None:
    assert shown([b"a\0", b"", "ä"], tmp_path)["input"].tolist() == [b"a\0", b"", "ä".encode()]


def test_a_path_is_left_where_it_is(tmp_path: Path) -> None:
    assert deploy_live._data_file(tmp_path, Wanted(), tmp_path) == (str(tmp_path), None)
    assert deploy_live._data_file(None, Wanted(), tmp_path) == (None, None)
