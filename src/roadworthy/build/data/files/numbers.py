"""Files that each hold one sample as numbers: a sound, or an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.text import first_line
from roadworthy.core.types import Array
from roadworthy.preprocess.sound import wav

SUFFIXES = (".wav", ".npy")


class NumberFiles:
    """Reads files one after another; all sounds must have the rate of the first.

    With ``channels_first`` a sound of several channels is [channels, frames], as PyTorch has it, else [frames, channels].
    """

    def __init__(self, *, channels_first: bool) -> None:
        self._channels_first = channels_first
        self._first: tuple[Path, int] | None = None

    def read(self, path: Path) -> Array:
        """The sample in ``path``; DataError where it cannot be read or has another rate."""
        if path.suffix.lower() == ".npy":
            return _array(path)
        sound = wav.read(path)
        first, rate = self._first = self._first or (path, sound.rate)
        if sound.rate != rate:
            raise DataError(
                f"{path} has {sound.rate:,} frames a second, and {first} {rate:,}: resample them to one rate, or state that in [audio] of "
                "a TOML file, --preprocess FILE.toml"
            )
        return np.ascontiguousarray(sound.values.T) if self._channels_first else sound.values

    @property
    def said(self) -> str:
        """How the sounds were read; empty where there was none."""
        if self._first is None:
            return ""
        return (
            f"the sounds have {self._first[1]:,} frames a second, which was not changed; 16-bit values were divided by 32,768, others by "
            "their own full scale"
        )


def are_numbers(files: list[Path]) -> bool:
    """Whether all of ``files`` are of a kind that holds numbers."""
    return bool(files) and all(file.suffix.lower() in SUFFIXES for file in files)


def _array(path: Path) -> Array:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise DataError(f"{path} cannot be read as an array: {first_line(problem, empty='it is damaged')}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biufc":
        raise DataError(f"{path} does not hold an array of numbers")
    return array
