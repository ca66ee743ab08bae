"""Sounds and texts that were made to cost time or memory, or to be read as what they are not."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.errors import DataError
from roadworthy.preprocess.sound import wav
from roadworthy.preprocess.sound.sample_rate import MOST_PHASES, _phases, resampled
from roadworthy.preprocess.sound.sounds import AudioReader, AudioSteps
from roadworthy.preprocess.texts import TextReader
from support.files import wav_files
from support.models import tokenizers

WHOLE = wav_files.wav(wav_files.tone(20), before=wav_files.chunk(b"LIST", b"odd"))
QUICK = settings(max_examples=300, deadline=None)


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_are_a_sound_or_refused(data: bytes) -> None:
    for content in (data, b"RIFF\0\0\0\0WAVE" + data, b"RIFF\0\0\0\0WAVEfmt " + data):
        try:
            values = wav.read(content).values
        except DataError:
            continue
        assert values.dtype == np.float32 and values.nbytes <= 4 * len(content) and np.isfinite(values).all()


@QUICK
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.integers(0, len(WHOLE)))
def test_one_byte_changed_or_an_end_cut_off(place: int, byte: int, end: int) -> None:
    changed = bytearray(WHOLE)
    changed[place] = byte
    for content in (bytes(changed), WHOLE[:end]):
        try:
            found = AudioReader(AudioSteps(16000, length=12, mix=True), name="x").one(content)["x"]
        except DataError as problem:
            assert problem.message.startswith("the sound")
            continue
        assert found.shape == (12,) and np.isfinite(found).all()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from((8, 16, 24, 32)), st.integers(1, 3), st.integers(1, 40), st.integers(0, 2**32 - 1), st.booleans(),
)  # fmt: skip
def test_what_was_written_is_read(bits: int, channels: int, frames: int, seed: int, extensible: bool) -> None:
    low, high = (0, 256) if bits == 8 else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    dtype = {8: np.uint8, 16: np.int16, 24: np.int64, 32: np.int32}[bits]
    whole = np.random.default_rng(seed).integers(low, high, (frames, channels)).astype(dtype)
    found = wav.read(wav_files.wav(whole, 8000, extensible=extensible)).values.reshape(frames, channels)
    # The quotient that is nearest to the number tells it again, up to the 24 bits of float32.
    back = found.astype(np.float64) * 2.0 ** (bits - 1) + (128 if bits == 8 else 0)
    assert np.abs(back - whole).max() <= (0 if bits < 32 else 2**7)


@pytest.mark.parametrize("lie", [2**31, 2**32 - 2, 2**32 - 1])
def test_a_header_that_promises_gigabytes_allocates_none(lie: int) -> None:
    short = wav_files.wav(wav_files.tone(20), size=lie)
    tracemalloc.start()
    try:
        if lie == 2**32 - 1:
            assert len(wav.read(short).values) == 20
        else:
            with pytest.raises(DataError, match="is cut off"):
                wav.read(short)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_rate_that_would_become_gigabytes_is_refused_before() -> None:
    reader = AudioReader(AudioSteps(16000, length=16000), name="x")
    tracemalloc.start()
    try:
        for rate in (1, 2, 3):
            with pytest.raises(DataError, match="more than the limit"):
                reader.one(wav_files.wav(np.zeros(20_000, np.int16), rate=rate))
        # Rates without a common divisor would need a filter of as many numbers.
        with pytest.raises(DataError, match="no small ratio"):
            reader.one(wav_files.wav(np.zeros(20, np.int16), rate=999_983))
        for rate in (1, 12, 44_101, MOST_PHASES - 1):
            assert reader.one(wav_files.wav(np.zeros(20, np.int16), rate=rate))["x"].shape == (16000,)
        # Filters of rates that clients choose are few, however many clients choose.
        assert (held := _phases.cache_info()).maxsize is not None and held.currsize <= held.maxsize <= 8
        assert tracemalloc.get_traced_memory()[1] < 128 * 2**20
    finally:
        tracemalloc.stop()


def test_the_values_after_resampling_are_finite_and_near_those_before() -> None:
    loud = np.tile(np.array([1, -1], np.float32), 500)
    for rate in (8000, 11025, 44100, 48000):
        found = resampled(loud, rate, 16000)
        assert np.isfinite(found).all() and np.abs(found).max() < 2


def test_a_million_chunks_are_not_walked_through() -> None:
    junk = b"junk\0\0\0\0" * 1_000_000
    with pytest.raises(DataError, match="holds no sound"):
        wav.read(b"RIFF\0\0\0\0WAVE" + junk)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> TextReader:
    return TextReader(tokenizers.steps(tokenizers.word_piece(tmp_path_factory.mktemp("texts"))))


def test_long_and_odd_texts_are_tokenized_or_refused(reader: TextReader, tmp_path: Path) -> None:
    for text in (
        "a" * 100_000,
        "\0" * 1000,
        "\u202e\ufeff\u0301" * 1000,
        "🙂" * 1000,
        "[CLS]" * 1000,
        "\U0010ffff",
        "ᄀ" * 5000,
        "\n" * 5000,
    ):
        assert reader.one(text)["input_ids"].shape == (12,)
    with pytest.raises(DataError, match="more than the limit"):
        reader.one("a" * 100_001)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=50), st.binary(max_size=50)))
def test_any_text_gives_a_row_or_is_refused(reader: TextReader, item: str | bytes) -> None:
    try:
        found = reader.one(item)
    except DataError as problem:
        assert "the text" in problem.message
        return
    assert all(array.shape == (12,) for array in found.values())
    assert found["attention_mask"].sum() >= 2 and (found["input_ids"][found["attention_mask"] == 0] == 0).all()
