"""The metadata of a TFLite file, as ``tflite-support`` writes it: the image that its input takes, and the names of its first output."""

from __future__ import annotations

from typing import Literal

from roadworthy.build.preprocessing import image_input
from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.image_input import ImageInput
from roadworthy.build.preprocessing.stated import tflite_metadata, ultralytics
from roadworthy.build.preprocessing.stated.tflite_metadata import TensorMetadata, TfliteMetadata
from roadworthy.build.sources.parsers import tflite
from roadworthy.build.sources.parsers.tflite import TfliteFile, TfliteSignature
from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.core.errors import DataError, SourceUnreadable
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess.answer import columns
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import Decode, Normalize, Resize, Step

ORIGIN = "the TFLite file's metadata"
OWN = "--preprocess FILE.toml states how an image becomes the input"


def beside(source: Source, layout: Layout) -> Found | None:
    """What the metadata of a ``.tflite`` file states, None without metadata. It describes the first subgraph.

    Steps: a resize to the input's size without keeping the aspect, which is the default pipeline of the metadata (bilinear, without
    antialias: the filter is not stated), the colours, and ``(pixel - mean) / std``. What is not stated or contradicts the model is a note,
    and the model then takes no images. Ultralytics' own metadata, which say more, are read by the form of that name.
    """
    if source.kind != "tflite" or ultralytics.is_export(source.path, source.kind):
        return None
    file = tflite.read(source.path)
    chosen = _chosen(file, source.signature)
    try:
        metadata = tflite_metadata.read(source.path)
    except SourceUnreadable as problem:
        return Found(Contract(), ORIGIN, (Note(f"{problem.message}; {OWN}", True),))
    if metadata is None or chosen is None or chosen.subgraph:
        return None
    labels, on_labels = _labels(source, metadata, file, chosen)
    image, on_image = _image(metadata, chosen)
    if not image and not labels and not (*on_image, *on_labels):
        return None
    return Found(Contract(image, Answer(labels=labels)), ORIGIN, (*on_image, *on_labels))


def _chosen(file: TfliteFile, key: str) -> TfliteSignature | None:
    wanted = key or file.usual
    return next((one for one in file.signatures if one.key == wanted), file.bare if wanted == "" else None)


def _image(metadata: TfliteMetadata, chosen: TfliteSignature) -> tuple[tuple[Step, ...], tuple[Note, ...]]:
    if len(chosen.signature.inputs) != 1 or len(metadata.inputs) != 1 or not metadata.inputs[0].image:
        return (), ()
    stated, spec = metadata.inputs[0], chosen.signature.inputs[0]
    try:
        image = image_input.of_spec(spec)
        if image is None:
            raise DataError(f"the input {spec.name!r} is called an image, and its shape is {list(spec.shape)}")
        steps, notes = _steps(stated, image)
        contract = Contract(steps)
        contract.check()
    except DataError as problem:
        return (), (Note(f"{ORIGIN}: {problem.message}; the model takes no images as it is: {OWN}", True),)
    return steps, notes


def _steps(stated: TensorMetadata, image: ImageInput) -> tuple[tuple[Step, ...], tuple[Note, ...]]:
    if unread := [unit for unit in stated.units if unit != tflite_metadata.UNITS[1]]:
        raise DataError(f"the input has {', '.join(unread)}, which is not carried out for images")
    color, on_color = _color(stated, image)
    values, on_values = image_input.numbers(image, _values(stated, image))
    size = image.size or stated.size
    if size is None:
        return (decode := Decode(color), *values), (*on_color, *on_values, Note(f"{ORIGIN} leave the size open: {decode.describe()} alone"))
    if image.size and stated.size and image.size != stated.size:
        raise DataError(f"default_size is {stated.size[0]} x {stated.size[1]}, and the model takes {image.size[0]} x {image.size[1]}")
    filter = Note(f"{ORIGIN} do not name the resize: bilinear without antialias and without keeping the aspect, as TensorFlow's own")
    return (Decode(color), Resize(size, antialias=False), *values), (*on_color, filter, *on_values)


def _color(stated: TensorMetadata, image: ImageInput) -> tuple[Literal["RGB", "L"], tuple[Note, ...]]:
    by_shape: Literal["RGB", "L"] = "L" if image.channels == 1 else "RGB"
    if not stated.color:
        return by_shape, (Note(f"{ORIGIN} leave color_space open: read as {by_shape}, by the {image.channels} channels of the input"),)
    if stated.color != by_shape:
        raise DataError(f"color_space is {'GRAYSCALE' if stated.color == 'L' else 'RGB'}, and the input has {image.channels} channels")
    return by_shape, ()


def _values(stated: TensorMetadata, image: ImageInput) -> Normalize:
    """What a pixel stands for. Without NormalizationOptions uint8 is the pixel, and the rest is open."""
    found = stated.normalization
    if found is None:
        if image.spec.dtype != "uint8":
            raise DataError(f"there are no NormalizationOptions, and the input {shown(image.spec.name)!r} is {image.spec.dtype}")
        scale, zero = (image.spec.quantization.scale, image.spec.quantization.zero_point) if image.spec.quantization else (1.0, 0)
        return Normalize(scale, (zero * scale,))
    for name, stated_values in (("mean", found.mean), ("std", found.std)):
        if len(stated_values) not in (1, image.channels):
            raise DataError(f"NormalizationOptions.{name} has {len(stated_values)} numbers for {image.channels} channels")
    values = Normalize(1.0, found.mean, found.std, arithmetic="torch")
    values.check(1)
    return values


def _labels(
    source: Source, metadata: TfliteMetadata, file: TfliteFile, chosen: TfliteSignature
) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    """The names of the first output: the first of its files, those without a locale first."""
    number = _first_output(file, chosen)
    if number is None or number >= len(metadata.outputs) or not metadata.outputs[number].labels:
        return (), ()
    stated = metadata.outputs[number]
    named = min(stated.labels, key=lambda one: bool(one.locale))
    try:
        labels = tflite_metadata.labels(source.path, named)
    except SourceUnreadable as problem:
        return (), (Note(f"{problem.message}; --labels FILE names the classes", True),)
    count = None if named.values else columns(chosen.signature.outputs[0])
    if count is not None and len(labels) != max(count, 2):
        text = f"{shown(named.name)!r} in {ORIGIN} has {len(labels)} names, and the first output {count}; --labels FILE names the classes"
        return (), (Note(text, True),)
    return labels, _on_scores(stated)


def _on_scores(stated: TensorMetadata) -> tuple[Note, ...]:
    if "ScoreCalibrationOptions" not in stated.units:
        return ()
    return (Note("the metadata's ScoreCalibrationOptions are not carried out: scores are the model's own"),)


def _first_output(file: TfliteFile, chosen: TfliteSignature) -> int | None:
    """Which output of the subgraph is the chosen signature's first; None where names do not tell."""
    outputs = file.bare.signature.outputs
    if len(outputs) == 1:
        return 0
    first = chosen.signature.outputs[0].name
    return next((number for number, spec in enumerate(outputs) if spec.name == first), None)
