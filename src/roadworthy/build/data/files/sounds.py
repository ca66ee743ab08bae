"""Sounds: a wav file of 16-bit PCM as numbers. Nothing is resampled, mixed or cut."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.text import first_line
from roadworthy.core.types import Array

WIDTH = 2
"""Bytes of a value of 16-bit PCM."""


@dataclass(frozen=True)
class Sound:
    """``values`` float32 in -1..1, [frames] of one channel or [frames, channels] of several, at ``rate`` frames a second."""

    values: Array
    rate: int


def read_sound(path: Path) -> Sound:
    """The sound in ``path``: each value is the 16-bit number / 32768, as torchaudio and TensorFlow read it. DataError for another form."""
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as problem:
        raise DataError(f"{path} cannot be read as a wav of 16-bit PCM: {first_line(problem, empty='it ends too early')}") from None
    if width != WIDTH:
        raise DataError(f"{path} has {8 * width} bits a value; convert it to a wav of 16-bit PCM")
    if not data or len(data) % (WIDTH * channels):
        raise DataError(f"{path} {'is cut off' if data else 'holds no sound'}")
    values = (np.frombuffer(data, "<i2") / np.float32(32768)).astype(np.float32)
    return Sound(values if channels == 1 else values.reshape(-1, channels), rate)
