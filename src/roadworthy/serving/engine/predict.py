"""Predictions for files: images, texts, sounds, ``.npy`` and ``.npz``, and any file for a model that takes byte strings."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.core.errors import DataError, InvalidRequest
from roadworthy.core.types import Array
from roadworthy.serving.engine.local import LocalEngine, Prediction


@dataclass(frozen=True)
class FilePrediction:
    """The prediction for one file, which may hold several samples, or for one ``text`` without a file."""

    file: Path | None
    prediction: Prediction
    text: str = ""

    @property
    def name(self) -> str:
        """What was answered, as the terminal shows it."""
        return str(self.file) if self.file is not None else repr(self.text)


def predict_file(engine: LocalEngine, file: Path) -> FilePrediction:
    """The answer to an image, a text or a sound as the bundle takes it, or to arrays: an ``.npy`` for a model of one input, or an ``.npz``.

    The arrays of an ``.npz`` are named like the inputs; for a model of one input it may hold a single array under any name. Where the
    model takes byte strings, the bytes of any file are one sample. Raises DataError that names the file.
    """
    try:
        if engine.takes_files:
            return FilePrediction(file, engine.infer(file))
        match file.suffix.lower():
            case ".npy":
                return FilePrediction(file, engine.infer(_numpy(file)["x"]))
            case ".npz":
                return FilePrediction(file, engine.infer(_by_input(engine, _numpy(file))))
        if not engine.takes_items:
            raise DataError(f"{file} is not an .npy or .npz file, and the bundle does not say how an image becomes the model's input")
        return FilePrediction(file, engine.infer(file))
    except InvalidRequest as problem:
        raise DataError(f"{file}: {problem.message}") from problem


def predict_text(engine: LocalEngine, text: str) -> FilePrediction:
    """The answer to a text that is given as it is; raises DataError where the bundle takes none."""
    if engine.kind != "text" and not engine.takes_files:
        raise DataError(f"{engine.name} takes no texts; it takes {', '.join(map(str, engine.signature.inputs))}")
    try:
        return FilePrediction(None, engine.infer([text]), text)
    except InvalidRequest as problem:
        raise DataError(f"the text: {problem.message}") from problem


def _numpy(file: Path) -> dict[str, Array]:
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"x": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as problem:
        raise DataError(f"{file} cannot be read as NumPy arrays: {problem}") from problem


def _by_input(engine: LocalEngine, arrays: dict[str, Array]) -> dict[str, Array]:
    if len(arrays) == 1 and len(engine.signature.inputs) == 1:
        return {engine.signature.inputs[0].name: next(iter(arrays.values()))}
    return arrays
