"""Wav files by hand, in every form, whole and damaged."""

from __future__ import annotations

import struct

import numpy as np

CODES = {"i": 1, "u": 1, "f": 3}


def wav(frames: np.ndarray, rate: int = 16000, *, extensible: bool = False, before: bytes = b"", size: int | None = None) -> bytes:
    """A wav file of ``frames`` [n] or [n, channels], int16, uint8, int32, float32 or float64; int64 are written as 24 bits.

    ``before`` are chunks in front of the sound, and ``size`` is what the header says of it.
    """
    channels = 1 if frames.ndim == 1 else frames.shape[1]
    bits = 24 if frames.dtype == np.int64 else frames.dtype.itemsize * 8
    if bits == 24:
        body = np.ascontiguousarray(frames.astype("<i4")).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    else:
        body = frames.astype(frames.dtype.newbyteorder("<")).tobytes()
    return container(body, CODES[frames.dtype.kind], channels, rate, bits, extensible=extensible, before=before, size=size)


def container(
    body: bytes, code: int, channels: int, rate: int, bits: int, *, extensible: bool = False, before: bytes = b"", size: int | None = None
) -> bytes:
    """``body`` as the sound of a wav file whose header says so."""
    block = channels * bits // 8 & 0xFFFF
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else code, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 0, code) + bytes.fromhex("000000001000800000aa00389b71")
    chunks = chunk(b"fmt ", form) + before + b"data" + struct.pack("<I", len(body) if size is None else size) + body
    return b"RIFF" + struct.pack("<I", (4 + len(chunks)) & 0xFFFFFFFF) + b"WAVE" + chunks


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk, with the byte that makes its size even."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def tone(frames: int, pitch: float = 440.0, rate: int = 16000, loud: float = 0.5) -> np.ndarray:
    """A sine as int16 [frames]."""
    return np.rint(loud * 32767 * np.sin(2 * np.pi * pitch * np.arange(frames) / rate)).astype(np.int16)
