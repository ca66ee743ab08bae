"""The image properties that ONNX defines for a model's ``metadata_props`` (docs/MetadataProps.md), as Windows ML reads them."""

from __future__ import annotations

from roadworthy.build.preprocessing import image_input
from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.image_input import ImageInput
from roadworthy.build.sources.parsers import onnx
from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import Decode, Normalize, Resize, ReverseChannels, Step

FORMAT, RANGE, GAMMA = "Image.BitmapPixelFormat", "Image.NominalPixelRange", "Image.ColorSpaceGamma"
FORMATS = {"Gray8": 1, "Rgb8": 3, "Bgr8": 3}
"""The channels of each pixel format that is carried out."""
RANGES = {
    "NominalRange_0_255": Normalize(1.0, arithmetic="torch"),
    "Normalized_0_1": Normalize(arithmetic="torch"),
    "Normalized_1_1": Normalize(1 / 127.5, (1.0,), arithmetic="torch"),
}
"""What a pixel becomes. NominalRange_16_235 is a range of video, which no step gives."""
ORIGIN = "the ONNX file's image properties"
OWN = "--preprocess FILE.toml states how an image becomes the input"


def beside(source: Source, layout: Layout) -> Found | None:
    """What the properties state: colours, their order and their range. A mean, or a way to resize, they cannot state.

    None without the two of them that are needed. What is not carried out is a note, and the model then takes no images.
    """
    if source.kind != "onnx":
        return None
    found = onnx.read(source.path)
    properties = dict(found.properties)
    if not {FORMAT, RANGE} & properties.keys():
        return None
    inputs = found.signature.inputs
    image = image_input.of_spec(inputs[0]) if len(inputs) == 1 else None
    try:
        if image is None:
            raise DataError("the model does not have one input of the shape of an image")
        steps, notes = _steps(properties, image)
        contract = Contract(steps)
        contract.check()
    except DataError as problem:
        return Found(Contract(), ORIGIN, (Note(f"{ORIGIN}: {problem.message}; the model takes no images as it is: {OWN}", True),))
    return Found(contract, ORIGIN, notes)


def _steps(properties: dict[str, str], image: ImageInput) -> tuple[tuple[Step, ...], tuple[Note, ...]]:
    format, range_ = (_one(properties, name, known) for name, known in ((FORMAT, FORMATS), (RANGE, RANGES)))
    if FORMATS[format] != image.channels:
        raise DataError(f"{FORMAT} is {format}, and the input has {image.channels} channels")
    # Pixels of sRGB are what a file holds; anything else would have to be converted.
    if properties.get(GAMMA, "SRGB") != "SRGB":
        raise DataError(f"{GAMMA} is {shown(properties[GAMMA])}, which is not carried out")
    if image.size is None:
        raise DataError(f"the input {image.spec.name!r} leaves its size open")
    values, notes = image_input.numbers(image, RANGES[range_])
    order = (ReverseChannels(),) if format == "Bgr8" else ()
    resize = Note(f"{ORIGIN} do not name the resize: bilinear without keeping the aspect, with antialias")
    return (Decode("L" if format == "Gray8" else "RGB"), Resize(image.size), *order, *values), (resize, *notes)


def _one(properties: dict[str, str], name: str, known: dict[str, Normalize] | dict[str, int]) -> str:
    if name not in properties:
        raise DataError(f"there is no {name}")
    if properties[name] not in known:
        raise DataError(f"{name} is {shown(properties[name])}; {', '.join(known)} are carried out")
    return properties[name]
