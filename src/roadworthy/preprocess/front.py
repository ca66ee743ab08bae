"""The steps in front of a model whose clients send uint8 pixels: the end of a contract, here in NumPy; ``build/capture/front`` folds it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from roadworthy.core import codec
from roadworthy.core.errors import StepFailed
from roadworthy.core.samples import SampleSet, file_of
from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.preprocess.pixels import as_array
from roadworthy.preprocess.steps import ChannelsFirst, Normalize, ReverseChannels, Step

Tail = ChannelsFirst | Normalize | ReverseChannels
"""The steps that can follow the last geometric one."""

Steps: TypeAlias = "tuple[Step, ...]"

NAME, GRAPH = "front.json", "graph"
"""The file that says which steps are in front of the model beside it, and the folder of a model that is a folder itself."""
ROWS = 64


def split(steps: Steps) -> tuple[Steps, Steps]:
    """The steps that decide the size and place of the pixels, and those after them: order of the colours, layout, values."""
    ends = max((place for place, step in enumerate(steps, 1) if not isinstance(step, Tail)), default=0)
    return steps[:ends], steps[ends:]


@dataclass(frozen=True)
class Front:
    """``steps`` from uint8 pixels [batch, height, width, channels] to what the model takes."""

    steps: tuple[Tail, ...]

    @property
    def channels_first(self) -> bool:
        """Whether the model takes [batch, channels, height, width]."""
        return any(isinstance(step, ChannelsFirst) for step in self.steps)

    @property
    def dtype(self) -> str:
        """What the model takes."""
        return next((step.dtype for step in self.steps if isinstance(step, Normalize)), "uint8")

    def samples(self, pixels: Array) -> Array:
        """``pixels`` uint8 [n, height, width, channels] by the steps, as every sample of a contract goes through them; C-contiguous."""
        if len(pixels) == 1:
            return np.ascontiguousarray(self._one(pixels[0]))[None]
        return np.stack([self._one(image) for image in pixels])

    def _one(self, pixels: Array) -> Array:
        for step in self.steps:
            pixels = as_array(step.apply(pixels))
        return pixels

    def bounds(self, channels: int) -> tuple[float, float]:
        """The least and the largest value that the model can be given."""
        ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], channels, axis=2)
        values = self.samples(ramp[None])
        return float(values.min()), float(values.max())

    def outer(self, spec: TensorSpec) -> TensorSpec:
        """The input that clients see, uint8 [batch, height, width, channels], for the model's own."""
        batch, *sample = spec.shape
        channels, height, width = sample if self.channels_first else (sample[2], *sample[:2])
        return replace(spec, dtype="uint8", shape=(batch, height, width, channels), quantization=None)

    def inner(self, spec: TensorSpec) -> TensorSpec:
        """The model's own input for the one that clients see."""
        batch, height, width, channels = spec.shape
        sample = (channels, height, width) if self.channels_first else (height, width, channels)
        return replace(spec, dtype=self.dtype, shape=(batch, *sample))

    def behind(self, signature: Signature) -> Signature:
        """The signature of the model itself, for the one that clients see."""
        return replace(signature, inputs=tuple(map(self.inner, signature.inputs)))

    def applied(self, samples: SampleSet, out: Path, most: int | None = None) -> SampleSet:
        """``samples`` of uint8 pixels, or the first ``most``, as the model takes them, in the new directory ``out``; without targets."""
        ((name, pixels),) = samples.open().items()
        count = min(samples.count, most or samples.count)
        first = self.samples(np.asarray(pixels[:1]))
        out.mkdir(parents=True)
        values = np.lib.format.open_memmap(out / file_of(name), "w+", dtype=first.dtype, shape=(count, *first.shape[1:]))
        for start in range(0, count, ROWS):
            values[start : start + ROWS] = self.samples(np.asarray(pixels[start : min(start + ROWS, count)]))
        values.flush()
        return SampleSet(out, (name,), count)


@dataclass(frozen=True)
class Fronted:
    """What ``front.json`` says: the ``steps`` in front of the model at ``model``, a name in the same folder."""

    steps: tuple[Tail, ...]
    model: str


def put_in_front(front: Front, model: Path, folder: Path) -> Path:
    """The new ``folder`` with the file or folder ``model`` in it, what lies beside a file included, and ``front`` in front; its path."""
    if model.is_dir():
        shutil.copytree(model, folder / GRAPH)
    else:
        shutil.copytree(model.parent, folder)
    name = GRAPH if model.is_dir() else model.name
    (folder / NAME).write_bytes(codec.to_json(Fronted(front.steps, name)))
    return folder


def front_of(path: Path) -> tuple[Front, Path] | None:
    """What is in front of the model at ``path``, and where that model is; ``None`` where nothing is. StepFailed for a damaged file."""
    if not (path / NAME).is_file():
        return None
    found = codec.from_json(Fronted, (path / NAME).read_bytes(), error=StepFailed, what=str(path / NAME))
    if found.model in ("", "..") or Path(found.model).name != found.model or not (path / found.model).exists():
        raise StepFailed(f"{path / NAME} names the model {found.model!r}, which is not beside it")
    return Front(found.steps), path / found.model
