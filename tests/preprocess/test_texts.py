"""Texts: the same ids, masks and types as transformers gives with the same file; how they are padded and named; what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.core.errors import BackendMissing, DataError
from roadworthy.core.types import SizeRange, TensorSpec
from roadworthy.preprocess import spec, texts
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.texts import TextReader, TextSteps, parts_of
from roadworthy.preprocess.too_large import ItemTooLarge
from support.models import tokenizers
from support.models.tokenizers import TEXTS

HUGGING_FACE = ("input_ids", "attention_mask", "token_type_ids")


def specs(*names: str, size: int | str = "tokens", dtype: str = "int64") -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, dtype, ("batch", size)) for name in names)


def read(steps: TextSteps, *items: Any, inputs: tuple[TensorSpec, ...] = ()) -> dict[str, np.ndarray]:
    return TextReader(steps, inputs).many(items)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("padding", ["fixed", "longest"])
def test_equal_to_transformers(tmp_path: Path, side: str, padding: str) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers to compare with")
    path = tokenizers.word_piece(tmp_path, padding_side=side, truncation_side=side)
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(path), pad_token="[PAD]", padding_side=side, truncation_side=side, model_max_length=12
    )
    how = "max_length" if padding == "fixed" else "longest"
    for length, multiple in ((12, None), (7, None), (10, 5)):
        if multiple and padding == "fixed":
            continue
        want = theirs(
            list(TEXTS), padding=how, truncation=True, max_length=length, pad_to_multiple_of=multiple, return_tensors="np",
            return_token_type_ids=True,
        )  # fmt: skip
        found = read(tokenizers.steps(path, length=length, padding=padding, multiple=multiple), *TEXTS)
        assert tuple(found) == HUGGING_FACE
        for name in HUGGING_FACE:
            assert found[name].dtype == np.int64
            np.testing.assert_array_equal(found[name], want[name], err_msg=f"{name} {length} {multiple}")


def test_equal_to_transformers_for_bytes(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers to compare with")
    path = tokenizers.byte_level(tmp_path)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path), pad_token="<|endoftext|>")
    want = theirs(list(TEXTS), padding="max_length", truncation=True, max_length=20, return_tensors="np")
    found = read(tokenizers.steps(path, length=20, pad_token="<|endoftext|>"), *TEXTS)
    np.testing.assert_array_equal(found["input_ids"], want["input_ids"])
    np.testing.assert_array_equal(found["attention_mask"], want["attention_mask"])


def test_a_text_comes_as_text_as_bytes_or_as_a_file(tmp_path: Path) -> None:
    steps = tokenizers.steps(tokenizers.word_piece(tmp_path))
    (tmp_path / "review.txt").write_bytes(b"\xef\xbb\xbf" + TEXTS[6].encode())
    rows = read(steps, TEXTS[6], TEXTS[6].encode(), tmp_path / "review.txt", memoryview(TEXTS[6].encode()))["input_ids"]
    assert (rows == rows[0]).all() and len(set(rows[0])) > 3
    for item, says in ((b"\xff\xfe", "not UTF-8 text"), ("\ud800", "not Unicode"), (5, "int, not a text"), (tmp_path / "none.txt", "read")):
        with pytest.raises(DataError, match=says):
            read(steps, item)
    with pytest.raises(ItemTooLarge, match="text 1 has 21 characters, more than the limit of 20"):
        read(tokenizers.steps(tmp_path / "tokenizer.json", limit=20), "x" * 20, "x" * 21)
    with pytest.raises(ItemTooLarge, match="3 texts become"):
        TextReader(steps).many(["a"] * 3, most=100)


def test_the_parts_go_to_the_inputs_by_their_names(tmp_path: Path) -> None:
    steps = tokenizers.steps(tokenizers.word_piece(tmp_path))
    plain = read(steps, *TEXTS)
    found = read(steps, *TEXTS, inputs=(*specs("mask", dtype="float32"), *specs("tokens", dtype="int32")))
    assert list(found) == ["mask", "tokens"] and found["mask"].dtype == np.float32 and found["tokens"].dtype == np.int32
    np.testing.assert_array_equal(found["mask"], plain["attention_mask"])
    np.testing.assert_array_equal(found["tokens"], plain["input_ids"])
    np.testing.assert_array_equal(read(steps, *TEXTS, inputs=specs("whatever"))["whatever"], plain["input_ids"])
    with pytest.raises(DataError, match="the tokenizer's ids go up to"):
        read(steps, *TEXTS, inputs=specs("ids", dtype="bool"))
    with pytest.raises(DataError, match=r"the tokenizer's ids go up to 3\d\d, which"):
        wide = tokenizers.steps(tokenizers.byte_level(tmp_path / "bytes"), length=8, pad_token="<|endoftext|>")
        read(wide, *TEXTS, inputs=specs("ids", dtype="int8"))
    stated = tokenizers.steps(tmp_path / "tokenizer.json", inputs={"a": "types", "b": "ids"})
    found = read(stated, *TEXTS, inputs=specs("b", "a"))
    np.testing.assert_array_equal(found["a"], plain["token_type_ids"])
    for names in (("input_ids", "other"), ("a", "b"), ("ids", "input_ids")):
        with pytest.raises(DataError, match=r"\[text.inputs\]"):
            parts_of(names)
    with pytest.raises(DataError, match="feeds a, b, and the model takes a, c"):
        stated.bound(["a", "c"])


def test_the_model_must_take_what_the_steps_give(tmp_path: Path) -> None:
    path = tokenizers.word_piece(tmp_path)
    fixed, longest = Contract(text=tokenizers.steps(path)), Contract(text=tokenizers.steps(path, padding="longest"))
    for contract, size in ((fixed, 12), (fixed, "n"), (longest, "n")):
        contract.check_input(specs(*HUGGING_FACE, size=size))
    for contract, size in ((fixed, 16), (longest, 12)):
        with pytest.raises(DataError, match=rf'\[text\] length = {size} and padding = "fixed"'):
            contract.check_input(specs("input_ids", size=size))
    with pytest.raises(DataError, match=r"leave their number open, --input 'input_ids:int64\[batch,tokens\]' --input 'mask:"):
        longest.check_input((*specs("input_ids", size=12), *specs("mask", size=12, dtype="float32")))
    with pytest.raises(DataError, match="a row of numbers"):
        fixed.check_input((TensorSpec("x", "float32", ("batch", 3, 8, 8)),))


def test_the_longest_is_rounded_up_to_a_size_that_the_model_takes(tmp_path: Path) -> None:
    steps = tokenizers.steps(tokenizers.word_piece(tmp_path), padding="longest")
    reader = TextReader(steps, specs("ids"), sizes=(SizeRange("tokens", (8,), 8, None, 8),))
    assert reader.many(["good"])["ids"].shape == (1, 8) and reader.many([TEXTS[7]])["ids"].shape == (1, 16)
    assert reader.fitting(TEXTS).one("good")["ids"].shape == (16,)
    assert TextReader(steps).fitting(["a bad film", "good"]).one("good")["input_ids"].shape == (5,)


def test_another_file_or_a_damaged_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tokenizers.word_piece(tmp_path)
    steps = tokenizers.steps(path)
    path.write_bytes(path.read_bytes().replace(b'"lowercase": true', b'"lowercase": false'))
    with pytest.raises(DataError, match="SHA-256 differs"):
        TextReader(steps)
    for content in (b"", b"[]", b"{}", b'{"model": {"type": "Unknown"}}', b"\xff", b'{"version":"9.0"}'):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"tokenizer\.json"):
            tokenizers.steps(path)
        with pytest.raises(DataError, match="cannot be tokenized or read"):
            texts.opened(path)
    # None in place of a module is what an import of it fails at.
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(BackendMissing, match=r"pip install 'roadworthy\[text\]'"):
        texts.opened(path)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"do_lower_case": False}, "do_lower_case = false, and the file itself true"),
        ({"tokenize_chinese_chars": False}, "tokenize_chinese_chars"),
        ({"add_bos_token": False, "bos_token": "[CLS]"}, "add_bos_token = false"),
        ({"add_eos_token": True, "eos_token": "[MASK]"}, "add_eos_token = true"),
        ({"added_tokens_decoder": {"7": {"content": "[CLS]"}}}, r"the id of '\[CLS\]'"),
        ({"pad_token": "<nothing>"}, "no token '<nothing>'"),
    ],
)
def test_a_configuration_that_changes_the_tokenizer_is_refused(tmp_path: Path, config: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        tokenizers.steps(tokenizers.word_piece(tmp_path, **config))


def test_a_configuration_that_says_the_same_is_taken(tmp_path: Path) -> None:
    config = {
        "do_lower_case": True, "model_max_length": 9, "padding_side": "left", "truncation_side": "left", "pad_token": {"content": "[MASK]"},
        "add_bos_token": True, "bos_token": "[CLS]", "added_tokens_decoder": {"2": {"content": "[CLS]"}},
    }  # fmt: skip
    steps = tokenizers.steps(tokenizers.word_piece(tmp_path, length=None, **config))
    assert (steps.length, steps.side, steps.cut, steps.pad_id) == (9, "left", "left", 4)
    space = tmp_path / "space"
    with pytest.raises(DataError, match="add_prefix_space = true"):
        tokenizers.steps(tokenizers.byte_level(space, add_prefix_space=True), length=5, pad_token="<|endoftext|>")


def test_what_the_files_leave_open_must_be_stated(tmp_path: Path) -> None:
    path = tokenizers.byte_level(tmp_path, model_max_length=int(1e30))
    with pytest.raises(DataError, match=r'\[text\] tokenizer = "tokenizer.json" and length = 128'):
        tokenizers.steps(path)
    with pytest.raises(DataError, match="pad_token"):
        tokenizers.steps(path, length=8)
    whole = json.loads(path.read_text())
    whole["padding"] = {
        "strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": 8, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }  # fmt: skip
    path.write_text(json.dumps(whole))
    steps = tokenizers.steps(path, length=24)
    assert (steps.padding, steps.multiple, steps.side, steps.pad_id) == ("longest", 8, "left", 0)
    assert tokenizers.steps(path, length=24, padding="fixed").multiple == 1


def test_the_table_in_a_file(tmp_path: Path) -> None:
    tokenizers.word_piece(tmp_path)
    path = tmp_path / "texts.toml"
    path.write_text('[text]\ntokenizer = "tokenizer.json"\nlength = 6\nspecial = false\ncut = "left"\n[text.inputs]\nx = "ids"\n')
    contract = spec.read(path)
    assert contract.kind == "text" and contract.text and contract.text.inputs == {"x": "ids"} and contract.text.length == 6
    found = TextReader(contract.text).many(["a bad film", TEXTS[7]])
    assert list(found) == ["x"] and 2 not in found["x"] and "at the beginning" in "; ".join(contract.describe())
    for text, says in (
        ("length = 5", "tokenizer"), ('tokenizer = "none.json"', "none.json"), ('tokenizer = "tokenizer.json"\nlength = 0', "length is 0"),
        ('tokenizer = "tokenizer.json"\nmultiple = 4', "multiple"), ('tokenizer = "tokenizer.json"\npadding = "some"', "padding"),
        ('tokenizer = "tokenizer.json"\ninputs = {a = "mask"}', "gives the ids to no input"),
        ('tokenizer = "tokenizer.json"\nbad = 1', "bad"),
        ('tokenizer = "tokenizer.json"\nlength = 1', "special tokens of a text alone"),
    ):  # fmt: skip
        path.write_text(f"[text]\n{text}\n")
        with pytest.raises(DataError, match=says):
            TextReader(spec.read(path).text)  # type: ignore[arg-type]
