"""Folders of samples: which of them are classes, and which are the splits, halves or wrappings of a data set."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.data.class_names import spelling_key
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note

IMAGES = {".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
"""What counts as an image in a folder. Formats that cannot be read are among them, so that an image of one is refused and not left out."""
SPLIT = re.compile(
    r"(test|testing|eval|evaluation|val|valid|validate|validation|dev|devel|development|holdout|hold[ _-]?out|train|training)"
    r"(?:[ _-]?(?:set|data|split|images|imgs))?(?:[ _-]?\d+)?",
    re.IGNORECASE,
)
PREFERRED = ("test", "eval", "holdout", "hold", "val", "dev", "train")
"""Splits by how well they measure a model: what it was not trained on first."""
PICTURES = re.compile(r"(images?|imgs?|jpegimages|pictures|photos)(?:[ _-]?\d+)?", re.IGNORECASE)
COMPANIONS = re.compile(
    r"(labels?|labeltxt|annotations?|annots?|anns?|masks?|seg(mentation)?s?|segmentation(class|object)|imagesets|bboxes|parts|attributes"
    r"|ground[ _-]?truth|gt)(?:[ _-]?\d+)?",
    re.IGNORECASE,
)
JUNK = ("__macosx", "__pycache__", "@eadir", "$recycle.bin", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")
SHOWN = 3


@dataclass(frozen=True)
class ClassFolders:
    """The class folders of a data set in the order of their names, each with its samples; or no folders and one list of samples.

    ``images`` says that the samples are images; then no other file counts.
    """

    names: tuple[str, ...]
    members: tuple[tuple[Path, ...], ...]
    images: bool
    notes: tuple[Note, ...] = ()


def read(root: Path, known: Sequence[str], *, images: bool) -> ClassFolders:
    """The samples in ``root``: one folder a class, or files alone. ``known`` are names of classes: a folder of such a name is one.

    ``images`` says that the model takes images; where it does not, the samples are images nevertheless if any file is one. Hidden
    files and folders and what operating systems leave do not count. Raises DataError where the folders are not classes: with the
    path that was meant, where there is one.
    """
    folders, named = folders_in(root), set(map(spelling_key, known))
    doubtful = [folder for folder in folders if spelling_key(folder.name) not in named]
    _refuse_no_classes(root, doubtful, folders)
    members = [sorted(_samples(folder)) for folder in folders] or [[path for path in _entries(root) if path.is_file()]]
    images = images or any(is_image(path) for paths in members for path in paths)
    kept = tuple(tuple(path for path in paths if is_image(path) or not images) for paths in members)
    _refuse_empty(root, folders, kept, images)
    return ClassFolders(tuple(folder.name for folder in folders), kept, images, tuple(_notes(root, folders, doubtful, images)))


def _refuse_empty(root: Path, folders: Sequence[Path], members: Sequence[Sequence[Path]], images: bool) -> None:
    """Raise DataError where there are no samples, or none in a class folder."""
    kind = "images" if images else "files"
    if not folders and not members[0]:
        suffixes = f" ({', '.join(sorted(IMAGES))})" if images else ""
        raise DataError(f"{root} holds no {kind}{suffixes} and no folders of {kind}")
    for folder, paths in zip(folders, members, strict=False):
        if not paths:
            raise DataError(f"{root}: the class folder {folder.name} holds no {kind}; fill it or remove it")


def _refuse_no_classes(root: Path, doubtful: Sequence[Path], folders: Sequence[Path]) -> None:
    """Raise DataError where the folders of ``root`` cannot be classes; ``doubtful`` are those without the name of a known class.

    For example: ``train/`` and ``test/`` are splits, ``images/`` and ``labels/`` a data set for detection, and a single folder wraps
    the data set.
    """
    splits = [folder for folder in doubtful if SPLIT.fullmatch(folder.name)]
    _refuse_splits(root, splits, folders)
    pictures = [folder for folder in doubtful if PICTURES.fullmatch(folder.name)]
    others = [folder for folder in doubtful if COMPANIONS.fullmatch(folder.name)]
    if pictures and others and len(pictures) + len(others) + len(splits) == len(folders):
        raise DataError(
            f"{root} holds {pictures[0].name}/ and {others[0].name}/, the layout of a data set for detection or segmentation, and no "
            f"classes: give the images alone, {_option(pictures[0])}"
        )
    if len(folders) == 1 and doubtful:
        (only,) = folders
        inside = "the folders of classes" if _holds_folders(only) else "the samples"
        raise DataError(
            f"{root} holds one folder, {only.name}/, and one class alone tells nothing apart: if {inside} are in it, {_option(only)}"
        )


def _refuse_splits(root: Path, splits: Sequence[Path], folders: Sequence[Path]) -> None:
    """Raise DataError where all folders are splits, or some are that hold folders of the same names."""
    divided = [folder for folder in splits if _holds_folders(folder)]
    if not splits or not (len(splits) == len(folders) or (len(splits) > 1 and divided and _share_classes(splits))):
        return
    best = min(divided or splits, key=_preference)
    names = " and ".join(f"{folder.name}/" for folder in splits)
    if len(splits) > 1:
        raise DataError(f"{root} holds {names}, which are splits of a data set, and no classes: give one of them, {_option(best)}")
    raise DataError(f"{root} holds {names}, which is a split of a data set, and no class: give it, {_option(best)}")


def _share_classes(splits: Sequence[Path]) -> bool:
    """Whether at least two splits hold folders of the same names."""
    inside = [{folder.name for folder in folders_in(split)} for split in splits]
    return any(one & other for index, one in enumerate(inside) for other in inside[:index])


def _preference(split: Path) -> int:
    name = split.name.lower()
    return next((index for index, word in enumerate(PREFERRED) if name.startswith(word)), len(PREFERRED))


def _option(folder: Path) -> str:
    """The option with the folder that was meant: ``folder``, or one below it, for example ``data/`` that holds nothing but splits."""
    for _ in range(4):
        inside = folders_in(folder)
        splits = [one for one in inside if SPLIT.fullmatch(one.name)]
        pictures = [one for one in inside if PICTURES.fullmatch(one.name)]
        if inside and len(splits) == len(inside):
            folder = min(splits, key=_preference)
        elif pictures and any(COMPANIONS.fullmatch(one.name) for one in inside):
            folder = pictures[0]
        elif len(inside) == 1 and folders_in(inside[0]):
            (folder,) = inside
        else:
            break
    return f"--data {shlex.quote(str(folder))}"


def _notes(root: Path, folders: Sequence[Path], doubtful: Sequence[Path], images: bool) -> Iterator[Note]:
    """What was guessed about the folders, one sentence each; ``doubtful`` are those without the name of a known class."""
    for folder in doubtful:
        if SPLIT.fullmatch(folder.name):
            yield Note(f"the folder {folder.name}/ has the name of a split of a data set and was taken for a class")
    loose = [path for path in _entries(root) if path.is_file() and is_image(path)] if folders and images else []
    if loose:
        many = f"{len(loose)} images are" if len(loose) > 1 else "1 image is"
        yield Note(f"{many} beside the class folders, left out: {_some([path.name for path in loose])}")
    nested = [(folder, inside) for folder in folders if (inside := [one for one in folders_in(folder) if any(_samples(one))])]
    if nested:
        folder, inside = nested[0]
        more = f", and so for {len(nested) - 1} more class folders" if len(nested) > 1 else ""
        yield Note(
            f"the class folder {folder.name}/ holds folders ({_some([one.name for one in inside])}): all below it is one class{more}"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _holds_folders(folder: Path) -> bool:
    return any(any(_samples(inside)) for inside in folders_in(folder))


def images_in(folder: Path) -> list[Path]:
    """The images of ``folder`` itself, in the order of their names."""
    return [path for path in _entries(folder) if path.is_file() and is_image(path)]


def folders_in(folder: Path) -> list[Path]:
    """The folders in ``folder`` that count, in the order of their names."""
    return [path for path in _entries(folder) if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _counts(path.name))


def _samples(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, in no order, except hidden ones and what an operating system leaves. Links are followed, once each.

    DataError names a link to a file that is not there.
    """
    seen = {folder.resolve()}
    for place, inside, files in os.walk(folder, onerror=_raise, followlinks=True):
        fresh = {name: path for name in inside if _counts(name) and (path := Path(place, name).resolve()) not in seen}
        seen.update(fresh.values())
        inside[:] = fresh
        for path in (Path(place, name) for name in files if _counts(name)):
            if path.is_symlink() and not path.exists():
                raise DataError(f"{path} is a link to a file that is not there")
            if path.is_file():
                yield path


def _raise(problem: OSError) -> None:
    raise problem


def _counts(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in JUNK


def is_image(path: Path) -> bool:
    """Whether the file's name says that it is an image."""
    return path.suffix.lower() in IMAGES
