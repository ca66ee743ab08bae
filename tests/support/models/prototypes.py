"""A classifier of pictures made in milliseconds: it knows what some steps make of a prototype of each class, and names the nearest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto
from PIL import Image

from roadworthy.core.types import BATCH, Array, Signature, TensorSpec
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import Step
from support.files import onnx_files
from support.files.onnx_files import node

EACH, NOISE = 30, 30


@dataclass(frozen=True)
class Prototypes:
    """``model`` is an ONNX file, ``images`` a folder with a folder for each class; ``files`` and ``labels`` are in one random order."""

    model: Path
    images: Path
    files: tuple[Path, ...]
    labels: Array
    signature: Signature


def shades(size: int) -> Array:
    """Four shades of grey, [4, size, size, 3]: any other range of the values has another nearest shade."""
    return np.array([60, 100, 140, 180])[:, None, None, None] + np.zeros((1, size, size, 3), int)


def make(folder: Path, steps: tuple[Step, ...], prototypes: Array) -> Prototypes:
    """Noisy pictures of each of the ``prototypes``, [classes, H, W, 3] in 0..255, and the classifier that was made with ``steps``.

    The nearest is that with the largest x . t - |t|^2 / 2.
    """
    random, count = np.random.default_rng(3), len(prototypes)
    files, labels = [], random.permutation(np.repeat(np.arange(count), EACH))
    for number, label in enumerate(labels.tolist()):
        noisy = prototypes[label] + random.integers(-NOISE, NOISE, prototypes[label].shape)
        file = folder / "images" / f"class-{label}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file)
        files.append(file)
    known = Preprocessor(steps).many([one.astype(np.uint8) for one in prototypes])
    flat = known.reshape(count, -1).astype(np.float32)
    weights = {"w": np.ascontiguousarray(flat.T), "b": (-0.5 * (flat**2).sum(axis=1)).astype(np.float32)}
    nodes = [node("Flatten", "x", "flat"), node("MatMul", "flat w", "z"), node("Add", "z b", "y")]
    ends = ([("x", TensorProto.FLOAT, [BATCH, *known.shape[1:]])], [("y", TensorProto.FLOAT, [BATCH, count])])
    model = onnx_files.written(folder / "model.onnx", nodes, *ends, weights)
    inputs, outputs = (TensorSpec("x", "float32", (BATCH, *known.shape[1:])),), (TensorSpec("y", "float32", (BATCH, count)),)
    return Prototypes(model, folder / "images", tuple(files), labels, Signature(inputs, outputs))
