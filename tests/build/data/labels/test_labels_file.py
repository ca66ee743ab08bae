"""Files of class names in the forms that people have, and sentences for those that can be read in two ways."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from roadworthy.build.data.class_names import ClassNames, check_count, repeated, spelling_key
from roadworthy.build.data.labels.labels_file import read, with_labels
from roadworthy.core.errors import BackendMissing, DataError
from roadworthy.preprocess.contract import Answer, Contract

THREE = ("cat", "dog", "bird")


def written(path: Path, content: str | bytes, name: str = "labels.txt") -> Path:
    file = path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "cat\ndog\nbird"),
        ("a.txt", "\ufeffcat\r\n dog \r\nbird\r\n\r\n"),
        ("a.txt", "cat\rdog\rbird\r"),
        ("a.txt", "0 cat\n1 dog\n2 bird\n"),
        ("a.txt", "2: bird\n0: cat\n1: dog\n"),
        ("a.txt", "0,cat\n1,dog\n2,bird\n"),
        ("a.txt", "0\tcat\n1\tdog\n2\tbird\n"),
        ("a.csv", "cat\ndog\nbird\n"),
        ("a.csv", "id,name\n1,dog\n0,cat\n2,bird\n"),
        ("a.csv", "name,id\r\ncat,0\r\ndog,1\r\nbird,2\r\n"),
        ("a.json", '["cat", "dog", "bird"]'),
        ("a.txt", '["cat", "dog", "bird"]\n'),
        ("a.json", '[\n "cat",\n "dog",\n "bird"\n]'),
        ("a.json", '{"0": "cat", "2": "bird", "1": "dog"}'),
        ("a.json", '{"cat": 0, "dog": 1, "bird": 2}'),
        ("config.json", json.dumps({"hidden": 768, "id2label": {"0": "cat", "1": "dog", "2": "bird"}, "label2id": {"cat": 0}})),
        ("config.json", json.dumps({"label2id": {"cat": 0, "bird": 2, "dog": 1}})),
        ("a.txt", "['cat', 'dog', 'bird']"),
        ("a.txt", "{0: 'cat',\n 1: 'dog',\n 2: 'bird'}"),
        ("a.txt", "\n# the classes of 2019\ncat\n\ndog\n#\tlast\nbird"),
        ("a.txt", "# made by hand\r\n0 cat\r\n1 dog\r\n\r\n2 bird"),
        ("a.csv", "\ufeffname\r\ncat\r\ndog\r\nbird\r\n"),
        ("a.csv", '"cat"\n"dog"\n"bird"'),
        ("a.csv", "id;name\n0;cat\n1;dog\n2;bird\n"),
        ("a.csv", "id,name,colour\n0,cat,red\n2,bird,green\n1,dog,blue\n"),
        ("a.csv", "class,weight\ncat,small\ndog,large\nbird,tiny\n"),
        ("a.tsv", "index\tlabel\n0\tcat\n1\tdog\n2\tbird\n"),
        ("a.json", '{"names": ["cat", "dog", "bird"], "nc": 3}'),
        ("a.json", '{"classes": {"0": "cat", "1": "dog", "2": "bird"}}'),
        ("a.json", '[{"id": 1, "name": "dog"}, {"id": 0, "name": "cat"}, {"id": 2, "name": "bird"}]'),
        ("a.json", '{"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}, {"id": 2, "name": "bird"}]}'),
        ("a.json", '[{"label": "cat"}, {"label": "dog"}, {"label": "bird"}]'),
        ("a.json", '[[0, "cat"], [2, "bird"], [1, "dog"]]'),
        ("data.yaml", "path: ../pets  # the root\nnc: 3\nnames: ['cat', 'dog', 'bird']\n"),
        ("data.yaml", "names:\n  0: cat\n  1: dog\n  2: bird\n"),
        ("data.yml", "names:\n- cat\n- dog\n- bird\n"),
        ("data.yml", "cat: 0\ndog: 1\nbird: 2\n"),
    ],
)
def test_names_in_the_order_of_the_outputs(tmp_path: Path, name: str, content: str) -> None:
    assert read(written(tmp_path, content, name)) == ClassNames(THREE)


@pytest.mark.parametrize(
    "content",
    [
        "n01440764 tench, Tinca tinca\nn01443537 goldfish\n",
        '{"1": ["n01443537", "goldfish"], "0": ["n01440764", "tench, Tinca tinca"]}',
        "0 n01440764 tench, Tinca tinca\n1 n01443537 goldfish\n",
        '[["n01440764", "tench, Tinca tinca"], ["n01443537", "goldfish"]]',
    ],
)
def test_wordnet_ids_are_the_classes_other_names(tmp_path: Path, content: str) -> None:
    assert read(written(tmp_path, content)) == ClassNames(("tench, Tinca tinca", "goldfish"), ("n01440764", "n01443537"))


@pytest.mark.parametrize(
    "lines",
    [
        ("1 finger", "2 fingers", "3 fingers"),
        ("7 up", "9 lives"),
        ("[PAD]", "[UNK]", "the", "[MASK]"),
        ("tench, Tinca tinca", "goldfish, Carassius auratus"),
        ("0", "1", "2"),
        ("n01440764", "n01443537"),
        ("3",),
        ("#", "$", "%"),
        ("#cat", "#dog"),
        ("cat # or kitten", "dog"),
        ("no", "yes"),
    ],
)
def test_what_belongs_to_a_name_stays(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert read(written(tmp_path, "\n".join(lines))) == ClassNames(lines)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "", "is empty"),
        ("a.txt", "\n\r\n", "is empty"),
        ("a.txt", b"\xff\xfec\x00", "is not UTF-8 text"),
        ("a.txt", "1 cat\n2 dog\n", "numbers its 2 names from 1 to 2; the outputs are counted from 0 to 1"),
        ("a.json", "cat\ndog\n", "begins as JSON and is not valid JSON"),
        ("a.json", '["cat", 3]', "holds something else than names"),
        ("a.json", "[true, false]", "holds something else than names"),
        ("a.json", '[{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}]', "from 1 to 3"),
        ("a.json", '[{"file": "cat.jpg"}]', "holds something else than names"),
        ("a.yaml", "names: [cat, dog\n", r"is not valid YAML \(line 2\)"),
        ("a.yaml", "names: cat\n", "not names by index"),
        ("a.csv", "name,label\ncat,small\ndog,large\n", "has columns that are not an index and a name"),
        ("a.json", "3", "holds something else than names"),
        ("a.json", "[]", "holds no names"),
        ("a.json", "{}", "not names by index"),
        ("a.json", '["cat", ""]', "has no name for class 1"),
        ("a.json", '{"1": "cat", "2": "dog"}', "from 1 to 2"),
        ("a.json", '{"0": "cat", "2": "dog"}', "from 0 to 2"),
        ("a.json", '{"0": "cat", "0": "dog"}', "has the key '0' twice"),
        ("a.json", '{"0": 1, "1": 0}', "whole numbers on both sides"),
        ("a.json", '{"cat": 0, "dog": 0}', "from 0 to 0"),
        ("a.json", '{"cat": 0.5, "dog": 1}', "not names by index"),
        ("a.json", '{"0": ["a", "b", "c"], "1": ["a", "b", "c"]}', "not names by index"),
        ("a.csv", "a,b,c\nd,e,f\n", "has columns that are not an index and a name"),
        ("a.csv", "cat,small\ndog,large\n", "has columns that are not an index and a name"),
    ],
)
def test_what_cannot_be_read_in_one_way_is_refused(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(written(tmp_path, content, name))
    assert str(tmp_path / name) in caught.value.message


def test_names_that_yaml_reads_as_truth_values_stay_names(tmp_path: Path) -> None:
    assert read(written(tmp_path, "names: [no, yes, 3]\n", "data.yaml")).labels == ("no", "yes", "3")


def test_yaml_without_its_parser_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(BackendMissing, match=r"which PyYAML reads: pip install pyyaml, or give one name a line"):
        read(written(tmp_path, "names: [cat]\n", "data.yaml"))


def test_a_background_class_needs_no_wordnet_id(tmp_path: Path) -> None:
    found = read(written(tmp_path, "background\nn01440764 tench\nn01443537 goldfish\n"))
    assert found == ClassNames(("background", "tench", "goldfish"), ("background", "n01440764", "n01443537"))
    other = read(written(tmp_path, "kite\nn01440764 tench\nn01443537 goldfish\n"))
    assert other == ClassNames(("kite", "n01440764 tench", "n01443537 goldfish"))


def test_names_are_as_many_as_the_outputs() -> None:
    check_count(THREE, 3, "y")
    check_count(("cat", "dog"), 1, "y")
    for labels, outputs, words in (
        (
            THREE,
            1000,
            r"there are 3 class names in f \(first 'cat', last 'bird'\); the model's output 'y' has 1000: give one name for each",
        ),
        (("dog",), 1, "there is 1 class name .* one number a sample, which tells two classes apart: name both"),
        (THREE, 1, "tells two classes apart"),
    ):
        with pytest.raises(DataError, match=words):
            check_count(labels, outputs, "y", "f")


def test_spellings_and_repetitions() -> None:
    assert spelling_key("Golden_Retriever") == spelling_key("golden retriever") == spelling_key(" golden-  retriever")
    assert spelling_key("goldenretriever") != spelling_key("golden retriever")
    assert repeated(("crane", "maillot", "crane", "tench")) == ("crane",)


def test_labels_from_a_file_or_a_list(tmp_path: Path) -> None:
    contract = Contract()
    path = tmp_path / "labels.txt"
    path.write_bytes("﻿tench\r\n goldfish \r\nFüchschen\n\n".encode())
    assert with_labels(contract, path).answer.labels == ("tench", "goldfish", "Füchschen")
    assert with_labels(contract, str(path)).answer.labels == ("tench", "goldfish", "Füchschen")
    assert with_labels(contract, ["a", "b"]) == replace(contract, answer=Answer(labels=("a", "b")))


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (b"\n\n", "empty"), (b"\xff\xff", "UTF-8")])
def test_labels_files_with_faults(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        with_labels(Contract(), path)
    with pytest.raises(DataError, match="No such file"):
        with_labels(Contract(), tmp_path / "none.txt")
