"""What a trace cannot see is seen in one eager run: values that stem from the input, read into Python."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from roadworthy.build.capture.torch.data_dependence import observe

pytestmark = pytest.mark.slow


class Reads(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, image: Tensor) -> Tensor:
        if self.how == "branch":
            return image if (image * 2).relu().sum() > 0 else -image
        if self.how == "item":
            return image * image.max().item()
        if self.how == "list":
            return image * sum(image.flatten().tolist())
        if self.how == "array":
            return image * float(image.numpy().max())
        if self.how == "in place":
            total = torch.zeros(())
            total += image.sum()
            return image * float(total)
        if self.how == "own weight":
            return image * self.scale.item()
        assert image.shape[0] > 0
        return image.view(int(image.shape[0]), -1)


def test_every_way_to_read_a_value_is_seen_with_its_line() -> None:
    for how in ("branch", "item", "list", "array", "in place"):
        places = observe(Reads(how), (torch.rand(3, 4),)).reads
        assert len(places) == 1, how
        assert places[0].startswith("test_data_dependence.py:"), how


def test_the_models_own_numbers_and_sizes_are_no_reason_to_doubt() -> None:
    for how in ("own weight", "size"):
        assert observe(Reads(how), (torch.rand(3, 4),)).reads == ()
