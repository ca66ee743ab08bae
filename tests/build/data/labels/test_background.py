"""A model with one class more than there are names: the sentence says how to say which, and what it says works."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from roadworthy.build.data.labels import background
from roadworthy.build.data.labels.labels_file import read

IDS = ("n01440764 tench", "n01443537 goldfish", "n01484850 white shark")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("my labels.txt", "cat\ndog\nbird"),
        ("labels.txt", "\ncat\r\ndog\r\nbird\r\n"),
        ("labels.txt", "\ufeffcat\ndog\nbird\n"),
        ("labels.json", '["cat", "dog", "bird"]'),
        ("labels.json", '\ufeff["cat", "dog", "bird"]'),
        ("labels.txt", '["cat",\n "dog", "bird"]\n'),
        ("wordnet.txt", "\n".join(IDS)),
    ],
)
def test_the_way_to_name_a_background_class_can_be_pasted(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    labels = read(path).labels
    hint = background.of_labels(labels, len(labels) + 1, path)
    assert hint.startswith("one output more than names; if the first output is a background class")
    first, second = re.findall(r"by (.+?) > ('[^']+'|\S+) and --labels \2", hint)
    for (command, target), wanted in ((first, ("background", *labels)), (second, (*labels, "background"))):
        subprocess.run(["sh", "-c", f"{command} > {target}"], cwd=tmp_path, check=True)
        assert read(tmp_path / target.strip("'")).labels == wanted
    if name.startswith("wordnet"):
        subprocess.run(["sh", "-c", f"{first[0]} > {first[1]}"], cwd=tmp_path, check=True)
        assert read(tmp_path / first[1]).ids[1:] == tuple(line.split()[0] for line in IDS)


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", '{"0": "cat", "1": "dog"}'), ("a.txt", "0 cat\n1 dog\n"), ("a.yaml", "names: [cat, dog]\n")]
)
def test_a_file_of_another_form_gets_words_alone(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    hint = background.of_labels(read(path).labels, 3, path)
    assert "put 'background' in front of the names; if it is the last, behind them" in hint and " by " not in hint
    assert background.of_labels(("cat", "dog"), 3, None) == hint


@pytest.mark.parametrize("word", ["background", "__background__", "???", "Background class", "dummy", "unlabeled", "(background)"])
def test_a_background_class_that_the_model_does_not_have_is_left_out(tmp_path: Path, word: str) -> None:
    path = tmp_path / "labels.txt"
    for content, rest in ((f"{word}\ncat\ndog\n", ("cat", "dog")), (f"cat\ndog\n{word}\n", ("cat", "dog"))):
        path.write_text(content)
        hint = background.of_labels(read(path).labels, 2, path)
        assert hint.startswith(f"this model has no class {word!r}: leave that name out, by sed ")
        (found,) = re.findall(r"by (.+?) > (\S+) and --labels \2", hint)
        subprocess.run(["sh", "-c", f"{found[0]} > {found[1]}"], cwd=tmp_path, check=True)
        assert read(tmp_path / found[1]).labels == rest


def test_other_counts_say_nothing_of_a_background_class() -> None:
    assert background.of_labels(("cat", "dog"), 2, None) == ""
    assert background.of_labels(("cat", "dog"), 5, None) == ""
    assert background.of_labels(("cat", "dog", "bird"), 2, None) == ""
    assert background.of_labels(("background", "dog"), 3, None) == ""


def test_class_folders_are_asked_about_too(tmp_path: Path) -> None:
    for name in ("Dog", "bird", "cat"):
        (tmp_path / "my data" / name).mkdir(parents=True)
    hint = background.of_folders(("Dog", "bird", "cat"), 4, "my data")
    (first, second) = re.findall(r"by (\{ .+?; \}) > labels.txt", hint)
    for command, wanted in ((first, ("background", "Dog", "bird", "cat")), (second, ("Dog", "bird", "cat", "background"))):
        subprocess.run(["sh", "-c", f"{command} > labels.txt"], cwd=tmp_path, check=True)
        assert read(tmp_path / "labels.txt").labels == wanted
    assert "leave that folder out" in background.of_folders(("_background_noise_", "no", "yes"), 2, "d")
    assert "ImageNet's 1,000 classes" in background.of_folders(("n01440764", "n02102040"), 1001, "d")
    assert background.of_folders(("cat", "dog"), 5, "d") == ""
