"""Folders and labels that name one class in different spellings are matched; what could be two classes is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.build.data.folder_data import read_folder
from roadworthy.build.data.raw_data import ExpectedInputs
from roadworthy.core.errors import DataError
from roadworthy.preprocess.contract import Answer, Contract

NAMES = ("background", "tench, Tinca tinca", "great white shark", "cock")
IDS = ("background", "n01440764", "n01484850", "n01514668")


def indices(root: Path, folders: tuple[str, ...], labels: tuple[str, ...], ids: tuple[str, ...] = ()) -> list[int]:
    """The class index of one sample in each folder, in the order of the folders' names."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / "sample.bin").write_bytes(b"1")
    found = read_folder(root, ExpectedInputs((), Contract(answer=Answer(labels=labels)), ids))
    assert not found.by_folder
    (targets,) = found.targets.values() if hasattr(found.targets, "values") else (found.targets,)
    return [int(value) for value in targets]


@pytest.mark.parametrize(
    ("folders", "labels", "ids"),
    [
        (("tench, Tinca tinca", "great white shark"), NAMES, ()),
        (("n01440764", "n01484850"), NAMES, IDS),
        (("Tench, tinca_tinca", "Great_White-Shark"), NAMES, IDS),
        (("n01440764_tench", "n01484850-great white shark"), NAMES, IDS),
        (("tench", "great_white_shark"), NAMES, ()),
        (("tench", "Great White Shark"), NAMES, IDS),
        (("001.tench", "002.great_white_shark"), ("background", "tench", "great white shark"), ()),
        (("tench", "great_white_shark"), ("0 - background", "1 - tench", "2 - great white shark"), ()),
    ],
)
def test_each_spelling_finds_its_class(tmp_path: Path, folders: tuple[str, ...], labels: tuple[str, ...], ids: tuple[str, ...]) -> None:
    by_name = dict(zip(sorted(folders), indices(tmp_path, folders, labels, ids), strict=True))
    assert [by_name[folder] for folder in folders] == [1, 2]


def test_a_name_that_fits_two_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="twice"):
        indices(tmp_path, ("crane", "tench"), ("crane, a bird", "crane, a machine", "tench"))


def test_ids_that_the_labels_do_not_have_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a WordNet id, so begin each line of the labels file with its id, as in 'n01440764 tench'"):
        indices(tmp_path, ("n01440764", "n01484850"), NAMES)
