"""The size and the layout of pictures by the model's own statement of its input, where preprocessing states none."""

from __future__ import annotations

from dataclasses import replace

from roadworthy.build.preprocessing import image_input
from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.image_input import ImageInput
from roadworthy.core.evidence import Note
from roadworthy.core.stages import InnerLayer, Source
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Normalize, Resize, Step

GREY = 1
"""The channels of a picture without colours."""


def resize(image: ImageInput) -> tuple[Resize, ...]:
    """The resize to the input's size, bilinear, aspect not kept: channels last as Keras does it when nothing else is said, without
    antialias and to float pixels where the model takes them; channels first as torchvision, with antialias.
    """
    if image.size is None:
        return ()
    if image.layout == "CHW":
        return (Resize(image.size),)
    return (Resize(image.size, antialias=False, rounded=image.spec.dtype == "uint8", like="tf"),)


def steps(image: ImageInput, normalize: Normalize) -> tuple[Step, ...]:
    """Image to sample, at the size that the model's file states; at its own size where that is open."""
    layout: tuple[Step, ...] = (ChannelsFirst(),) if image.layout == "CHW" else ()
    return (Decode("L" if image.channels == GREY else "RGB"), *resize(image), *layout, normalize)


def notes(image: ImageInput, layers: tuple[InnerLayer, ...] = ()) -> tuple[Note, ...]:
    """On what the size rests."""
    resizing = next((layer for layer in layers if layer.size), None)
    if image.size is not None:
        torch = image.layout == "CHW"
        return (Note(
            f"how training brought images to {image.height} x {image.width} is not stated: they are resized as "
            f"{'torchvision does (bilinear, antialias' if torch else 'Keras does (bilinear, no antialias'}, aspect not kept); "
            "another way is stated by --preprocess FILE.toml"
        ),)  # fmt: skip
    if resizing is not None:
        return (Note(f"images keep their own size, and the model resizes them itself (layer {resizing.name!r}: {resizing.words})"),)
    return (Note("images keep their own size, which the model's file leaves open; --preprocess FILE.toml states one"),)


def fitted(found: Found, image: ImageInput | None) -> Found:
    """``found`` with a resize to the model's input where it states no size itself, and a note on that."""
    if not found.fits_input:
        return found
    if image is None:
        note = Note("images keep their own size, because neither the preprocessing nor the model's file states one")
        return replace(found, notes=(*found.notes, note), fits_input=False)
    decode, *after = found.contract.image
    contract = replace(found.contract, image=(decode, *resize(image), *after))
    return replace(found, contract=contract, notes=(*found.notes, *notes(image)), fits_input=False)


def image_of(source: Source, layout: Layout) -> ImageInput | None:
    """What the file states; None where it takes no single picture of pixels as float32 or uint8, and where it states no input.

    ``layout`` decides where the shape leaves open which axis has the channels.
    """
    if len(source.takes) != 1 or source.takes[0].dtype not in ("float32", "uint8"):
        return None
    return image_input.of_spec(source.takes[0], layout)
