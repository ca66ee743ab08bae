"""Samples gathered for a model of which little is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roadworthy.build.data import dataset
from roadworthy.build.data.dataset import Dataset
from roadworthy.build.data.raw_data import ExpectedInputs
from roadworthy.preprocess.contract import Contract


def gather(data: Any, names: tuple[str, ...], contract: Contract, out: Path, **known: Any) -> Dataset:
    """The samples of ``data``; ``known`` are fields of ``ExpectedInputs``."""
    return dataset.gather(data, ExpectedInputs(names, contract, **known), out)
