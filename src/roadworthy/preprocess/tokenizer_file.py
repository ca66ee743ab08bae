"""A tokenizer's file, and the configuration that Hugging Face puts beside it, as the steps of a text.

``tokenizer.json`` holds the tokenizer itself. ``tokenizer_config.json`` may say how long a text may be and how it is padded; where it says
that transformers changes the tokenizer when it loads it, and the file does not say the same, the two are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from roadworthy.core.errors import DataError
from roadworthy.preprocess import texts
from roadworthy.preprocess.texts import LIMIT, Part, Side, TextSteps

CONFIG = "tokenizer_config.json"
LARGEST = 256 * 2**20
"""Bytes of a tokenizer's file; those of the largest vocabularies have some tens of millions."""
ENDLESS = 1_000_000
"""From here on a model_max_length is transformers' word for "no limit"."""
PAD_TOKENS = ("[PAD]", "<pad>", "<|pad|>")


@dataclass(frozen=True)
class TextTable:
    """The table ``[text]``; see ``texts.TextSteps``. What is left out is as the tokenizer's file says, or the file beside it."""

    tokenizer: str
    length: int | None = None
    padding: Literal["fixed", "longest"] | None = None
    multiple: int | None = None
    side: Side | None = None
    cut: Side | None = None
    pad_token: str | None = None
    special: bool = True
    inputs: dict[str, Part] = field(default_factory=dict)
    limit: int = LIMIT


@dataclass(frozen=True)
class ReadTokenizer:
    """The steps, and ``notes`` on what the files leave open, one sentence each."""

    steps: TextSteps
    notes: tuple[str, ...]


def read(table: TextTable, folder: Path) -> ReadTokenizer:
    """The steps of a text by ``table``, whose file lies in ``folder``.

    Raises DataError, naming the file and the field, for a file that is not a tokenizer's, and where transformers would read the two files
    in another way; BackendMissing without the tokenizers package.
    """
    path = folder / table.tokenizer
    whole, config = _json(path), _json(path.with_name(CONFIG)) if path.with_name(CONFIG).is_file() else {}
    tokenizer = texts.opened(path)
    _refuse_changes(path, whole, config, tokenizer)
    padding, truncation = whole.get("padding") or {}, whole.get("truncation") or {}
    length, from_where = _length(table, truncation, padding, config, path)
    how = table.padding or ("longest" if padding.get("strategy") == "BatchLongest" else "fixed")
    pad_id = _pad_id(table, padding, config, tokenizer, path)
    multiple = table.multiple or (padding.get("pad_to_multiple_of") if how == "longest" else None) or 1
    steps = TextSteps(
        file=str(path.resolve()),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        length=length,
        padding=how,
        multiple=multiple,
        side=table.side or _side(config.get("padding_side") or padding.get("direction")),
        cut=table.cut or _side(config.get("truncation_side") or truncation.get("direction")),
        pad_id=pad_id,
        pad_type_id=padding.get("pad_type_id", 0),
        special=table.special,
        inputs=table.inputs,
        limit=table.limit,
    )
    try:
        # Values of a file are of any type; the codec of a bundle checks them.
        checked = msgspec.convert(msgspec.to_builtins(steps), TextSteps)
    except msgspec.ValidationError as problem:
        raise DataError(f"{path}, or {CONFIG} beside it: {problem}") from None
    return ReadTokenizer(checked, tuple(_notes(table, how, length, from_where)))


def _notes(table: TextTable, how: str, length: int, from_where: str) -> Iterator[str]:
    if from_where:
        yield f"a text is cut to {length} tokens, which {from_where} says"
    if table.padding is None and how == "fixed":
        yield (
            f'every text is padded to {length} tokens; where the model takes any number, padding = "longest" in [text] makes short texts '
            "faster"
        )


def _side(written: Any) -> Side:
    return "left" if str(written).lower() == "left" else "right"


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes, more than any tokenizer's file")
        found = msgspec.json.decode(path.read_bytes())
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror or problem}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise DataError(f"{path} is not JSON: {problem}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} is not a JSON object")
    return found


def _length(
    table: TextTable, truncation: Mapping[str, Any], padding: Mapping[str, Any], config: Mapping[str, Any], path: Path
) -> tuple[int, str]:
    """The most tokens, and the place that says so where it is not the table."""
    if table.length is not None:
        return table.length, ""
    strategy = padding.get("strategy")
    stated: dict[str, Any] = {
        f"the truncation of {path.name}": truncation.get("max_length"),
        f"the padding of {path.name}": strategy.get("Fixed") if isinstance(strategy, dict) else None,
        f"model_max_length of {CONFIG}": config.get("model_max_length"),
    }
    for where, value in stated.items():
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < ENDLESS:
            return value, where
    raise DataError(
        f"{path} does not say how many tokens a text has at most: state it in a TOML file, --preprocess FILE.toml with "
        f'[text] tokenizer = "{path.name}" and length = 128, for example'
    )


def _pad_id(table: TextTable, padding: Mapping[str, Any], config: Mapping[str, Any], tokenizer: Any, path: Path) -> int:
    """The id of the padding: by its token as stated, in the configuration or in the file, else of the usual token that it knows."""
    stated = table.pad_token or _content(config.get("pad_token"))
    if stated is not None:
        found = tokenizer.token_to_id(stated)
        if found is None:
            raise DataError(f"{path} has no token {stated!r}, which is to be the padding")
        return int(found)
    if "pad_id" in padding:
        return int(padding["pad_id"])
    known = [number for token in PAD_TOKENS if (number := tokenizer.token_to_id(token)) is not None]
    if len(known) != 1:
        raise DataError(f'{path} does not say which token is the padding: state it in a TOML file, [text] pad_token = "<pad>", for example')
    return int(known[0])


def _refuse_changes(path: Path, whole: Mapping[str, Any], config: Mapping[str, Any], tokenizer: Any) -> None:
    """Raise DataError where the configuration makes another tokenizer of the file."""
    for key, stated, found in _differences(whole, config, tokenizer):
        raise DataError(
            f"{CONFIG} beside {path} says {key} = {_plain(stated)}, and the file itself {_plain(found)}: save the tokenizer as it is used "
            f'(tokenizer.save_pretrained("folder") in transformers) and name that file'
        )


def _differences(whole: Mapping[str, Any], config: Mapping[str, Any], tokenizer: Any) -> Iterator[tuple[str, Any, Any]]:
    normalizer = whole.get("normalizer") or {}
    if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
        names = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}
        for key, own in names.items():
            if key in config and own in normalizer and config[key] != normalizer[own]:
                yield key, config[key], normalizer[own]
    elif config.get("do_lower_case") is True and "owercase" not in msgspec.json.encode(normalizer).decode():
        yield "do_lower_case", True, False
    spaces = set(_values(whole.get("pre_tokenizer"), "add_prefix_space"))
    if isinstance(config.get("add_prefix_space"), bool) and spaces and spaces != {config["add_prefix_space"]}:
        yield "add_prefix_space", config["add_prefix_space"], not config["add_prefix_space"]
    ids = tokenizer.encode("a").ids
    for key, token, place in (("add_bos_token", "bos_token", 0), ("add_eos_token", "eos_token", -1)):
        number = tokenizer.token_to_id(_content(config.get(token)) or "")
        if isinstance(config.get(key), bool) and number is not None and (bool(ids) and ids[place] == number) != config[key]:
            yield key, config[key], not config[key]
    added = config.get("added_tokens_decoder")
    for number, token in added.items() if isinstance(added, dict) else ():
        content = _content(token) or ""
        if str(tokenizer.token_to_id(content)) != number:
            yield f"the id of {content!r}", number, tokenizer.token_to_id(content)


def _values(value: Any, key: str) -> Iterator[Any]:
    """Every value of ``key`` in ``value``, at any depth."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for inside in value.values():
            yield from _values(inside, key)
    elif isinstance(value, list):
        for inside in value:
            yield from _values(inside, key)


def _content(token: Any) -> str | None:
    """The text of a token, which a configuration writes as it is or as an object."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def _plain(value: Any) -> str:
    return msgspec.json.encode(value).decode()
