"""Names of classes that came with a preprocessing: they count where they fit the model and the folders, and never refuse a sound model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.build import classes
from roadworthy.build.data.dataset import Dataset
from roadworthy.build.job import Job
from roadworthy.core.errors import DataError
from roadworthy.core.samples import TARGET
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Resize
from support.gathering import gather

NAMES = ("tench", "English springer", "crane", "crane", "church")
IMAGES = Contract((Decode(), Resize((4, 4)), ChannelsFirst()))


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        for index in range(2):
            Image.fromarray(np.full((5, 5, 3), index, np.uint8)).save(root / name / f"{index}.png")
    return root


def gathered(root: Path, *names: str) -> Dataset:
    return gather(folders(root / "data", *names), ("x",), IMAGES, root / "out", suggested=NAMES)


def signature(count: int) -> Signature:
    return Signature((TensorSpec("x", "float32", ("batch", 3, 4, 4)),), (TensorSpec("scores", "float32", ("batch", count)),))


def test_folders_of_such_names_have_their_places(tmp_path: Path) -> None:
    found = gathered(tmp_path, "church", "english_springer")
    assert (found.classes, found.by_folder) == (NAMES, False)
    assert np.asarray(found.samples.open_targets()[TARGET]).tolist() == [1, 4, 1, 4]


@pytest.mark.parametrize("names", [("cat", "dog"), ("church", "dog"), ("n01440764", "n02102040", "n1", "n2", "n3")])
def test_folders_of_other_names_are_counted_as_ever(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = gathered(tmp_path, *names)
    assert (found.classes, found.by_folder) == (names, True)


def test_names_as_many_as_the_outputs_are_the_answers() -> None:
    contract, notes = classes.with_suggested(IMAGES, NAMES, None, signature(5))
    assert (contract.answer.labels, notes) == (NAMES, ())


def test_names_of_another_number_are_left_out_with_a_note(tmp_path: Path) -> None:
    contract, (note,) = classes.with_suggested(IMAGES, NAMES, gathered(tmp_path, "cat", "dog"), signature(2))
    assert contract == IMAGES
    assert "comes with 5 class names, and the output 'scores' has 2: the names were left out" in note.text


def test_folders_placed_by_names_of_another_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name the model's own classes with --labels FILE"):
        classes.with_suggested(IMAGES, NAMES, gathered(tmp_path, "church", "tench"), signature(2))


@pytest.mark.parametrize("stated", [{"labels": Path("names.txt")}, {"preprocess": "steps.toml"}])
def test_names_that_the_user_states_are_no_suggestion(stated: dict[str, Any]) -> None:
    named = replace(IMAGES, answer=Answer(labels=NAMES))
    assert classes.suggested(named, Job(Path("m"), Path("o"), **stated)) == (named, ())
    assert classes.suggested(named, Job(Path("m"), Path("o"), preprocess="torchvision.models:W.DEFAULT")) == (IMAGES, NAMES)
