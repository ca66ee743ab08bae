"""The feature extractor of a sound in Hugging Face's ``preprocessor_config.json``: the one that gives the samples themselves.

``Wav2Vec2FeatureExtractor`` hands the samples on, with the mean 0 and the variance 1 where it says ``do_normalize``. Others make
spectrograms, which are not steps of a contract.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from roadworthy.build.preprocessing.found import Found
from roadworthy.build.sources.parsers import untrusted
from roadworthy.core.errors import DataError, SourceUnreadable
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.sound.sounds import AudioSteps
from roadworthy.preprocess.spec import Layout

FILE = "preprocessor_config.json"
SAMPLES = "Wav2Vec2FeatureExtractor"
KNOWN = frozenset({
    "feature_extractor_type", "feature_size", "sampling_rate", "padding_value", "do_normalize", "return_attention_mask", "padding_side",
    "processor_class", "transformers_version",
})  # fmt: skip


def of_path(path: Path, layout: Layout) -> Found | None:
    """The file of a feature extractor of sounds, or a folder that holds one."""
    path = path / FILE if path.is_dir() else path
    if path.suffix != ".json" or not path.is_file():
        return None
    try:
        values = untrusted.json_object(path)
    except SourceUnreadable:
        # Another form may say more of the file.
        return None
    return _found(values, path) if "sampling_rate" in values else None


def beside(source: Source, layout: Layout) -> Found | None:
    """The feature extractor in the folder of the model."""
    return of_path(source.path if source.path.is_dir() else source.path.parent, layout)


def _found(values: dict[str, Any], path: Path) -> Found:
    name, rate = values.get("feature_extractor_type", SAMPLES), values["sampling_rate"]
    if name != SAMPLES:
        raise DataError(
            f"{path}: {name} makes features of a sound, such as spectrograms, which no step here does: compute them inside the model, or "
            "give them as data (.npy)"
        )
    unknown = next((key for key in values if key not in KNOWN), None)
    if unknown is not None:
        raise DataError(f"{path}: the field {unknown!r} of {name} is not known; write the steps in the table [audio] of a TOML file")
    for key, wanted in (("feature_size", 1), ("padding_value", 0), ("padding_side", "right")):
        if values.get(key, wanted) != wanted:
            raise DataError(f"{path}: {key} = {values[key]!r} cannot be carried out; it would have to be {wanted!r}")
    if not isinstance(rate, int) or isinstance(rate, bool):
        raise DataError(f"{path}: sampling_rate is {rate!r}, not a whole number")
    way: Literal["no", "sound", "padded"] = (
        "no" if not values.get("do_normalize", True) else "sound" if values.get("return_attention_mask", False) else "padded"
    )
    contract = Contract(audio=AudioSteps(rate, standardize=way))
    contract.check()
    length = "the file states no length, so a sound keeps its own; length in [audio] of a TOML file cuts and pads"
    return Found(
        contract, f"{path.name} ({name})", (Note(length), Note(f"a sound of another rate than {rate:,} is resampled by the server"))
    )
