"""TorchServe's own handlers: the transform that each one publishes, and the class names in index_to_name.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roadworthy.build.preprocessing.found import Found
from roadworthy.build.sources import mar_archive
from roadworthy.build.sources.mar_archive import MarArchive
from roadworthy.core.errors import DataError, SourceUnreadable
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Crop, Decode, Normalize, Resize, Step

PREFIX = "torchserve:"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
UNIT = (ChannelsFirst(), Normalize(arithmetic="torch"))
IMAGENET = (Decode(), Resize(256), Crop(224), ChannelsFirst(), Normalize(mean=MEAN, std=STD, arithmetic="torch"))
TRANSFORMS: dict[str, tuple[Step, ...]] = {
    "image_classifier": IMAGENET,
    "image_segmenter": IMAGENET,
    "object_detector": (Decode(), *UNIT),
}
"""``image_processing`` of each class in ts/torch_handler; all are torchvision's on Pillow images, so EXIF orientation is not applied."""
OTHERS = {
    "text_classifier": "takes text: it cleans it and looks its words up in source_vocab.pt, which is not read",
    "base_handler": "makes no inputs of images: it takes tensors",
    "dali_image_classifier": "decodes and resizes by NVIDIA DALI, whose pixels are not those of any step here",
}
"""TorchServe's other handlers, as predicates."""
OWN = "state the transform with --preprocess FILE.toml, or name the function that does it with --preprocess FILE.py:CALLABLE"


def of_name(text: str, layout: Layout) -> Found | None:
    """``torchserve:image_classifier``, ``torchserve:image_segmenter`` or ``torchserve:object_detector``.

    Raises DataError for any other handler.
    """
    if not text.startswith(PREFIX):
        return None
    return Found(Contract(_steps(text.removeprefix(PREFIX))), text)


def of_path(path: Path, layout: Layout) -> Found | None:
    """A ``.mar``, a folder that one was unpacked to, or its MANIFEST.json.

    Raises DataError where the handler is code or not one of the three, naming its file.
    """
    archive = mar_archive.read(path)
    if archive is None:
        return None
    if archive.handler_file:
        raise DataError(f"{path} {_code(archive)}: {OWN}")
    labels, notes = _labels(archive.labels)
    contract = Contract(_steps(archive.handler), Answer(labels=labels))
    return Found(contract, f"TorchServe's {archive.handler} in {path.name}", notes)


def beside(source: Source, layout: Layout) -> Found | None:
    """What an unpacked archive states about the model file that it names; a handler that is not carried out is a note."""
    try:
        archive = mar_archive.read(source.path.parent)
    except SourceUnreadable as problem:
        return Found(Contract(), "TorchServe's archive", (Note(problem.message, True),))
    if archive is None or archive.weights != source.path.name:
        return None
    labels, notes = _labels(archive.labels)
    image, on_handler = _known(archive, source.holder or archive.path)
    return Found(Contract(image, Answer(labels=labels)), f"TorchServe's handler {archive.handler}", (*on_handler, *notes))


def _known(archive: MarArchive, named: Path) -> tuple[tuple[Step, ...], tuple[Note, ...]]:
    """The steps of the handler; where they are not known, a note on the archive as the user ``named`` it."""
    if archive.handler_file:
        return (), (Note(f"{named} {_code(archive)}: {OWN}", True),)
    try:
        return _steps(archive.handler), ()
    except DataError as problem:
        return (), (Note(problem.message, True),)


def _code(archive: MarArchive) -> str:
    return f"has a handler of its own, {archive.handler_file}: code, which is not run to find the preprocessing"


def _steps(handler: str) -> tuple[Step, ...]:
    if handler in TRANSFORMS:
        return TRANSFORMS[handler]
    if handler in OTHERS:
        raise DataError(f"TorchServe's {handler} {OTHERS[handler]}; {OWN}")
    raise DataError(f"{handler!r} is not a handler of TorchServe's whose transform is known ({', '.join(TRANSFORMS)}); {OWN}")


def _labels(stated: Any) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    """The names by index as TorchServe reads them; of several names for a class, the last."""
    if stated is None:
        return (), ()
    if isinstance(stated, dict) and isinstance(stated.get("object_type_names"), list):
        stated = {str(index): name for index, name in enumerate(stated["object_type_names"])}
    if isinstance(stated, dict):
        names = {key: value[-1] if isinstance(value, list) and value else value for key, value in stated.items()}
        indices = [str(index) for index in range(len(names))]
        if names and set(names) == set(indices) and all(isinstance(name, str) for name in names.values()):
            return tuple(names[index] for index in indices), ()
    text = f"{mar_archive.LABELS} does not name the classes from 0 on without a gap; --labels FILE names them"
    return (), (Note(text, True),)
