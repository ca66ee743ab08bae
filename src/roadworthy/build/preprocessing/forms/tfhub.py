"""Modules of TF Hub: by their convention for images, RGB in 0..1 at the size that the signature states.

The convention is tensorflow.org/hub/common_signatures/images. A module states its size; that it keeps to the convention is in no file.
"""

from __future__ import annotations

from typing import Literal

from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.stated import ultralytics
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Normalize, Step

NAME = "tfhub"
KIND = "saved_model"
MODULE = "tfhub_module.pb"
"""The file that a module of TF Hub's first format has beside its graph."""
SIGNATURES = ("image_classification", "image_feature_vector")
INPUT = "images"


def of_name(text: str, layout: Layout) -> Found | None:
    """``tfhub``."""
    return _found("the user names it", layout, warning=False) if text == NAME else None


def beside(source: Source, layout: Layout) -> Found | None:
    """A SavedModel with what only modules of TF Hub have, or with the one input that the convention names."""
    if source.kind != KIND or any(len(spec.shape) != 4 for spec in source.takes) or len(source.takes) > 1:
        return None
    if ultralytics.is_export(source.path, source.kind):
        # Its input has the same name.
        return None
    if (source.path / MODULE).is_file():
        return _found(f"{MODULE} is beside it", layout, warning=False)
    if source.signature in SIGNATURES:
        return _found(f"its signature is {source.signature!r}", layout, warning=False)
    if source.takes and source.takes[0].name == INPUT:
        return _found(f"its input is called {INPUT!r}", layout, warning=True)
    return None


def _found(why: str, layout: Layout, *, warning: bool) -> Found:
    axis: Literal[0, 2] = 0 if layout == "CHW" else 2
    first: tuple[Step, ...] = (ChannelsFirst(),) if layout == "CHW" else ()
    note = Note(
        f"images are given in 0..1, as TF Hub's convention has it ({why}): no file of the model says so; another way is stated by "
        "--preprocess FILE.toml",
        warning,
    )
    contract = Contract((Decode(), *first, Normalize(1 / 255, axis=axis, arithmetic="torch")))
    return Found(contract, "TF Hub's convention for images", (note,), fits_input=True)
