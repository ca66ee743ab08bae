"""Ultralytics: the metadata of its exports, its ``LetterBox``, and the name ``letterbox:640``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from roadworthy.build.preprocessing import image_input
from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.image_input import ImageInput
from roadworthy.build.preprocessing.stated import ultralytics
from roadworthy.build.preprocessing.stated.ultralytics import UltralyticsExport
from roadworthy.build.sources.parsers import onnx, tflite
from roadworthy.core.errors import BackendMissing, DataError
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.core.types import BATCH, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import Crop, Decode, Letterbox, Normalize, Resize, Step

NAME = re.compile(r"letterbox:([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?(?:,stride=([1-9]\d{0,3}))?")
SPELLED = "letterbox:SIZE, letterbox:HEIGHTxWIDTH or letterbox:640,stride=32"
BOXES = ("detect", "segment", "pose", "obb")
"""The tasks whose images are put in a letterbox."""
ARGUMENTS = {
    "new_shape": (640, 640), "auto": False, "scale_fill": False, "scaleup": True, "center": True, "stride": 32, "padding_value": 114,
    "interpolation": 1,
}  # fmt: skip
"""LetterBox's arguments and their defaults; older versions spell scale_fill as scaleFill, and do not have the last two."""
INTERPOLATION: dict[int, Literal["bilinear", "bicubic"]] = {1: "bilinear", 2: "bicubic"}
"""OpenCV's numbers of the filters that are carried out as OpenCV does."""
FIRST_TORCHVISION = (8, 1)
"""The first version whose classifiers are resized by torchvision."""
OWN = "--preprocess FILE.toml states how an image becomes the input"
GREY = Note("grey is made of the image's colours; OpenCV takes a JPEG's luma as it is stored, a few levels apart")
UNSCALED = Note("LetterBox itself gives uint8 pixels: RGB in 0..1 is what Ultralytics' predictor makes of them")


def of_name(text: str, layout: Layout) -> Found | None:
    """``letterbox:640`` and its kin: fitted and padded as Ultralytics does, RGB in 0..1. Raises DataError for another spelling."""
    if text.partition(":")[0] != "letterbox":
        return None
    match = NAME.fullmatch(text)
    if match is None:
        raise DataError(f"{text!r} is not the name of a letterbox; write {SPELLED}")
    height, width, stride = (int(part) if part else None for part in match.groups())
    assert height is not None
    box = Letterbox((height, width or height), stride)
    return _checked((_decoded(3), box, *_unit(_plain(layout, 3))), Answer(), text, ())


def of_path(path: Path, layout: Layout) -> Found | None:
    """A ``metadata.yaml`` that Ultralytics wrote beside an export."""
    if path.name != ultralytics.YAML_NAME or (export := ultralytics.of_yaml(path)) is None:
        return None
    return _of_export(export, _plain(layout, export.channels), str(path))


def of_object(value: Any, layout: Layout) -> Found | None:
    """A live ``ultralytics.data.augment.LetterBox``, or a dict of its arguments that has ``new_shape``."""
    kind = type(value)
    if kind.__name__ == "LetterBox" and kind.__module__.partition(".")[0] == "ultralytics":
        stated = vars(value)
    elif isinstance(value, Mapping) and "new_shape" in value:
        stated = dict(value)
    else:
        return None
    stated = {"scale_fill" if name == "scaleFill" else name: found for name, found in stated.items()}
    if strange := stated.keys() - ARGUMENTS.keys():
        raise DataError(f"LetterBox has {sorted(map(str, strange))[0]!r}, which is not read; {OWN}")
    arguments = ARGUMENTS | stated
    steps = (_decoded(3), _box(arguments), *_unit(_plain(layout, 3)))
    return _checked(steps, Answer(), f"Ultralytics LetterBox({arguments['new_shape']})", (UNSCALED,))


def beside(source: Source, layout: Layout) -> Found | None:
    """What Ultralytics wrote into the export; where it cannot be carried out, a note, and the class names alone."""
    try:
        export = ultralytics.of_file(source.path, source.kind)
    except (DataError, BackendMissing) as problem:
        return Found(Contract(), "Ultralytics' metadata", (Note(f"{problem.message}; {OWN}", True),))
    if export is None:
        return None
    try:
        return _of_export(export, _input(source) or _plain(layout, export.channels), "Ultralytics' metadata")
    except DataError as problem:
        why = Note(f"Ultralytics' metadata: {problem.message}; the model takes no images as it is: {OWN}", True)
        return Found(Contract(answer=Answer(labels=export.names)), "Ultralytics' metadata", (why,))


def _of_export(export: UltralyticsExport, image: ImageInput, origin: str) -> Found:
    """The steps of Ultralytics' own predictor for the task. OpenCV reads the image, so that EXIF orientation is followed."""
    if export.size is None or not export.task:
        raise DataError(
            f"they do not state the task and the size, as YOLOv5's; a detector's images become its input by {_letterbox(image)}"
        )
    if export.channels != image.channels:
        raise DataError(f"channels is {export.channels}, and the input has {image.channels}")
    if image.size not in (None, export.size):
        raise DataError(f"imgsz is {list(export.size)}, and the model takes {list(image.size or ())}")
    values, notes = image_input.numbers(image, Normalize(arithmetic="torch"))
    notes += (GREY,) if export.channels == 1 else ()
    decode, answer = _decoded(export.channels), Answer(labels=export.names)
    if export.task in BOXES and export.stretched:
        return _checked((decode, _stretched(export.size), *values), answer, origin, notes)
    if export.task in BOXES:
        open_size = _on_open_size(export.size, export.stride, image)
        return _checked((decode, Letterbox(export.size), *values), answer, origin, (*notes, *open_size))
    if export.task == "classify":
        height, width = export.size
        resize = Resize(height if height == width else (height, width))
        return _checked((decode, resize, Crop(export.size), *values), answer, origin, (*notes, *_on_version(export)))
    raise DataError(f"the task {export.task!r} is not one whose preprocessing is known")


def _letterbox(image: ImageInput) -> str:
    height, width = image.size or (640, 640)
    return f"--preprocess letterbox:{height}x{width}"


def _on_open_size(size: tuple[int, int], stride: int, image: ImageInput) -> tuple[Note, ...]:
    """Ultralytics pads to the nearest multiple of the stride where every image of a call has one size, and to the full size else."""
    if image.size or image.spec.name == "":
        return ()
    height, width = size
    name = f"letterbox:{height}x{width},stride={stride}"
    return (Note(f"the input's size is open: every image is padded to {height} x {width}; --preprocess {name} pads as little as it can"),)


def _on_version(export: UltralyticsExport) -> tuple[Note, ...]:
    parts = tuple(int(part) for part in re.findall(r"\d+", export.version)[:2])
    if not parts or parts >= FIRST_TORCHVISION:
        return ()
    return (Note(f"Ultralytics {export.version} cropped classifiers' images by OpenCV; here they are as those of 8.1 and later", True),)


def _box(arguments: Mapping[str, Any]) -> Step:
    """LetterBox's arguments as a step; DataError, naming the argument, where one cannot be carried out."""
    shape = arguments["new_shape"]
    size = (shape, shape) if isinstance(shape, int) else tuple(shape) if isinstance(shape, list | tuple) else ()
    for name, values in (("new_shape", size), ("stride", (arguments["stride"],)), ("padding_value", (arguments["padding_value"],))):
        if not values or not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            raise DataError(f"LetterBox has {name} = {arguments[name]!r}; whole numbers are read; {OWN}")
    if len(size) != 2:
        raise DataError(f"LetterBox has new_shape = {shape!r}; one number or (height, width) is read")
    filter = INTERPOLATION.get(arguments["interpolation"])
    if filter is None:
        raise DataError(f"LetterBox has interpolation = {arguments['interpolation']!r}; 1 (linear) and 2 (cubic) are carried out; {OWN}")
    if arguments["auto"]:
        return Letterbox(
            size, arguments["stride"], arguments["padding_value"], bool(arguments["scaleup"]), bool(arguments["center"]), filter
        )
    if arguments["scale_fill"]:
        return _stretched(size, filter)
    return Letterbox(size, None, arguments["padding_value"], bool(arguments["scaleup"]), bool(arguments["center"]), filter)


def _stretched(size: tuple[int, int], filter: Literal["bilinear", "bicubic"] = "bilinear") -> Resize:
    return Resize(size, filter, antialias=False, like="opencv")


def _decoded(channels: int) -> Decode:
    return Decode("L" if channels == 1 else "RGB", orient=True)


def _unit(image: ImageInput) -> tuple[Step, ...]:
    return image_input.numbers(image, Normalize(arithmetic="torch"))[0]


def _plain(layout: Layout, channels: int) -> ImageInput:
    """An input of float32 of whatever size, where the file does not state it."""
    axes = (channels, "height", "width") if layout == "CHW" else ("height", "width", channels)
    return ImageInput(TensorSpec("", "float32", (BATCH, *axes)), None, None, channels, layout)


def _input(source: Source) -> ImageInput | None:
    """The only input as the file states it, where its format does."""
    if source.kind == "onnx":
        inputs = onnx.read(source.path).signature.inputs
    elif source.kind == "tflite":
        inputs = tflite.read(source.path).bare.signature.inputs
    else:
        return None
    return image_input.of_spec(inputs[0]) if len(inputs) == 1 else None


def _checked(steps: tuple[Step, ...], answer: Answer, origin: str, notes: tuple[Note, ...]) -> Found:
    contract = Contract(steps, answer)
    contract.check()
    return Found(contract, origin, notes)
