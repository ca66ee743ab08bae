"""Folders that are classes, and those that are the splits, halves or wrappings of a data set: refused with the path that was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from roadworthy.build.data.class_folders import ClassFolders, read
from roadworthy.core.errors import DataError


def tree(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def found(root: Path, *known: str, images: bool = True) -> ClassFolders:
    return read(root, known, images=images)


SPLITS = [
    (("train", "test"), "test"),
    (("Training", "Validation"), "Validation"),
    (("train", "val", "test"), "test"),
    (("train2017", "val2017"), "val2017"),
    (("training_set", "test_set"), "test_set"),
    (("dev", "train"), "dev"),
    (("eval", "train"), "eval"),
    (("holdout", "train"), "holdout"),
    (("train", "valid"), "valid"),
    (("train",), "train"),
]


@pytest.mark.parametrize(("splits", "meant"), SPLITS)
def test_splits_are_not_taken_for_classes(tmp_path: Path, splits: tuple[str, ...], meant: str) -> None:
    root = tree(tmp_path / "root", *(f"{split}/{animal}/0.png" for split in splits for animal in ("cat", "dog")))
    with pytest.raises(DataError, match=rf"split.*--data {re.escape(str(root / meant))}$"):
        found(root)
    assert found(root / meant).names == ("cat", "dog")


@pytest.mark.parametrize(("splits", "meant"), SPLITS)
def test_splits_that_hold_the_samples_themselves_are_not_classes(tmp_path: Path, splits: tuple[str, ...], meant: str) -> None:
    root = tree(tmp_path / "root", *(f"{split}/{index}.png" for split in splits for index in range(2)))
    with pytest.raises(DataError, match=rf"--data {re.escape(str(root / meant))}$"):
        found(root)


@pytest.mark.parametrize(
    ("files", "meant"),
    [
        (("train/cat/0.png", "train/dog/0.png", "test/cat/0.png", "annotations/0.png"), "test"),
        (("dataset/cat/0.png", "dataset/dog/0.png"), "dataset"),
        (("dataset/train/cat/0.png", "dataset/test/cat/0.png", "dataset/test/dog/0.png"), "dataset/test"),
        (("a/b/c/cat/0.png", "a/b/c/dog/0.png"), "a/b/c"),
        (("pictures/0.png", "pictures/1.png"), "pictures"),
        (("images/0.png", "labels/0.txt"), "images"),
        (("images/0.png", "masks/0.png"), "images"),
        (("JPEGImages/0.jpg", "Annotations/0.xml", "SegmentationClass/0.png"), "JPEGImages"),
        (("images/train/0.png", "images/val/0.png", "labels/train/0.txt", "labels/val/0.txt"), "images/val"),
        (("train/images/0.png", "train/labels/0.txt", "val/images/0.png", "val/labels/0.txt"), "val/images"),
        (("images/cat/0.png", "images/dog/0.png", "parts/a.txt", "attributes/a.txt"), "images"),
        (("__MACOSX/dataset/0.png", "dataset/cat/0.png", "dataset/dog/0.png", ".git/0.png"), "dataset"),
    ],
)
def test_other_layouts_are_refused_with_the_path_that_was_meant(tmp_path: Path, files: tuple[str, ...], meant: str) -> None:
    root = tree(tmp_path / "my data", *files)
    with pytest.raises(DataError, match=rf"--data '{re.escape(str(root / meant))}'$"):
        found(root)


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    root = tree(tmp_path, "bus/0.png", "train/0.png", "car/0.png")
    (note,) = found(root).notes
    assert note.text == "the folder train/ has the name of a split of a data set and was taken for a class" and not note.warning
    assert found(root, "car", "Train", "bus").notes == ()
    both = tree(tmp_path / "both", "train/0.png", "test/0.png")
    assert found(both, "train", "test").names == ("test", "train"), "names that the labels know are classes"
    assert found(tree(tmp_path / "one", "dog/0.png"), "cat", "dog").names == ("dog",)


def test_nested_classes_and_loose_images_are_said(tmp_path: Path) -> None:
    root = tree(tmp_path, "dogs/beagle/0.png", "dogs/pug/0.png", "cats/0.png", "birds/tit/0.png", "loose.png", "notes.txt")
    read_ = found(root)
    assert read_.names == ("birds", "cats", "dogs") and [len(paths) for paths in read_.members] == [1, 1, 2]
    loose, nested = (note.text for note in read_.notes)
    assert loose == "1 image is beside the class folders, left out: loose.png"
    assert nested == "the class folder birds/ holds folders (tit): all below it is one class, and so for 1 more class folders"


def test_what_is_hidden_or_left_by_a_system_is_no_class_and_no_sample(tmp_path: Path) -> None:
    junk = ("__MACOSX/._0.png", ".ipynb_checkpoints/0.png", "cat/.ipynb_checkpoints/0-checkpoint.png", "cat/._0.png", "dog/Thumbs.db")
    root = tree(tmp_path, "cat/0.png", "dog/0.png", "dog/more/1.png", *junk)
    for images in (True, False):
        read_ = found(root, images=images)
        assert read_.names == ("cat", "dog")
        assert [[path.name for path in paths] for paths in read_.members] == [["0.png"], ["0.png", "1.png"]]


def test_an_empty_class_folder_is_refused_for_it_has_a_number(tmp_path: Path) -> None:
    root = tree(tmp_path, "cat/0.png", "dog/.ipynb_checkpoints/0.png", "dog/notes.txt")
    with pytest.raises(DataError, match="the class folder dog holds no images; fill it or remove it"):
        found(root)


def test_files_alone_have_no_classes(tmp_path: Path) -> None:
    read_ = found(tree(tmp_path, "b.png", "a.PNG", ".c.png", "notes.txt"))
    assert read_.names == () and [[path.name for path in paths] for paths in read_.members] == [["a.PNG", "b.png"]]
