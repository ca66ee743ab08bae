"""Where there are samples, every step calls the model with them: values that no sample has may be ones that it does not take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.sources import Loaded
from roadworthy.build.sources.infer_signature import prove_and_keep
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import sampling
from roadworthy.core import samples
from roadworthy.core.errors import NotInference, SourceError
from roadworthy.core.numerics import bounds_of, nudged
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, Arrays, TensorSpec

TABLE = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
RANDOM = np.random.default_rng(1)
Call = Callable[[Arrays], dict[str, Array]]
Proven = Callable[..., Loaded]


@pytest.fixture
def proven(tmp_path: Path) -> Proven:
    def run(call: Call, **arrays: Array) -> Loaded:
        model = Model(call, (), lambda signature, out: Graph("planted", out, signature, "the original"), 1)
        given = samples.write(tmp_path / f"given{len(list(tmp_path.iterdir()))}", arrays)
        return prove_and_keep(model, (), given, tmp_path, allow=False)

    return run


def only(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def last_step(feeds: Arrays) -> dict[str, Array]:
    only(feeds["length"].min() >= 1 and feeds["length"].max() <= 12, "lengths are 1 to 12")
    return {"y": feeds["x"][np.arange(len(feeds["x"])), feeds["length"].astype(int).reshape(-1) - 1]}


def one_based(feeds: Arrays) -> dict[str, Array]:
    only(feeds["ids"].min() >= 1 and feeds["ids"].max() <= 30, "no such identifier")
    return {"y": TABLE[feeds["ids"].astype(int) - 1].sum(1)}


def in_range(feeds: Arrays) -> dict[str, Array]:
    only(feeds["x"].min() >= 0.25 and feeds["x"].max() <= 1, "out of range")
    return {"y": np.log(feeds["x"]) @ TABLE[:3]}


@pytest.mark.parametrize("dtype", ["int64", "float32"])
@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_lengths_and_identifiers_that_start_at_one_are_never_zero(dtype: str, count: int, proven: Proven) -> None:
    """Also where they come as floats, and where the samples are fewer than a call."""
    lengths = RANDOM.integers(1, 13, count).astype(dtype)
    result = proven(last_step, x=RANDOM.standard_normal((count, 12, 3)).astype(np.float32), length=lengths)
    assert result.signature.batched
    ids = RANDOM.integers(1, 31, (count, 6)).astype(dtype)
    assert proven(one_based, ids=ids).signature.batched


def test_a_check_of_the_range_holds_for_all_that_the_model_is_shown(proven: Proven) -> None:
    x = RANDOM.uniform(0.25, 1, (20, 3)).astype(np.float32)
    x[0], x[1] = 0.25, 1
    result = proven(in_range, x=x)
    assert result.signature.batched and "limit 1.0e-05" in result.proofs[-1]


def test_identifiers_as_floats_are_the_same_identifiers_under_noise(proven: Proven) -> None:
    """Cut to whole numbers, 3.0 less a rounding is 2: the limit of the proof would grow until it holds for anything."""
    ids = RANDOM.integers(0, 30, (20, 6)).astype(np.float32)
    (*_, alone) = proven(lambda feeds: {"y": TABLE[feeds["ids"].astype(int)].sum(1)}, ids=ids).proofs
    assert "limit 1.0e-05" in alone


def test_samples_that_see_each_other_are_caught_where_real_ones_do_not_show_it(proven: Proven) -> None:
    """The scale of a batch that is quantised as a whole comes from its largest number, here that of the first sample."""
    x = RANDOM.uniform(0, 1, (20, 3)).astype(np.float32)
    x[0, 0] = 2

    def quantised(feeds: Arrays) -> dict[str, Array]:
        step = np.abs(feeds["x"]).max() / np.float32(127)
        return {"y": np.rint(feeds["x"] / step) * step}

    with pytest.raises(NotInference, match="changes with the others in its batch"):
        proven(quantised, x=x)


def test_what_no_call_takes_is_told_with_the_shape_that_was_given(proven: Proven) -> None:
    with pytest.raises(SourceError, match=r"does not take ids:int64\[2, 3\]: no such identifier"):
        proven(one_based, ids=np.zeros((6, 3), np.int64))


def test_another_seed_moves_every_sample_to_another_place(tmp_path: Path) -> None:
    spec = TensorSpec("x", "float32", (BATCH, 1))
    for count in (2, 3, 5, 7, 10):
        given = samples.write(tmp_path / str(count), {"x": np.arange(count, dtype=np.float32)[:, None]})
        first, *others = (sampling.draw((spec,), 5, given, seed=seed)["x"] for seed in (0, 1, 2))
        assert all((first != other).all() for other in others)
        assert set(np.unique(first)) <= set(range(count))


def test_noise_keeps_to_values_like_those_of_the_data() -> None:
    array = np.array([0.0, 1.0, 3.0, 12.0, -4.0, 0.3, np.nan, np.inf, -7.5], np.float32)
    moved = np.array([nudged(array, 1e-3, RANDOM, bounds_of(array)) for _ in range(50)])
    assert bounds_of(array) == (-7.5, 12.0)
    assert np.isnan(moved[:, 6]).all() and np.isposinf(moved[:, 7]).all()
    assert (np.trunc(moved[:, :5]) == array[:5]).all() and (moved[:, 0] == 0).all() and (moved[:, 3] == 12).all()
    assert len(np.unique(moved[:, 5])) > 40 and np.nanmin(moved) >= -7.5
    assert moved.dtype == array.dtype and len(np.unique(moved[:, 2])) > 40
