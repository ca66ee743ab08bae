"""One way for all kinds of items: an image, a text or a sound becomes the model's inputs as the contract says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array, SizeRange, TensorSpec
from roadworthy.preprocess.contract import Contract, ItemKind

SUFFIXES: dict[ItemKind, tuple[str, ...]] = {"text": (".txt",), "audio": (".wav",)}
"""The names that files of a kind end in; images have many."""
WORDS: dict[ItemKind, tuple[str, str]] = {"image": ("an image", "images"), "text": ("a text", "texts"), "audio": ("a sound", "sounds")}
"""One item of a kind, and several, in words."""


class ItemReader(Protocol):
    """Carries out the steps of a contract; safe to share between threads.

    ``one`` gives the inputs for one item by their names, without an axis of samples, and ``many`` those for several, samples first. Both
    raise DataError, with the item's path or name, for an item that cannot be used, ItemTooLarge or TooManyPixels for one that is too large,
    and ItemTooLarge for texts and sounds that become more than ``most`` bytes. ``fitting`` is the same reader, where that is possible such
    that each of ``items`` becomes a sample of one shape.
    """

    def fitting(self, items: Sequence[Any] | Array) -> ItemReader: ...

    def one(self, item: Any, *, name: str) -> dict[str, Array]: ...

    def many(self, items: Sequence[Any], *, most: int | None = None) -> dict[str, Array]: ...


class ImageReader:
    """Images by ``preprocess.image``, for the input ``name``."""

    def __init__(self, contract: Contract, name: str) -> None:
        # Imported late: Pillow is loaded only where an image comes.
        from roadworthy.preprocess.image import Preprocessor

        self._name, self._preprocessor = name, Preprocessor(contract.image)

    def fitting(self, items: Sequence[Any] | Array) -> ItemReader:
        """The same: the steps alone decide the shape."""
        return self

    def one(self, item: Any, *, name: str = "the image") -> dict[str, Array]:
        """The only input for one image."""
        return {self._name: self._preprocessor.one(item, name=name)}

    def many(self, items: Sequence[Any], *, most: int | None = None) -> dict[str, Array]:
        """The only input for several images of one size."""
        return {self._name: self._preprocessor.many(items)}


def reader(
    contract: Contract, inputs: tuple[TensorSpec, ...] = (), *, name: str = "", root: Path = Path(), sizes: tuple[SizeRange, ...] = ()
) -> ItemReader:
    """The reader of the contract's kind for a model of ``inputs``; where they are not known yet, the only one is called ``name``.

    Files of the contract lie below ``root``; ``sizes`` are those of the model's open axes. Raises DataError where the contract says nothing
    of items, or its file cannot be used, and BackendMissing where a package for it is not installed.
    """
    only = inputs[0].name if inputs else name
    if contract.text is not None:
        from roadworthy.preprocess.texts import TextReader

        return TextReader(contract.text, inputs, root, sizes)
    if contract.audio is not None:
        from roadworthy.preprocess.sound.sounds import AudioReader

        return AudioReader(contract.audio, inputs, only)
    if contract.image:
        return ImageReader(contract, only)
    raise DataError("the contract does not say how an image, a text or a sound becomes the model's input")
