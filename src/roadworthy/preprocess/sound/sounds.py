"""A wav file to the samples that a model takes: one channel, one rate, one length, one scale, each as stated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array, TensorSpec
from roadworthy.preprocess.sound import wav
from roadworthy.preprocess.sound.sample_rate import resampled
from roadworthy.preprocess.too_large import ItemTooLarge, refuse_more

LIMIT = 10_000_000
"""Samples of one sound, at its own rate and at the model's: ten minutes at 16,000 a second."""
VARIANCE_FLOOR = 1e-7
"""What is added to the variance: that of Hugging Face's ``Wav2Vec2FeatureExtractor``."""


class AudioSteps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the bytes of a wav file become float32 samples, in this order.

    Each value is divided by ``full_scale`` (see ``wav.read``). Several channels become their mean with ``mix``, and are refused without.
    The sound gets ``rate`` samples a second (see ``sample_rate``), and is cut to its first ``length`` samples. With ``peak`` it is divided
    by its largest magnitude. A shorter sound is padded with zeros at its end. With ``standardize`` it gets the mean 0 and the variance 1:
    before it is padded ("sound"), or with its padding ("padded"), which are the two ways of ``Wav2Vec2FeatureExtractor``, with an
    attention mask and without. Without ``length`` a sound keeps its own. One of more than ``limit`` samples is refused.
    """

    rate: int
    length: int | None = None
    full_scale: Literal[32768, 32767, 1] = 32768
    mix: bool = False
    peak: bool = False
    standardize: Literal["no", "sound", "padded"] = "no"
    limit: int = LIMIT

    def check(self) -> None:
        """Raises DataError where the values make no sense."""
        if not 1 <= self.rate <= wav.MOST_RATE:
            raise DataError(f"rate is {self.rate}; it must lie between 1 and {wav.MOST_RATE:,} samples a second")
        if self.limit < 1:
            raise DataError(f"limit is {self.limit}; it must be at least 1")
        if self.length is not None and not 1 <= self.length <= self.limit:
            raise DataError(f"length is {self.length}; it must lie between 1 and the limit of {self.limit:,} samples")
        if self.peak and self.standardize != "no":
            raise DataError("peak and standardize set the scale twice; state one of them")

    def describe(self) -> tuple[str, ...]:
        """Every step in a few words, in order."""
        scale = "16-bit values as they are" if self.full_scale == 1 else f"16-bit values divided by {self.full_scale:,}"
        said = [f"read from wav as float32, {scale}", "channels mixed to their mean" if self.mix else "one channel"]
        said.append(f"{self.rate:,} samples a second (other rates by a polyphase filter)")
        if self.length is not None:
            said.append(f"cut to the first {self.length:,} samples, or padded with zeros at the end")
        if self.peak:
            said.append("divided by the largest magnitude")
        if self.standardize != "no":
            said.append(f"mean 0 and variance 1{', its padding included' if self.standardize == 'padded' else ''}")
        return tuple(said)

    def check_input(self, inputs: tuple[TensorSpec, ...]) -> None:
        """Raises DataError where the model's only input is not a row of float32 of this length, axes of size 1 aside."""
        if len(inputs) != 1:
            raise DataError(f"a sound becomes one input, and the model takes {', '.join(map(str, inputs))}")
        (spec,) = inputs
        sizes = [size for size in spec.sample_shape if size != 1] or list(spec.sample_shape[-1:])
        fits = len(sizes) == 1 and (isinstance(sizes[0], str) or self.length in (None, sizes[0]))
        if spec.dtype != "float32" or not fits:
            gives = "any number of" if self.length is None else f"{self.length:,}"
            raise DataError(
                f"the preprocessing gives {gives} float32 samples for each sound, and the model takes {spec}: "
                "state the model's own length with --preprocess FILE.toml"
            )


class AudioReader:
    """Carries out ``steps`` for a model of ``inputs``, in whose shape a sample is given; where they are not known yet, as [samples]."""

    def __init__(self, steps: AudioSteps, inputs: tuple[TensorSpec, ...] = (), name: str = "") -> None:
        self._steps = steps
        self._input = inputs[0].name if inputs else name
        self._shape = tuple(size if size == 1 else -1 for size in inputs[0].sample_shape) if inputs else (-1,)
        if self._shape.count(-1) != 1:
            # A model of one sample alone: [1], or [1, 1].
            self._shape = (*self._shape[:-1], -1)

    def fitting(self, items: Sequence[Any] | Array) -> AudioReader:
        """The same: the steps alone decide the shape."""
        return self

    def one(self, item: Any, *, name: str = "the sound") -> dict[str, Array]:
        """The only input for one sound, a path or the bytes of a wav file.

        Raises DataError, with the path or ``name``, for what is not a wav file or has several channels, and ItemTooLarge.
        """
        if not isinstance(item, Path | bytes | bytearray | memoryview):
            raise DataError(f"{name} is {type(item).__name__}; it must be a wav file, by its path or its bytes")
        name = str(item) if isinstance(item, Path) else name
        steps = self._steps
        sound = wav.read(item, name, steps.full_scale)
        self._admit(sound, name)
        values = sound.values
        if values.ndim == 2:
            if not steps.mix:
                raise DataError(f"{name} has {values.shape[1]} channels; state mix = true in [audio] to take their mean")
            values = values.mean(axis=1, dtype=np.float32)
        values = resampled(values, sound.rate, steps.rate, name)[: steps.length]
        if steps.peak and (most := np.abs(values).max()) > 0:
            values = values / most
        if steps.standardize == "sound":
            values = _standardized(values)
        if steps.length is not None and len(values) < steps.length:
            values = np.pad(values, (0, steps.length - len(values)))
        if steps.standardize == "padded":
            values = _standardized(values)
        return {self._input: np.ascontiguousarray(values, np.float32).reshape(self._shape)}

    def many(self, items: Sequence[Any], *, most: int | None = None) -> dict[str, Array]:
        """All of ``items`` as one array, samples first; raises DataError as ``one`` does, and where the lengths differ."""
        each: list[Array] = []
        size = 0
        for index, item in enumerate(items):
            each.append(self.one(item, name=f"sound {index}")[self._input])
            size += each[-1].nbytes
            refuse_more(size, most, f"{len(items)} sounds")
        for index, values in enumerate(each):
            if values.shape != each[0].shape:
                raise DataError(
                    f"sound {index} has {values.size:,} samples, and sound 0 has {each[0].size:,}: sounds of one call must have one "
                    "length; send them one at a time"
                )
        return {self._input: np.stack(each)}

    def _admit(self, sound: wav.Sound, name: str) -> None:
        frames = len(sound.values)
        after = -(-frames * self._steps.rate // sound.rate)
        if max(frames, after) > self._steps.limit:
            at = f" at {self._steps.rate:,} a second" if after > frames else ""
            raise ItemTooLarge(f"{name} has {max(frames, after):,} samples{at}, more than the limit of {self._steps.limit:,}")


def _standardized(values: Array) -> Array:
    return np.asarray((values - np.mean(values)) / np.sqrt(np.var(values) + np.float32(VARIANCE_FLOOR)))
