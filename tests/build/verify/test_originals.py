"""Two originals' answers beside each other: the same, the same behind a softmax, laid out another way, or not the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.verify import Reference, compare_originals
from roadworthy.core.evidence import Tolerance
from roadworthy.core.samples import write_array
from roadworthy.core.types import Array


def reference(folder: Path, limit: float = 1e-5, **outputs: Array) -> Reference:
    folder.mkdir()
    for name, array in outputs.items():
        write_array(folder, name, array)
    count = len(next(iter(outputs.values())))
    return Reference(folder, tuple(outputs), (1.0,) * len(outputs), count, 32, Tolerance(None, 1e-7, limit))


@pytest.fixture
def logits() -> Array:
    return np.random.default_rng(0).standard_normal((300, 7)).astype(np.float32)


def softmax(array: Array) -> Array:
    exponents = np.exp(array)
    return exponents / exponents.sum(axis=1, keepdims=True)


def test_rounding_is_no_difference_and_more_is(tmp_path: Path, logits: Array) -> None:
    a = reference(tmp_path / "a", limit=1e-6, logits=logits)
    near = compare_originals(a, reference(tmp_path / "near", limit=1e-4, output=logits + np.float32(1e-4)))
    assert near.parity is not None and near.parity.equivalent and near.limit == 1e-4 and near.relation == ""
    far = compare_originals(a, reference(tmp_path / "far", output=logits + np.float32(1e-2)))
    assert far.parity is not None and not far.parity.equivalent


@pytest.mark.parametrize("extra", ["a", "b"])
def test_a_softmax_on_one_side_is_named(tmp_path: Path, logits: Array, extra: str) -> None:
    plain, made = reference(tmp_path / "plain", logits=logits), reference(tmp_path / "made", probabilities=softmax(logits))
    found = compare_originals(plain, made) if extra == "b" else compare_originals(made, plain)
    assert found.parity is not None and found.parity.equivalent
    assert (found.relation, found.extra) == ("a softmax", extra)


@pytest.mark.parametrize("shape", [(300, 1), (300,)])
@pytest.mark.parametrize("extra", ["a", "b"])
def test_a_sigmoid_on_one_number_is_named_and_no_softmax(tmp_path: Path, logits: Array, extra: str, shape: tuple[int, ...]) -> None:
    number = logits[:, 0].reshape(shape)
    plain, made = reference(tmp_path / "plain", logit=number), reference(tmp_path / "made", share=1 / (1 + np.exp(-number)))
    found = compare_originals(plain, made) if extra == "b" else compare_originals(made, plain)
    assert found.parity is not None and found.parity.equivalent
    assert (found.relation, found.extra) == ("a sigmoid", extra)
    other = compare_originals(plain, reference(tmp_path / "ones", ones=np.ones_like(number)))
    assert other.parity is not None and not other.parity.equivalent and other.relation == ""


def test_channels_may_lie_first_or_last_and_outputs_are_paired_by_name(tmp_path: Path, logits: Array) -> None:
    maps = np.random.default_rng(1).standard_normal((300, 3, 4, 5)).astype(np.float32)
    a = reference(tmp_path / "a", maps=maps, logits=logits)
    found = compare_originals(a, reference(tmp_path / "b", logits=logits, maps=np.moveaxis(maps, 1, -1)))
    assert found.parity is not None and found.parity.equivalent
    mirrored = compare_originals(a, reference(tmp_path / "c", logits=logits, maps=np.moveaxis(maps, 1, -1)[:, ::-1]))
    assert mirrored.parity is not None and not mirrored.parity.equivalent


def test_outputs_that_cannot_be_laid_onto_each_other_are_said(tmp_path: Path, logits: Array) -> None:
    a = reference(tmp_path / "a", logits=logits)
    narrow = reference(tmp_path / "b", logits=logits[:, :5])
    assert compare_originals(a, narrow).relation == "logits has the shape [300, 7] and logits [300, 5]"
    assert compare_originals(a, reference(tmp_path / "c", logits=logits, more=logits)).relation == "one has 1 outputs and the other 2"
