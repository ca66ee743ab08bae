"""What a reader of preprocessing returns."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.core.evidence import Note
from roadworthy.preprocess.contract import Contract


@dataclass(frozen=True)
class Found:
    """The ``contract`` that was read, and its ``origin`` in a few words: "torchvision ImageClassification(crop_size=224, ...)".

    ``notes`` say what was left out, and on what the reading rests where the file or object does not state it. ``fits_input`` says that it
    states no size: images are resized to that of the model's input.
    """

    contract: Contract
    origin: str
    notes: tuple[Note, ...] = ()
    fits_input: bool = False
