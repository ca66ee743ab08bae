"""Sounds: what a wav file holds, exactly; resampling, scale, length and channels as stated; what is refused."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from roadworthy.core.errors import DataError
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess import spec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.sound import wav
from roadworthy.preprocess.sound.sample_rate import resampled
from roadworthy.preprocess.sound.sounds import AudioReader, AudioSteps
from roadworthy.preprocess.too_large import ItemTooLarge
from support.files import wav_files


def read(steps: AudioSteps, item: bytes | Path, *shape: int | str) -> np.ndarray:
    inputs = (TensorSpec("x", "float32", ("batch", *shape)),) if shape else ()
    return AudioReader(steps, inputs, "x").one(item)["x"]


def test_every_form_is_its_number_divided_by_its_full_scale() -> None:
    generator = np.random.default_rng(0)
    for bits, made in ((8, np.uint8), (16, np.int16), (24, np.int64), (32, np.int32)):
        low, high = (0, 256) if bits == 8 else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        whole = np.concatenate([[low, high - 1], generator.integers(low, high, 500)]).astype(made)
        centred = whole.astype(np.float64) - (128 if bits == 8 else 0)
        found = wav.read(wav_files.wav(whole))
        assert found.rate == 16000 and found.values.dtype == np.float32
        np.testing.assert_array_equal(found.values, (centred / 2 ** (bits - 1)).astype(np.float32))
        np.testing.assert_array_equal(wav.read(wav_files.wav(whole, extensible=True)).values, found.values)
        less = wav.read(wav_files.wav(whole), full_scale=32767).values
        np.testing.assert_array_equal(less, (centred / (2 ** (bits - 1) - 1)).astype(np.float32))
    np.testing.assert_array_equal(wav.read(wav_files.wav(np.array([-32768, 5], np.int16)), full_scale=1).values, [-32768, 5])
    for dtype in (np.float32, np.float64):
        floats = generator.standard_normal(100).astype(dtype)
        np.testing.assert_array_equal(wav.read(wav_files.wav(floats)).values, floats.astype(np.float32))


def test_it_reads_what_python_writes_and_passes_over_other_chunks(tmp_path: Path) -> None:
    sound = wav_files.tone(100)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 8000, 0, "NONE", ""))
        writer.writeframes(sound.tobytes())
    wanted = sound / np.float32(32768)
    np.testing.assert_array_equal(wav.read(file.getvalue()).values, wanted)
    others = wav_files.chunk(b"LIST", b"odd") + wav_files.chunk(b"fact", b"1234")
    np.testing.assert_array_equal(wav.read(wav_files.wav(sound, before=others)).values, wanted)
    # A program that writes to a pipe does not know the size.
    np.testing.assert_array_equal(wav.read(wav_files.wav(sound, size=0xFFFFFFFF)).values, wanted)
    (tmp_path / "a.wav").write_bytes(file.getvalue())
    assert wav.read(tmp_path / "a.wav").rate == 8000


def test_resampling_is_that_of_scipy() -> None:
    generator = np.random.default_rng(1)
    for rate, wanted in ((44100, 16000), (48000, 16000), (8000, 16000), (16000, 22050), (16000, 8000), (11025, 16000), (44101, 16000)):
        for frames in (1, 2, 17, 4000):
            sound = generator.uniform(-1, 1, frames).astype(np.float32)
            found, want = resampled(sound, rate, wanted), signal.resample_poly(sound.astype(np.float64), wanted, rate)
            assert found.dtype == np.float32 and found.shape == want.shape
            # Both sum in float64; what is left is the rounding to float32.
            assert np.abs(found - want).max() < 1.2e-7, (rate, wanted, frames)
    same = generator.uniform(-1, 1, 50).astype(np.float32)
    assert resampled(same, 16000, 16000) is same
    with pytest.raises(DataError, match="resample it before"):
        resampled(same, 999_983, 16000)


def test_the_parts_are_carried_out_in_their_order() -> None:
    loud = wav_files.tone(100, loud=0.25)
    exact = loud / np.float32(32768)
    assert read(AudioSteps(16000), wav_files.wav(loud)).shape == (100,)
    np.testing.assert_array_equal(read(AudioSteps(16000, length=60), wav_files.wav(loud)), exact[:60])
    np.testing.assert_array_equal(read(AudioSteps(16000, length=130), wav_files.wav(loud)), np.pad(exact, (0, 30)))
    np.testing.assert_array_equal(read(AudioSteps(16000, peak=True), wav_files.wav(loud)), exact / np.abs(exact).max())
    both = np.stack([loud, wav_files.tone(100, 300)], axis=1)
    mixed = read(AudioSteps(16000, mix=True), wav_files.wav(both))
    np.testing.assert_allclose(mixed, (both / 32768).mean(axis=1), atol=1e-7)
    half = read(AudioSteps(8000, length=40), wav_files.wav(loud))
    np.testing.assert_array_equal(half, resampled(exact, 16000, 8000)[:40])
    # Silence has no peak and no variance.
    silent = wav_files.wav(np.zeros(10, np.int16))
    assert not read(AudioSteps(16000, peak=True), silent).any() and not read(AudioSteps(16000, standardize="sound"), silent).any()


def test_a_sample_gets_the_shape_that_the_model_takes() -> None:
    file = wav_files.wav(wav_files.tone(50))
    for shape in ((50,), (1, 50), (50, 1), ("length",), (1, "length")):
        assert read(AudioSteps(16000), file, *shape).shape == tuple(50 if isinstance(size, str) else size for size in shape)
    contract = Contract(audio=AudioSteps(16000, length=50))
    for shape in ((50,), (1, 50), ("n",), (1, "n")):
        contract.check_input((TensorSpec("x", "float32", ("batch", *shape)),))
    for shape, dtype in (((60,), "float32"), ((2, 50), "float32"), ((50,), "int16")):
        with pytest.raises(DataError, match="the preprocessing gives 50 float32 samples"):
            contract.check_input((TensorSpec("x", dtype, ("batch", *shape)),))


def test_standardized_as_the_feature_extractor_of_wav2vec2_does() -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers to compare with")
    found = {}
    for way, masked in (("sound", True), ("padded", False)):
        extractor = transformers.Wav2Vec2FeatureExtractor(padding_value=0.0, do_normalize=True, return_attention_mask=masked)
        asked = {"padding": "max_length", "max_length": 500, "truncation": True, "return_tensors": "np"}
        for length in (400, 700):
            heard = wav_files.tone(length)
            want = extractor(heard / np.float32(32768), sampling_rate=16000, **asked).input_values[0]
            found[way, length] = read(AudioSteps(16000, standardize=way, length=500), wav_files.wav(heard))
            np.testing.assert_allclose(found[way, length], want, rtol=3e-7, atol=3e-7)
    # The padding of a short sound tells the two ways apart.
    assert np.abs(found["sound", 400] - found["padded", 400]).max() > 0.1


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "is not a wav file"),
        (b"RIFF\0\0\0\0WAVE", "holds no sound"),
        (wav_files.wav(np.zeros(0, np.int16)), "holds no sound"),
        (wav_files.wav(np.zeros(5, np.int16))[:-1], "cut off"),
        (wav_files.wav(np.zeros(5, np.int16), size=9), "cut off"),
        (wav_files.container(b"abc", 1, 1, 16000, 16), "cut off: its last frame"),
        (wav_files.container(b"ab", 7, 1, 8000, 8), "mu-law"),
        (wav_files.container(b"ab", 85, 1, 8000, 8), "MP3"),
        (wav_files.container(b"ab", 99, 1, 8000, 8), "of the form 99"),
        (wav_files.container(b"abcd", 1, 1, 8000, 12), "12 bits"),
        (wav_files.container(b"ab", 3, 1, 8000, 16), "16 bits"),
        (wav_files.container(b"ab", 1, 0, 8000, 16), "0 channels"),
        (wav_files.container(b"ab", 1, 1, 0, 16), "0 frames a second"),
        (wav_files.wav(np.array([np.nan], np.float32)), "not finite"),
        (wav_files.wav(np.array([1e300])), "not finite"),
        (b"RIFF\0\0\0\0WAVE" + wav_files.chunk(b"fmt ", b"short"), "does not say what"),
        (b"RIFF\0\0\0\0WAVE" + wav_files.chunk(b"data", b"xx"), "before the sound"),
        (b"RIFF\0\0\0\0WAVE" + wav_files.chunk(b"junk", b"") * 2000, "holds no sound"),
    ],
)
def test_what_is_no_sound_is_refused_with_the_reason(file: bytes, says: str) -> None:
    with pytest.raises(DataError, match=f"song.*{says}"):
        wav.read(file, "song")


def test_several_channels_and_what_is_too_long_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 channels; state mix = true in \[audio\]"):
        read(AudioSteps(16000), wav_files.wav(np.zeros((5, 2), np.int16)))
    with pytest.raises(ItemTooLarge, match="11 samples, more than the limit of 10"):
        read(AudioSteps(16000, limit=10), wav_files.wav(np.zeros(11, np.int16)))
    with pytest.raises(ItemTooLarge, match="160,000 samples at 16,000 a second"):
        read(AudioSteps(16000, limit=1000), wav_files.wav(np.zeros(10, np.int16), rate=1))
    with pytest.raises(DataError, match="sound 1 has 5 samples, and sound 0 has 6"):
        AudioReader(AudioSteps(16000), name="x").many([wav_files.wav(np.zeros(size, np.int16)) for size in (6, 5)])
    with pytest.raises(ItemTooLarge, match="2 sounds become"):
        AudioReader(AudioSteps(16000), name="x").many([wav_files.wav(np.zeros(6, np.int16))] * 2, most=40)


def test_the_table_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sounds.toml"
    path.write_text("[audio]\nrate = 16000\nlength = 16000\nfull_scale = 32767\nmix = true\npeak = true\n")
    contract = spec.read(path)
    assert contract.audio == AudioSteps(16000, 16000, 32767, mix=True, peak=True) and contract.kind == "audio"
    said = "; ".join(contract.describe())
    assert all(word in said for word in ("32,767", "16,000 samples a second", "mean", "first 16,000", "largest magnitude")), said
    for text, says in (
        ("length = 5", "rate"), ("rate = 0", "rate is 0"), ("rate = 1\nlength = 0", "length is 0"), ("rate = 1\nhz = 2", "hz"),
        ("rate = 1\nfull_scale = 3", "full_scale"), ("rate = 1\npeak = true\nstandardize = \"sound\"", "state one of them"),
        ("rate = 1\n[image]\nscale = 1.0", r"one of \[image\], \[text\] and \[audio\]"),
    ):  # fmt: skip
        path.write_text(f"[audio]\n{text}\n")
        with pytest.raises(DataError, match=says):
            spec.read(path)


def test_real_words(real: Path) -> None:
    """As Python's own reader has them, and as SciPy resamples them."""
    files = sorted((real / "speech-commands").rglob("*.wav"))[:6]
    assert files
    for file in files:
        with wave.open(str(file), "rb") as opened:
            want = np.frombuffer(opened.readframes(opened.getnframes()), "<i2") / np.float32(32768)
        np.testing.assert_array_equal(read(AudioSteps(16000), file), want)
        half = signal.resample_poly(want.astype(np.float64), 1, 2)
        assert np.abs(read(AudioSteps(8000), file) - half).max() < 1.2e-7
