"""A wav file to float32 samples: PCM of 8, 16, 24 and 32 bits, and floats. Nothing is resampled, mixed or cut here."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
"""The numbers of the forms that are read; the third says in its own field which of the first two it is."""
FORMS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "ADPCM", 85: "MP3"}
MOST_CHANNELS, MOST_RATE = 64, 1_000_000
MOST_CHUNKS = 1000
"""Chunks before the sound; a file of more was made to waste time."""
UNKNOWN_SIZE = 0xFFFFFFFF
"""What programs that write to a pipe say is the size of the data: it ends where the file ends."""


@dataclass(frozen=True)
class Sound:
    """``values`` float32, [frames] of one channel or [frames, channels] of several, at ``rate`` frames a second."""

    values: Array
    rate: int


@dataclass(frozen=True)
class _Form:
    kind: int
    channels: int
    rate: int
    bits: int


def read(item: Path | bytes | bytearray | memoryview, name: str = "the sound", full_scale: int = 32768) -> Sound:
    """The sound in ``item``, a path or the bytes of a wav file.

    A whole number of ``bits`` bits is divided by 2^(bits-1), the 16-bit number by 32768, as torchaudio, librosa, soundfile and TensorFlow
    do. With a ``full_scale`` of 32767 it is divided by 2^(bits-1) - 1, and with 1 by nothing: a 16-bit number then keeps its value, and
    others get that scale. 8, 16 and 24 bits become exactly the quotient rounded to float32; numbers of 32 bits and float64 are rounded to
    float32. Floats are taken as they are.

    Raises DataError, naming the path or ``name``, for a file of another form, one that is cut off, and one that holds no sound.
    """
    name = str(item) if isinstance(item, Path) else name
    data = memoryview(_content(item)) if isinstance(item, Path) else memoryview(item)
    form, body = _parts(data, name)
    width = form.bits // 8 * form.channels
    if not len(body):
        raise DataError(f"{name} holds no sound")
    if len(body) % width:
        raise DataError(f"{name} is cut off: its last frame is not whole")
    values = _values(body, form, full_scale)
    if form.kind == FLOAT and not np.isfinite(values).all():
        raise DataError(f"{name} holds a value that is not finite")
    return Sound(values if form.channels == 1 else values.reshape(-1, form.channels), form.rate)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror or problem}") from None


def _parts(data: memoryview, name: str) -> tuple[_Form, memoryview]:
    """The form of the sound and its bytes."""
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"WAVE":
        raise DataError(f"{name} is not a wav file")
    form: _Form | None = None
    at = 12
    for _ in range(MOST_CHUNKS):
        if at + 8 > len(data):
            break
        kind, size = bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if kind == b"fmt ":
            form = _form(data[at : at + size], name)
        elif kind == b"data":
            if form is None:
                raise DataError(f"{name} does not say what its sound is before the sound")
            if size == UNKNOWN_SIZE:
                size = len(data) - at
            if at + size > len(data):
                raise DataError(f"{name} is cut off: it says that {size:,} bytes of sound follow, and {len(data) - at:,} do")
            return form, data[at : at + size]
        # A chunk of odd size is followed by one byte that does not count.
        at += size + size % 2
    raise DataError(f"{name} holds no sound")


def _form(chunk: memoryview, name: str) -> _Form:
    if len(chunk) < 16:
        raise DataError(f"{name} is damaged: it does not say what its sound is")
    kind, channels, rate, _, block, bits = struct.unpack("<HHIIHH", chunk[:16])
    if kind == EXTENSIBLE and len(chunk) >= 26:
        valid, kind = struct.unpack("<H", chunk[18:20])[0], struct.unpack("<H", chunk[24:26])[0]
        if valid not in (0, bits):
            raise DataError(f"{name} has {valid} bits a value in {bits}; convert it to a wav of 16-bit PCM")
    if kind not in (PCM, FLOAT):
        raise DataError(f"{name} is {FORMS.get(kind, f'of the form {kind}')}; convert it to a wav of 16-bit PCM")
    if bits not in ((8, 16, 24, 32) if kind == PCM else (32, 64)):
        raise DataError(f"{name} has {bits} bits a value; convert it to a wav of 16-bit PCM")
    if not (1 <= channels <= MOST_CHANNELS and 1 <= rate <= MOST_RATE):
        raise DataError(f"{name} says that it has {channels:,} channels and {rate:,} frames a second")
    if block != channels * bits // 8:
        raise DataError(f"{name} is damaged: {channels} channels of {bits} bits are not the {block} bytes a frame that it states")
    return _Form(kind, channels, rate, bits)


def _values(body: memoryview, form: _Form, full_scale: int) -> Array:
    if form.kind == FLOAT:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.frombuffer(body, f"<f{form.bits // 8}").astype(np.float32)
    whole, bits = _whole_numbers(body, form.bits), form.bits
    # In float64 the quotient of a whole number of up to 32 bits is exact enough to be rounded once.
    limit = 2.0 ** (bits - 1) - (full_scale == 32767) if full_scale != 1 else 2.0 ** (bits - 16)
    return (whole / np.float64(limit)).astype(np.float32)


def _whole_numbers(body: memoryview, bits: int) -> Array:
    if bits == 8:
        return np.frombuffer(body, np.uint8).astype(np.int16) - 128
    if bits == 24:
        # The three bytes become the upper ones of four; the shift brings the sign along.
        wide = np.zeros((len(body) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(body, np.uint8).reshape(-1, 3)
        return wide.view("<i4").reshape(-1) >> 8
    return np.frombuffer(body, f"<i{bits // 8}")
