"""Keras weights without an architecture: into the model that the user's own code builds, layer by layer and shape by shape."""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import h5py

from roadworthy.build.sources import user_code
from roadworthy.build.sources.keras import changed_meanings, custom_objects, keras_2, tensors, writer_version
from roadworthy.build.sources.keras import model as keras_model
from roadworthy.build.sources.keras.config import Config
from roadworthy.build.sources.keras.model import Live
from roadworthy.build.sources.keras.reader import reason
from roadworthy.build.sources.keras.tensors import StoredTensor
from roadworthy.build.sources.model import Model
from roadworthy.core.errors import ArchitectureMismatch, SourceError, UsageError
from roadworthy.core.stages import Source
from roadworthy.frameworks.tensorflow import keras_model as tensorflow_keras_model
from roadworthy.frameworks.tensorflow.keras_model import Reader


def read(source: Source) -> Model:
    """The model of ``source.arch`` with the file's weights in it; UsageError for an architecture that is not built yet,
    ArchitectureMismatch where the two do not fit, SourceError for kernels that Keras wrote with Theano.
    """
    if source.arch is None:
        raise UsageError(
            f"{source.path} holds weights and not the model they belong to; name the code that builds it: --arch FILE.py:CALLABLE"
        )
    keras_2.refuse_weights(source.path)
    kinds = [tensorflow_keras_model.package("keras").Model]
    user_code.module(source.arch)
    if "tf_keras" in sys.modules:
        kinds.append(tensorflow_keras_model.package("tf_keras").Model)
    model = user_code.construct(source.arch, tuple(kinds), "Keras model")
    reader: Reader = "keras" if isinstance(model, kinds[0]) else "tf_keras"
    if not model.weights:
        raise UsageError(f"--arch {source.arch}: the model has no weights yet; call it on a batch, or build() it, before it is returned")
    _fill(model, source.path)
    proof = tensors.all_there(model, source.path)
    objects = custom_objects.own(tensorflow_keras_model.package(reader), model)
    notes = (f"the architecture is {source.arch}", *(_other_names(model, source.path) if reader == "keras" else ()))
    return keras_model.of_memory(Live(model, reader, trusted=True), objects, (proof,), notes)


def _other_names(model: Any, path: Path) -> tuple[str, ...]:
    """The user's own code says what the model computes; its names may have meant something else in Keras 2, which trained the weights."""
    with h5py.File(path, "r") as file:
        writer = writer_version.of(Config({}, _text(file.attrs.get("keras_version", "3"))))
    try:
        changed = changed_meanings.of({"class_name": "Model", "config": model.get_config()}, writer) if writer.generation == 2 else ()
    except Exception:
        # A custom class need not have a configuration.
        return ()
    names = tensors.listed(list(changed))
    return (f"the weights were written by {writer}, and the architecture is built by Keras 3, which changed {names}",) if changed else ()


def _fill(model: Any, path: Path) -> None:
    """Load the weights. Keras tells the format from the file's name, so the file gets one that fits."""
    legacy = _is_legacy(path)
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / ("model.h5" if legacy else "model.weights.h5")
        link.symlink_to(path.absolute())
        try:
            # Keras warns about layers that it skips; afterwards every weight is proven to be in the model.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.load_weights(str(link))
        except Exception as problem:
            words = f"the weights in {path} do not fit the architecture: {reason(problem)}"
            expected = _legacy_of(model) if legacy else _saved(model, Path(folder))
            found = _legacy(path) if legacy else tensors.of_file(path)
            raise tensors.mismatch(expected, found, path) or ArchitectureMismatch(words, detail=str(problem)) from problem


def _is_legacy(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return "layer_names" in file.attrs
    except OSError as problem:
        raise SourceError(f"{path} cannot be read as an HDF5 file: {problem}", detail=repr(problem)) from problem


def _saved(model: Any, folder: Path) -> tuple[StoredTensor, ...]:
    """The places and shapes that a file of this architecture has."""
    model.save_weights(str(folder / "own.weights.h5"))
    return tensors.of_file(folder / "own.weights.h5")


def _legacy(path: Path) -> tuple[StoredTensor, ...]:
    """A file of Keras 2 lists its layers, and each layer its weights: "dense/0" is the first of ``dense``."""
    with h5py.File(path, "r") as file:
        layers = [_text(name) for name in file.attrs["layer_names"]]
        shapes = [[tuple(file[layer][_text(name)].shape) for name in file[layer].attrs["weight_names"]] for layer in layers]
    return _placed(layers, shapes)


def _legacy_of(model: Any) -> tuple[StoredTensor, ...]:
    weights = [[*layer.trainable_weights, *layer.non_trainable_weights] for layer in model.layers]
    return _placed([layer.name for layer in model.layers], [[tuple(map(int, weight.shape)) for weight in each] for each in weights])


def _placed(layers: list[str], shapes: list[list[tuple[int, ...]]]) -> tuple[StoredTensor, ...]:
    """Keras numbers layers without a name through a whole process: here they are numbered again, so that file and model compare."""
    seen: Counter[str] = Counter()
    found = []
    for layer, own in zip(layers, shapes, strict=True):
        base = re.sub(r"_\d+$", "", layer)
        name = f"{base}_{seen[base]}" if seen[base] else base
        seen[base] += 1
        found += [StoredTensor(f"{name}/{number}", shape, "") for number, shape in enumerate(own)]
    return tuple(found)


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
