"""The size and the layout of pictures by the model's own statement of its input, where preprocessing states none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from roadworthy.build.preprocessing.found import Found
from roadworthy.core.evidence import Note
from roadworthy.core.stages import InnerLayer, Source
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Normalize, Resize, Step

GREY, COLOUR = 1, 3
"""The channels that a picture may have."""


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

    @property
    def layout(self) -> Layout:
        """The layout of a sample."""
        return "CHW" if self.first else "HWC"

    def resize(self) -> tuple[Resize, ...]:
        """The resize to the input's size, bilinear, aspect not kept: channels last as Keras does it when nothing else is said, without
        antialias and to float pixels where the model takes them; channels first as torchvision, with antialias.
        """
        if self.height is None or self.width is None:
            return ()
        size = (self.height, self.width)
        return (Resize(size) if self.first else Resize(size, antialias=False, rounded=self.dtype == "uint8", like="tf"),)

    def steps(self, normalize: Normalize) -> tuple[Step, ...]:
        """Image to sample, at the size that the model's file states; at its own size where that is open."""
        layout: tuple[Step, ...] = (ChannelsFirst(),) if self.first else ()
        return (Decode("L" if self.channels == GREY else "RGB"), *self.resize(), *layout, normalize)

    def notes(self, layers: tuple[InnerLayer, ...] = ()) -> tuple[Note, ...]:
        """On what the size rests."""
        resize = next((layer for layer in layers if layer.size), None)
        if self.height is not None and self.width is not None:
            return (Note(
                f"how training brought images to {self.height} x {self.width} is not stated: they are resized as "
                f"{'torchvision does (bilinear, antialias' if self.first else 'Keras does (bilinear, no antialias'}, aspect not kept); "
                "another way is stated by --preprocess FILE.toml"
            ),)  # fmt: skip
        if resize is not None:
            return (Note(f"images keep their own size, and the model resizes them itself (layer {resize.name!r}: {resize.words})"),)
        return (Note("images keep their own size, which the model's file leaves open; --preprocess FILE.toml states one"),)


def fitted(found: Found, pictures: Pictures | None) -> Found:
    """``found`` with a resize to the model's input where it states no size itself, and a note on that."""
    if not found.fits_input:
        return found
    if pictures is None:
        note = Note("images keep their own size, because neither the preprocessing nor the model's file states one")
        return replace(found, notes=(*found.notes, note), fits_input=False)
    decode, *after = found.contract.image
    contract = replace(found.contract, image=(decode, *pictures.resize(), *after))
    return replace(found, contract=contract, notes=(*found.notes, *pictures.notes()), fits_input=False)


def pictures_of(source: Source, layout: Layout) -> Pictures | None:
    """What the file states; None where it takes no single picture of pixels as float32 or uint8, and where it states no input.

    ``layout`` decides where the shape leaves open which axis has the channels.
    """
    if len(source.takes) != 1 or source.takes[0].dtype not in ("float32", "uint8") or len(source.takes[0].shape) != 4:
        return None
    (spec,) = source.takes
    shape = spec.shape[1:]
    ends = (shape[0] in (GREY, COLOUR), shape[2] in (GREY, COLOUR))
    first = layout == "CHW" if ends[0] == ends[1] else ends[0]
    channels, height, width = shape if first else (shape[2], shape[0], shape[1])
    if channels not in (GREY, COLOUR) or not isinstance(channels, int):
        return None
    sizes = [size if isinstance(size, int) else None for size in (height, width)]
    return Pictures(sizes[0], sizes[1], channels, first, spec.dtype)
