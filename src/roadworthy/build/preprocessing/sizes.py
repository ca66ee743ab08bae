"""The size and the layout of pictures by the model's own statement of its input, where preprocessing states none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roadworthy.core.evidence import Note
from roadworthy.core.stages import InnerLayer, Source
from roadworthy.preprocess.steps import COLOUR, GREY, ChannelsFirst, Decode, Normalize, Resize, Step


@dataclass(frozen=True)
class Pictures:
    """A model's only input, where it is a picture; height and width are None where the file leaves them open."""

    height: int | None
    width: int | None
    channels: int
    first: bool
    dtype: str

    @property
    def axis(self) -> Literal[0, 2]:
        """The axis of the channels in a sample."""
        return 0 if self.first else 2

    def resize(self) -> tuple[Resize, ...]:
        """The resize to the input's size as Keras does it when nothing else is said: bilinear, no antialias, aspect not kept.

        It gives float pixels, as in Keras, except where the model takes uint8.
        """
        if self.height is None or self.width is None:
            return ()
        return (Resize((self.height, self.width), antialias=False, rounded=self.dtype == "uint8"),)

    def steps(self, normalize: Normalize, *, resized: bool) -> tuple[Step, ...]:
        """Image to sample; without ``resized`` the model does it where its file leaves the size open."""
        layout: tuple[Step, ...] = (ChannelsFirst(),) if self.first else ()
        return (Decode("L" if self.channels == GREY else "RGB"), *self.resize(), *layout, normalize)

    def notes(self, layers: tuple[InnerLayer, ...] = ()) -> tuple[Note, ...]:
        """On what the size rests."""
        resize = next((layer for layer in layers if layer.size), None)
        if self.height is not None and self.width is not None:
            return (Note(
                f"how training brought images to {self.height} x {self.width} is not in the model's file: they are resized by Keras's default "
                "(bilinear, no antialias, aspect not kept); another way is stated by --preprocess FILE.toml"
            ),)  # fmt: skip
        if resize is not None:
            return (Note(f"images keep their own size, and the model resizes them itself (layer {resize.name!r}: {resize.words})"),)
        return (Note("images keep their own size, which the model's file leaves open; --preprocess FILE.toml states one"),)


def pictures_of(source: Source) -> Pictures | None:
    """What the file states; None where it takes no single picture of pixels as float32 or uint8, and where it states no input."""
    if len(source.takes) != 1 or source.takes[0].dtype not in ("float32", "uint8") or len(source.takes[0].shape) != 4:
        return None
    (spec,) = source.takes
    shape = spec.shape[1:]
    first = shape[2] not in (GREY, COLOUR)
    channels, height, width = shape if first else (shape[2], shape[0], shape[1])
    if channels not in (GREY, COLOUR) or not isinstance(channels, int):
        return None
    sizes = [size if isinstance(size, int) else None for size in (height, width)]
    return Pictures(sizes[0], sizes[1], channels, first, spec.dtype)
