"""A text to token ids: the tokenizer's file does what it says, and these values cut, pad and name what it gives."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from roadworthy.core.errors import BackendMissing, DataError, RoadworthyError
from roadworthy.core.text import first_line
from roadworthy.core.types import Array, SizeRange, TensorSpec
from roadworthy.preprocess.too_large import ItemTooLarge, refuse_more

Part: TypeAlias = Literal["ids", "mask", "types"]
"""What a tokenizer gives for a text: the ids of its tokens; 1 for each token and 0 for padding; which of two texts each token is of."""
Side: TypeAlias = Literal["right", "left"]

NAMES: dict[Part, tuple[str, ...]] = {
    "ids": ("input_ids", "ids", "token_ids", "tokens", "input_word_ids"),
    "mask": ("attention_mask", "mask", "input_mask"),
    "types": ("token_type_ids", "segment_ids", "type_ids", "input_type_ids"),
}
"""The names that models give to their inputs for each part; the first is the one that Hugging Face uses."""
FILE = "tokenizer.json"
LIMIT = 100_000
"""Characters of one text."""
MISSING = "a tokenizer's file needs the tokenizers package to be read: pip install 'roadworthy[text]'"


class TextSteps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a text becomes the inputs of a model.

    ``file`` is the tokenizer's file, below the bundle's root in a bundle, and ``sha256`` the hash of its content. A text is cut to
    ``length`` tokens, special ones included, at the end that ``cut`` names. ``padding`` fills it up to ``length`` tokens ("fixed"), or to
    the longest text of the call ("longest"), rounded up to ``multiple``; on the side ``side``, with ``pad_id`` and ``pad_type_id``, and
    a mask of 0. ``special`` adds the tokenizer's own special tokens. ``inputs`` names for each input of the model the part that it gets;
    where it is empty, the names of ``NAMES`` decide. A text of more than ``limit`` characters is refused.
    """

    file: str
    sha256: str
    length: int
    padding: Literal["fixed", "longest"] = "fixed"
    multiple: int = 1
    side: Side = "right"
    cut: Side = "right"
    pad_id: int = 0
    pad_type_id: int = 0
    special: bool = True
    inputs: dict[str, Part] = {}
    limit: int = LIMIT

    def check(self) -> None:
        """Raises DataError where the values make no sense."""
        for name, value in (("length", self.length), ("multiple", self.multiple), ("limit", self.limit)):
            if value < 1:
                raise DataError(f"{name} is {value}; it must be at least 1")
        if self.padding == "fixed" and self.multiple > 1:
            raise DataError('multiple rounds the longest text up: it needs padding = "longest"')
        if self.length % self.multiple:
            raise DataError(f"length is {self.length}, which is not a multiple of {self.multiple}, to which a row of tokens is rounded up")
        if self.inputs and "ids" not in self.inputs.values():
            raise DataError("inputs gives the ids to no input of the model")

    def describe(self) -> tuple[str, ...]:
        """Every step in a few words."""
        to = f"to {self.length} tokens" if self.padding == "fixed" else "to the longest of a call"
        rounded = f", rounded up to a multiple of {self.multiple}" if self.multiple > 1 else ""
        return (
            f"tokenized by {Path(self.file).name} (SHA-256 {self.sha256[:12]}), {'with' if self.special else 'without'} special tokens",
            f"cut to {self.length} tokens at the {'end' if self.cut == 'right' else 'beginning'}",
            f"padded {to}{rounded}, on the {self.side}, with the id {self.pad_id}",
        )

    def bound(self, names: Sequence[str]) -> dict[str, Part]:
        """The part that each of the model's inputs ``names`` gets; raises DataError where that cannot be known."""
        if not self.inputs:
            return parts_of(names)
        if set(self.inputs) != set(names):
            stated, has = ", ".join(self.inputs), ", ".join(names)
            raise DataError(f"the preprocessing feeds {stated}, and the model takes {has}: name the model's own inputs in [text.inputs]")
        return {name: self.inputs[name] for name in names}

    def check_input(self, inputs: tuple[TensorSpec, ...]) -> None:
        """Raises DataError where the model does not take what the steps give."""
        self.bound([spec.name for spec in inputs])
        for spec in inputs:
            sizes = spec.sample_shape
            if len(sizes) != 1 or np.dtype(spec.dtype).kind not in "iufb":
                raise DataError(f"a text becomes a row of numbers for each input, and the model takes {spec}")
            if isinstance(sizes[0], int) and (self.padding != "fixed" or sizes[0] != self.length):
                raise DataError(self._other_size(spec, sizes[0], inputs))

    def _other_size(self, spec: TensorSpec, size: int, inputs: tuple[TensorSpec, ...]) -> str:
        fixed = f'state [text] length = {size} and padding = "fixed" with --preprocess FILE.toml'
        if self.padding == "fixed":
            return f"the preprocessing gives {self.length} tokens, and the model takes {spec}: {fixed}"
        opened = " ".join(f"--input '{one.name}:{one.dtype}[batch,tokens]'" for one in inputs)
        return (
            f"the preprocessing gives as many tokens as the longest text of a call has, and the model was read as {spec}: leave their "
            f"number open, {opened}; or {fixed}"
        )


def parts_of(names: Iterable[str]) -> dict[str, Part]:
    """The part that each input gets by its name: one alone gets the ids. Raises DataError for a name that is not known."""
    names = tuple(names)
    if len(names) == 1:
        return {names[0]: "ids"}
    found = {name: part for name in names for part, known in NAMES.items() if name.lower() in known}
    odd = next((name for name in names if name not in found), None)
    if odd is not None or len(set(found.values())) < len(found):
        shown = odd or names[-1]
        raise DataError(
            f"which part of a tokenized text the input {shown!r} takes cannot be told by its name; state it for each of "
            f'{", ".join(names)} in a TOML file: [text.inputs] with {shown} = "ids", "mask" or "types"'
        )
    return found


class TextReader:
    """Carries out ``steps`` for a model of ``inputs``; where they are not known yet, it gives every part by the first of its ``NAMES``.
    ``sizes`` are the numbers of tokens that the model takes, where the longest text of a call decides.

    The tokenizer's file is read below ``root``. Raises DataError for one that is not the file that ``steps`` was made of, or that the
    tokenizers package cannot read, and BackendMissing without that package.
    """

    def __init__(
        self, steps: TextSteps, inputs: tuple[TensorSpec, ...] = (), root: Path = Path(), sizes: tuple[SizeRange, ...] = ()
    ) -> None:
        self._steps, self._sizes = steps, sizes
        if inputs:
            self._parts = steps.bound([spec.name for spec in inputs])
        else:
            self._parts = dict(steps.inputs) or {known[0]: part for part, known in NAMES.items()}
        self._fewest = 1
        self._dtypes = {spec.name: spec.dtype for spec in inputs}
        self._tokenizer = opened(root / steps.file, steps.sha256)
        _guarded(self._set_up, str(root / steps.file))
        self._refuse_narrow(inputs)

    def fitting(self, items: Sequence[Any] | Array) -> TextReader:
        """A reader that pads every text to the longest of ``items``, where the longest decides."""
        fitting = copy.copy(self)
        if self._steps.padding == "longest":
            fitting._fewest = max((len(self._encoded(text_of(item, "a text"), "a text")[0]) for item in items), default=1)
        return fitting

    def one(self, item: Any, *, name: str = "the text") -> dict[str, Array]:
        """The inputs for one text, each [tokens]; see ``many``."""
        return {key: array[0] for key, array in self.many([item], names=[name]).items()}

    def many(self, items: Sequence[Any], *, most: int | None = None, names: Sequence[str] | None = None) -> dict[str, Array]:
        """The inputs for texts (``str``, UTF-8 bytes, or the path of a file), each [texts, tokens].

        Raises DataError, with the path or the name, for what is not a text, and ItemTooLarge for one of more characters than the limit.
        """
        refuse_more(24 * self._steps.length * len(items), most, f"{len(items)} texts")
        names = names or [f"text {index}" for index in range(len(items))]
        tokens = [self._encoded(text_of(item, name), name) for item, name in zip(items, names, strict=True)]
        width = self._width(max([len(ids) for ids, _ in tokens], default=0))
        fill: Mapping[Part, int] = {"ids": self._steps.pad_id, "mask": 0, "types": self._steps.pad_type_id}
        whole = {part: np.full((len(tokens), width), value, np.int64) for part, value in fill.items()}
        for row, (ids, types) in enumerate(tokens):
            place = slice(0, len(ids)) if self._steps.side == "right" else slice(width - len(ids), width)
            whole["ids"][row, place], whole["mask"][row, place], whole["types"][row, place] = ids, 1, types
        return {key: whole[part].astype(self._dtypes.get(key, "int64"), copy=False) for key, part in self._parts.items()}

    def _width(self, longest: int) -> int:
        if self._steps.padding == "fixed":
            return self._steps.length
        multiple = self._steps.multiple
        return next_size(self._sizes, -(-max(longest, self._fewest) // multiple) * multiple)

    def _set_up(self) -> None:
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._steps.length, direction=self._steps.cut)
        own = len(self._tokenizer.encode("a", add_special_tokens=self._steps.special).ids)
        if own > self._steps.length:
            raise DataError(f"length is {self._steps.length}, and the special tokens of a text alone are more")

    def _refuse_narrow(self, inputs: tuple[TensorSpec, ...]) -> None:
        """Raise DataError where an input's dtype does not hold every id of the vocabulary."""
        last = np.int64(max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0))
        for spec in inputs:
            if self._parts[spec.name] == "ids" and last.astype(spec.dtype).astype(np.int64) != last:
                raise DataError(f"the tokenizer's ids go up to {last}, which the model's input {spec} does not hold")

    def _encoded(self, text: str, name: str) -> tuple[list[int], list[int]]:
        if len(text) > self._steps.limit:
            raise ItemTooLarge(f"{name} has {len(text):,} characters, more than the limit of {self._steps.limit:,}")
        # A batch of one and not ``encode``, which keeps Python's lock: other threads go on.
        (found,) = _guarded(lambda: self._tokenizer.encode_batch([text], add_special_tokens=self._steps.special), name)
        return found.ids, found.type_ids


def next_size(ranges: tuple[SizeRange, ...], size: int) -> int:
    """The smallest number of tokens from ``size`` on that all ``ranges`` allow; ``size`` itself where there is none."""
    found = size
    for one in ranges:
        found = max(found, one.least)
        found = -(-found // one.multiple) * one.multiple
    return found if allowed(ranges, found) else size


def allowed(ranges: tuple[SizeRange, ...], size: int) -> bool:
    """Whether all ``ranges`` allow ``size`` tokens."""
    return all(one.allows(size) for one in ranges)


def text_of(item: Any, name: str) -> str:
    """``item`` as text: a ``str`` as it is, bytes and the content of a file from UTF-8, without a byte order mark."""
    if isinstance(item, str):
        try:
            item.encode()
        except UnicodeEncodeError:
            raise DataError(f"{name} is not Unicode text") from None
        return item
    if isinstance(item, Path):
        name = str(item)
        try:
            item = item.read_bytes()
        except OSError as problem:
            raise DataError(f"{name} cannot be read: {problem.strerror or problem}") from None
    if not isinstance(item, bytes | bytearray | memoryview):
        raise DataError(f"{name} is {type(item).__name__}, not a text")
    try:
        return bytes(item).decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise DataError(f"{name} is not UTF-8 text: {problem.reason} at byte {problem.start}") from None


def opened(path: Path, sha256: str | None = None) -> Any:
    """The ``tokenizers.Tokenizer`` in the file ``path``; see ``TextReader`` for the errors."""
    # Its own threads would take the cores of the model's, and do not survive a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import tokenizers
    except ImportError:
        raise BackendMissing(MISSING) from None
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror or problem}") from None
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(f"{path} is not the tokenizer's file that the preprocessing was made of (its SHA-256 differs)")
    return _guarded(lambda: tokenizers.Tokenizer.from_buffer(content), f"{path} as a file of tokenizers {tokenizers.__version__}")


def _guarded(call: Any, what: str) -> Any:
    """What ``call`` returns; DataError where the library raises. Its panics are not an ``Exception``, and would end a server's loop."""
    try:
        return call()
    except RoadworthyError:
        raise
    except BaseException as problem:
        if not isinstance(problem, Exception) and type(problem).__name__ != "PanicException":
            raise
        raise DataError(f"{what} cannot be tokenized or read: {first_line(problem)}") from None
