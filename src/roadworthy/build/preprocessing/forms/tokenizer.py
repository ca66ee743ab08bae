"""A tokenizer's file, ``tokenizer.json``, with the ``tokenizer_config.json`` beside it: named by the user, or beside the model."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.preprocessing.found import Found
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess import tokenizer_file
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.texts import FILE
from roadworthy.preprocess.tokenizer_file import TextTable

MODEL = ("config.json",)
"""What lies beside the tokenizer's file in a folder of Hugging Face: a file of that name elsewhere may be of another model."""


def of_path(path: Path, layout: Layout) -> Found | None:
    """The tokenizer's file itself, or a folder that holds it and no preprocessing of images or sounds."""
    if path.is_dir():
        others = ("preprocessor_config.json", "processor_config.json", "feature_extractor_config.json")
        if not (path / FILE).is_file() or any((path / name).is_file() for name in others):
            return None
        path = path / FILE
    return _found(path) if path.name == FILE or _is_tokenizer(path) else None


def beside(source: Source, layout: Layout) -> Found | None:
    """The tokenizer's file in the model's folder, where that is one of Hugging Face."""
    folder = source.path if source.path.is_dir() else source.path.parent
    if not (folder / FILE).is_file() or not all((folder / name).is_file() for name in MODEL):
        return None
    return of_path(folder, layout)


def _is_tokenizer(path: Path) -> bool:
    """Whether a file of another name is a tokenizer's, by its first key."""
    if path.suffix != ".json":
        return False
    with open(path, "rb") as file:
        return b'"truncation"' in file.read(4096)


def _found(path: Path) -> Found:
    read = tokenizer_file.read(TextTable(path.name), path.parent)
    return Found(Contract(text=read.steps), str(path), tuple(map(Note, read.notes)))
