"""The contract as a person writes it: the name of a preset or a TOML file, read strictly and checked for contradictions.

torchvision's and Keras's models see images differently, and ``layout`` tells the two apart: CHW or HWC. ``docs/preprocessing.md`` is the
reference of all keys.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from roadworthy.core import codec
from roadworthy.core.errors import DataError
from roadworthy.preprocess import tokenizer_file
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.sound.sounds import AudioSteps
from roadworthy.preprocess.steps import KINDS, Step
from roadworthy.preprocess.steps.tables import CropTable, ImageTable, Layout, LetterboxTable, ResizeTable
from roadworthy.preprocess.tokenizer_file import TextTable

__all__ = ["PRESETS", "CropTable", "ImageTable", "Layout", "LetterboxTable", "ResizeTable", "SpecFile", "is_spec", "read"]

STEPS = dict(zip(KINDS, get_args(Step), strict=True))


@dataclass(frozen=True)
class SpecFile:
    """A TOML file. ``image`` is the table ``[image]``, or the steps one by one as ``[[image]]``, each with its ``kind``.

    ``text`` and ``audio`` are the tables for models that take those in place of images.
    """

    image: ImageTable | tuple[Step, ...] | None = None
    answer: Answer = field(default_factory=Answer)
    text: TextTable | None = None
    audio: AudioSteps | None = None

    def contract(self, folder: Path | None = None) -> Contract:
        """The contract, checked; raises DataError where its values make no sense. A file that it names lies in ``folder``."""
        image = self.image.steps() if isinstance(self.image, ImageTable) else self.image or ()
        if self.text and folder is None:
            raise DataError("[text] names a file, and there is no folder to look for it in")
        text = tokenizer_file.read(self.text, folder).steps if self.text and folder else None
        contract = Contract(image, self.answer, text, self.audio)
        contract.check()
        return contract


PRESETS: dict[str, ImageTable] = {
    # The evaluation transform of torchvision's reference classifiers.
    "imagenet": ImageTable(resize=ResizeTable(256), crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    # Mean and deviation of the training set's pixels.
    "cifar10": ImageTable(resize=ResizeTable((32, 32)), mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
    "mnist": ImageTable(color="L", resize=ResizeTable((28, 28)), mean=(0.1307,), std=(0.3081,)),
    "unit": ImageTable(),
    # What keras.applications calls its modes: the weights that came from TensorFlow, and those that came from Caffe.
    "tf": ImageTable(scale=1 / 127.5, mean=(1.0,)),
    "caffe": ImageTable(color="BGR", scale=1.0, mean=(103.939, 116.779, 123.68)),
    "raw": ImageTable(scale=1.0),
}
"""By name. The last four keep the size that the image has: ``unit`` is RGB in 0..1, ``tf`` in -1..1, ``raw`` in 0..255, and ``caffe``
BGR in 0..255 less the mean colour of ImageNet. With a size behind the name, for example ``tf:224``, they resize to a square."""


TWICE = "twice:"
"""What stands in front of ``--preprocess`` where training normalised outside of a model that does so itself as well."""


def is_spec(spec: str) -> bool:
    """Whether ``spec`` is the name of a preset, or of a TOML file."""
    return spec.partition(":")[0] in PRESETS or spec.endswith(".toml")


def read(spec: str | Path, layout: Layout = "CHW") -> Contract:
    """The contract of a preset, or of a TOML file with the table ``[image]``, ``[text]`` or ``[audio]``, and ``[answer]``.

    ``layout`` is what the model's framework takes: that of a preset, and of an ``[image]`` table that does not state its own. Raises
    DataError for a name that is neither, a file that cannot be read, an unknown key or step, and values that contradict each other.
    """
    if isinstance(spec, str) and (preset := _preset(spec, layout)):
        return SpecFile(preset).contract()
    path = Path(spec)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{spec} is neither a file nor a preset; the presets are {', '.join(PRESETS)}") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as a preprocessing spec: {_reason(problem)}") from None
    found = _parsed(text, layout, str(path))
    try:
        return found.contract(path.parent)
    except DataError as problem:
        raise DataError(f"{path}: {problem.message}") from None


def _parsed(text: str, layout: Layout, what: str) -> SpecFile:
    raw = _raw(text, what)
    _refuse_unknown_fields(raw.get("image"), what)
    try:
        found = codec.from_toml(SpecFile, text, error=DataError, what=what)
    except DataError as problem:
        if ".kind" in problem.message:
            raise DataError(f"{problem.message}; the steps are {', '.join(KINDS)}") from None
        raise DataError(f"{problem.message}{_choices(problem.message, raw)}") from None
    if isinstance(found.image, ImageTable) and "layout" not in raw["image"]:
        return replace(found, image=replace(found.image, layout=layout))
    return found


def _raw(text: str, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise DataError(f"{what}: {problem}") from None


def _refuse_unknown_fields(image: object, what: str) -> None:
    """Steps one by one: a key that a step does not have is named with those that it has."""
    for number, step in enumerate(image if isinstance(image, list) else (), 1):
        kind = step.get("kind") if isinstance(step, dict) else None
        fields = ("kind", *STEPS[kind].__struct_fields__) if isinstance(kind, str) and kind in STEPS else ()
        unknown = next((key for key in step if key not in fields), None) if fields else None
        if unknown is not None:
            raise DataError(f"{what}: {codec.unknown_key(unknown, f'step {number}, {kind},', fields)}")


def _choices(problem: str, raw: Mapping[str, Any]) -> str:
    """For a value that is none of those that its key may have: these, in words."""
    found = re.search(r"Invalid enum value.* at `\$\.(\w+)(?:\[(\d+)\])?((?:\.\w+)+)`", problem)
    if not found:
        return ""
    table, number, path = found.groups()
    holder: Any = (
        STEPS[raw[table][int(number)]["kind"]]
        if number
        else {"image": ImageTable, "answer": Answer, "text": TextTable, "audio": AudioSteps}[table]
    )
    for key in path.split(".")[1:]:
        values = list(_values(holder := get_type_hints(holder)[key]))
        holder = next((one for one in (holder, *get_args(holder)) if hasattr(one, "__dataclass_fields__")), holder)
    return f"; it may be {', '.join(map(repr, values))}" if values else ""


def _values(kind: Any) -> Iterator[object]:
    """The values of a Literal, also where it is a part of a union."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    elif get_args(kind):
        for part in get_args(kind):
            yield from _values(part)


def _preset(spec: str, layout: Layout) -> ImageTable | None:
    name, _, size = spec.partition(":")
    image = PRESETS.get(name)
    if image is None or (size and not re.fullmatch(r"[1-9]\d{0,4}", size)):
        return None
    if not size:
        return replace(image, layout=layout)
    if image.resize is not None:
        raise DataError(f"the preset {name} has its own size; write a TOML file for another")
    # Each framework's own resize: torchvision's with antialias, TensorFlow's without.
    return replace(image, layout=layout, resize=ResizeTable((int(size), int(size)), antialias=layout == "CHW"))


def _reason(problem: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(problem, UnicodeDecodeError) else str(problem.strerror or problem)
