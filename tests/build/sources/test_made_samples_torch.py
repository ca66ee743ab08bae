"""What real PyTorch modules are fed where no data was given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from roadworthy.build.sources import Loaded, LoadRequest, Making, load, made_notes, parse_inputs, save_live
from roadworthy.core import samples
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array

pytestmark = pytest.mark.slow

Load = Callable[..., dict[str, Array]]


@pytest.fixture
def fed(tmp_path: Path) -> Load:
    """The samples that were made up for a live module."""

    def run(module: Any, *said: str, given: SampleSet | None = None) -> dict[str, Array]:
        (tmp_path / "out").mkdir()
        specs, ranges = parse_inputs(said)
        making = Making(64, ranges, tmp_path / "made")
        loaded: Loaded = load(LoadRequest(save_live(module.eval(), tmp_path), specs, given, tmp_path / "out", making=making))
        assert bool(loaded.fills) == (given is None) and loaded.samples is not None
        assert all("--data" in note.text for note in made_notes(specs, loaded.fills) if note.warning)
        return loaded.samples.open()

    return run


class Masked(nn.Module):
    """A classifier of tokens, where a sample whose mask hides everything has no answer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.query, self.head = nn.Embedding(50, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        tokens = self.embedding(input_ids)
        scores = self.query(tokens) @ tokens.transpose(1, 2) / 4.0
        scores = scores.masked_fill(attention_mask[:, None, :] == 0, float("-inf"))
        answer: Tensor = self.head((scores.softmax(-1) @ tokens)[:, 0])
        return answer


class Packed(nn.Module):
    """A recurrent network over padded sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(30, 8), nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 4)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        answer: Tensor = self.head(self.lstm(packed)[1][0][-1])
        return answer


class Scaled(nn.Module):
    """An image classifier that scales its pixels itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(torch.relu(self.conv(x / 255)).mean((2, 3)))
        return answer


class Clipped(nn.Module):
    """Tokens that reach their table as other types and shapes, and clipped: no identifier is refused."""

    def __init__(self, table: nn.Module) -> None:
        super().__init__()
        self.table, self.head = table, nn.Linear(4, 2)

    def forward(self, ids: Tensor) -> Tensor:
        rows = self.table(ids.clamp(0, 49).to(torch.int64).reshape(-1)).reshape(ids.shape[0], -1, 4)
        answer: Tensor = self.head(rows.sum(1))
        return answer


class Indexed(nn.Module):
    """A table that is indexed as a tensor is."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(50, 4))

    def forward(self, ids: Tensor) -> Tensor:
        return self.rows[ids]


@pytest.mark.parametrize("table", [nn.Embedding(50, 4), Indexed()])
def test_a_table_bounds_the_identifiers_that_reach_it(table: nn.Module, fed: Load) -> None:
    found = fed(Clipped(table), "ids:int32[batch,6]")
    assert (found["ids"].min(), found["ids"].max()) == (0, 49)


def test_tokens_and_their_mask(fed: Load) -> None:
    found = fed(Masked(), "input_ids:int64[batch,8]", "attention_mask:int64[batch,8]")
    assert (found["input_ids"].min(), found["input_ids"].max()) == (0, 49)
    assert set(np.unique(found["attention_mask"]).tolist()) == {0, 1} and found["attention_mask"].any(1).all()


def test_sequences_and_their_lengths(fed: Load) -> None:
    found = fed(Packed(), "ids:int64[batch,12]", "lengths:int64[batch]")
    assert (found["ids"].max(), found["lengths"].min(), found["lengths"].max()) == (29, 1, 12)


def test_real_lengths_are_not_mixed_with_made_up_ones(fed: Load, tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 30, (3, 12))
    fed(Packed(), given=samples.write(tmp_path / "given", {"ids": ids, "lengths": np.array([1, 5, 12])}))


def test_pixels_of_a_network_that_scales_them_itself(fed: Load) -> None:
    torch.manual_seed(0)
    assert fed(Scaled(), "x:float32[batch,3,16,16]")["x"].max() > 250
