"""Pictures with a mask each in a folder beside theirs: the layout of a data set for segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from roadworthy.build.data import class_folders
from roadworthy.core.errors import DataError
from roadworthy.core.types import Array

MODES = ("1", "L", "P", "I", "I;16")
"""Modes of Pillow with one number a pixel; of a palette that is the number of the colour."""


@dataclass(frozen=True)
class MaskedPictures:
    """Pictures, and the mask of each."""

    pictures: tuple[Path, ...]
    masks: tuple[Path, ...]


def pairs_of(root: Path) -> MaskedPictures | None:
    """The pictures and masks below ``root``, where it holds one folder of each and nothing else; ``None`` where it does not.

    Both have the same names but for their suffixes. Raises DataError for a picture without a mask.
    """
    folders = class_folders.folders_in(root)
    pictures = [folder for folder in folders if class_folders.PICTURES.fullmatch(folder.name)]
    beside = [folder for folder in folders if class_folders.COMPANIONS.fullmatch(folder.name) and _has_images(folder)]
    if len(folders) != 2 or len(pictures) != 1 or len(beside) != 1:
        return None
    named = {file.stem: file for file in class_folders.images_in(beside[0])}
    files = class_folders.images_in(pictures[0])
    if without := [file for file in files if file.stem not in named]:
        raise DataError(f"{without[0]} has no mask of its name in {beside[0]}")
    return MaskedPictures(tuple(files), tuple(named[file.stem] for file in files))


def read(files: tuple[Path, ...]) -> Array:
    """The masks as whole numbers [samples, height, width]; DataError names one that has colours, or another size than the first."""
    masks = [_mask(file) for file in files]
    for file, mask in zip(files, masks, strict=True):
        if mask.shape != masks[0].shape:
            height, width = masks[0].shape
            raise DataError(
                f"{file} is {mask.shape[1]} x {mask.shape[0]} pixels, and {files[0]} {width} x {height}: all masks must have one size, "
                "that of the model's answer"
            )
    return np.stack(masks)


def _mask(file: Path) -> Array:
    try:
        with Image.open(file) as picture:
            if picture.mode not in MODES:
                raise DataError(f"{file} has the mode {picture.mode}; a mask has one whole number a pixel, the index of its class")
            return np.asarray(picture).astype(np.uint8 if picture.mode in ("1", "L", "P") else np.int32)
    except (OSError, UnidentifiedImageError) as problem:
        raise DataError(f"{file} cannot be read as a mask: {problem}") from None


def _has_images(folder: Path) -> bool:
    return bool(class_folders.images_in(folder))
