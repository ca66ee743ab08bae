"""Ports of a file against a signature."""

from __future__ import annotations

import pytest

from roadworthy.core.types import BATCH, TensorSpec, difference

WANTED = (TensorSpec("image", "float32", (BATCH, 3)), TensorSpec("mask", "bool", (2, 3)))


def test_order_and_symbols_are_free() -> None:
    found = [TensorSpec("mask", "bool", ("?", 3)), TensorSpec("image", "float32", ("?", "?"))]
    assert difference(found, WANTED, sizes=True) is None


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (TensorSpec("other", "float32", (BATCH, 3)), "it has other, mask where the signature has image, mask"),
        (TensorSpec("image", "float64", (BATCH, 3)), "image is float64 where the signature has float32"),
        (TensorSpec("image", "float32", (1, 3)), "it has image:float32[1,3] where"),
        (TensorSpec("image", "float32", (BATCH, 4)), "it has image:float32[batch,4] where"),
        (TensorSpec("image", "float32", (BATCH, 3, 1)), "it has image:float32[batch,3,1] where"),
    ],
)
def test_a_difference_is_named(port: TensorSpec, words: str) -> None:
    assert words in str(difference([port, WANTED[1]], WANTED, sizes=True))


def test_sizes_may_be_left_out() -> None:
    assert difference([TensorSpec("image", "float32", (1,)), WANTED[1]], WANTED, sizes=False) is None
