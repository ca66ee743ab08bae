"""Feature extractors of sounds in Hugging Face's file: the one that gives samples, and those that are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.preprocessing import ReadRequest, read_step
from roadworthy.build.preprocessing.forms import sound_extractor
from roadworthy.core.errors import DataError
from roadworthy.core.stages import Source
from roadworthy.preprocess.sound.sounds import AudioReader, AudioSteps
from support.files import wav_files

PLAIN = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000, "do_normalize": True, "padding_value": 0.0}


def written(folder: Path, **values: Any) -> Path:
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder


def read(folder: Path) -> AudioSteps:
    found = sound_extractor.of_path(folder, "CHW")
    assert found is not None and found.contract.audio is not None and found.notes
    return found.contract.audio


def test_the_samples_are_those_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers to compare with")
    sound = wav_files.tone(500)
    for values in (PLAIN, {**PLAIN, "do_normalize": False}, {**PLAIN, "return_attention_mask": True}):
        steps = read(written(tmp_path, **values))
        theirs = transformers.Wav2Vec2FeatureExtractor.from_pretrained(str(tmp_path))
        want = theirs(sound / np.float32(32768), sampling_rate=16000, return_tensors="np").input_values[0]
        np.testing.assert_allclose(AudioReader(steps, name="x").one(wav_files.wav(sound))["x"], want, rtol=3e-7, atol=3e-7)


def test_beside_the_model_and_by_its_folder(tmp_path: Path) -> None:
    written(tmp_path, **PLAIN, return_attention_mask=True)
    source = Source(tmp_path / "model.safetensors", "torch", "torch", "0" * 64, 1)
    for asked in (None, str(tmp_path)):
        found = read_step(ReadRequest(asked, source, "CHW"))
        assert found is not None and found.contract.audio == AudioSteps(16000, standardize="sound")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"feature_extractor_type": "WhisperFeatureExtractor"}, "WhisperFeatureExtractor makes features"),
        ({"feature_extractor_type": "ASTFeatureExtractor"}, "ASTFeatureExtractor makes features"),
        ({"feature_size": 80}, "feature_size = 80"), ({"padding_value": 1.0}, "padding_value = 1.0"), ({"hop_length": 5}, "'hop_length'"),
        ({"sampling_rate": "fast"}, "sampling_rate is 'fast'"), ({"sampling_rate": 0}, "rate is 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_refused_by_name(tmp_path: Path, values: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        sound_extractor.of_path(written(tmp_path, **{**PLAIN, **values}), "CHW")


def test_a_processor_of_images_is_left_to_others(tmp_path: Path) -> None:
    assert sound_extractor.of_path(written(tmp_path, image_processor_type="ViTImageProcessor", size=224), "CHW") is None
