"""Sample sets on disk: byte strings keep every byte, and nothing is pickled."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core import samples
from roadworthy.core.types import BYTES


def strings(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), BYTES)
    array[:] = values
    return array


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.data())
def test_byte_strings_come_back_as_they_were(values: list[bytes], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values) - 1))
    with tempfile.TemporaryDirectory() as folder:
        written = samples.write(Path(folder) / "set", {"a/wav": strings(*values)})
        assert list(written.open()["a/wav"]) == values
        assert list(written.feeds(start, len(values))["a/wav"]) == values[start:]
        assert all(path.suffix == ".npy" and np.load(path, allow_pickle=False) is not None for path in written.path.iterdir())


def test_byte_strings_follow_their_input_to_another_name(tmp_path: Path) -> None:
    written = samples.write(tmp_path / "set", {"input": strings(b"ab\0", b"", b"\0")}, np.array([2, 0, 1]))
    other = samples.renamed(written, ("wav_data",))
    assert list(other.open()["wav_data"]) == [b"ab\0", b"", b"\0"]
    assert sorted(path.name for path in other.path.iterdir()) == ["ends.wav_data.npy", "in.wav_data.npy", "target.y.npy"]


def test_names_of_any_length_and_letters_have_files_of_their_own(tmp_path: Path) -> None:
    names = ["x" * 300, "x" * 299 + "y", "模" * 80, "模" * 79 + "型", "StatefulPartitionedCall/" * 12, "a" * 180]
    written = samples.write(tmp_path / "set", {name: strings(str(number).encode()) for number, name in enumerate(names)})
    assert [written.open()[name][0] for name in names] == [str(number).encode() for number in range(len(names))]
    assert max(len(path.name.encode()) for path in written.path.iterdir()) <= 255
