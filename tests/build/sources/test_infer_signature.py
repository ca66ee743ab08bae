"""The proof of inference mode knows no framework: models here are plain functions over arrays, each with one fault planted."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.sources import Loaded, parse_input
from roadworthy.build.sources.infer_signature import prove_and_keep
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import sampling
from roadworthy.core import samples
from roadworthy.core.errors import DataError, InvalidRequest, NotInference, SourceError, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, BYTES, Array, Arrays, Quantization, Signature, TensorSpec

X = TensorSpec("x", "float32", (BATCH, 4))
WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


@dataclass
class Kept:
    """Runs the proof on a function, and remembers the signature that was kept."""

    out: Path
    signatures: list[Signature] = field(default_factory=list)

    def __call__(
        self,
        call: Callable[[Arrays], dict[str, Any]],
        *inputs: TensorSpec,
        said: tuple[str, ...] = (),
        given: SampleSet | None = None,
        allow: bool = False,
        **options: Any,
    ) -> Loaded:
        def keep(signature: Signature, out: Path) -> Graph:
            self.signatures.append(signature)
            return Graph("planted", out, signature, "the original")

        model = Model(call, inputs, keep, 12, **options)
        return prove_and_keep(model, tuple(parse_input(text) for text in said), given, self.out, allow=allow)


@pytest.fixture
def settled(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def linear(feeds: Arrays) -> dict[str, Array]:
    return {"y": feeds["x"] @ WEIGHT}


def given(folder: Path, **arrays: Array) -> SampleSet:
    return samples.write(folder / "samples", arrays)


def strings(count: int) -> Array:
    array = np.empty(count, BYTES)
    array[:] = [bytes([number, 0]) * (number + 1) for number in range(count)]
    return array


def test_a_sound_model_of_no_framework(settled: Kept) -> None:
    result = settled(linear, X, proofs=("read",), notes=("noted",))
    assert result.signature == Signature((X,), (TensorSpec("y", "float32", (BATCH, 3)),))
    assert settled.signatures == [result.signature]
    assert result.proofs[0] == "read"
    assert "the same 5 samples gave" in result.proofs[1]
    assert result.proofs[3].startswith("each of 5 samples alone gave what it gave in a batch of 5")
    assert (result.notes, result.parameters) == (("noted",), 12)


def test_a_model_that_works_in_place_does_not_spoil_its_own_proof(settled: Kept) -> None:
    def doubles(feeds: Arrays) -> dict[str, Array]:
        array = feeds["x"]
        array *= 2
        return {"y": array}

    assert settled(doubles, X).signature.batched


class Draws:
    """Adds a number of its own generator, which ``seed`` sets."""

    def __init__(self, *, seeded: bool) -> None:
        self.random = np.random.default_rng(0)
        self.seeded = seeded

    def seed(self, seed: int) -> None:
        if self.seeded:
            self.random = np.random.default_rng(seed)

    def __call__(self, feeds: Arrays) -> dict[str, Array]:
        return {"y": feeds["x"] @ WEIGHT + np.float32(self.random.standard_normal())}


@pytest.mark.parametrize("seeded", [True, False])
def test_a_random_number_is_caught_with_any_seed(seeded: bool, settled: Kept) -> None:
    draws = Draws(seeded=seeded)
    with pytest.raises(NotInference, match="two answers"):
        settled(draws, X, seed=draws.seed)


def test_the_layer_is_named_where_the_framework_can_tell(settled: Kept) -> None:
    draws = Draws(seeded=False)
    with pytest.raises(NotInference, match=r"the first to differ is 'noise' \(Noise\): a dropout"):
        settled(draws, X, locate=lambda first, second, same: "'noise' (Noise)")

    def broken(first: Arrays, second: Arrays, same: object) -> str:
        raise RuntimeError("no layers")

    with pytest.raises(NotInference, match=r"output's scale\): a dropout"):
        settled(draws, X, locate=broken)


def test_a_state_that_is_kept_is_caught(settled: Kept) -> None:
    count = itertools.count()
    with pytest.raises(NotInference, match="a state that is kept between calls"):
        settled(lambda feeds: {"y": feeds["x"] + np.float32(next(count))}, X)


def test_samples_that_see_each_other_are_caught(settled: Kept) -> None:
    with pytest.raises(NotInference, match="changes with the others in its batch"):
        settled(lambda feeds: {"y": feeds["x"] - feeds["x"].mean(0)}, X)
    with pytest.raises(NotInference, match="the batch's size enters the computation"):
        settled(lambda feeds: {"y": feeds["x"] / np.float32(len(feeds["x"]))}, X)
    proofs = settled(lambda feeds: {"y": feeds["x"] - feeds["x"].mean(0)}, X, allow=True).proofs
    assert any(proof.startswith("the user says it is meant: the answer for a sample changes") for proof in proofs)


def test_bytes_see_each_other_too(settled: Kept) -> None:
    """Whole numbers get no noise and no scaling; their mates are other numbers all the same."""
    pixels = TensorSpec("x", "uint8", (BATCH, 4))
    assert settled(lambda feeds: {"y": feeds["x"].astype(np.float32)}, pixels).signature.inputs == (pixels,)
    with pytest.raises(NotInference, match="others in its batch"):
        settled(lambda feeds: {"y": feeds["x"].astype(np.float32) - feeds["x"].mean()}, pixels)


def test_byte_strings_are_proven_on_real_ones(settled: Kept, tmp_path: Path) -> None:
    def lengths(feeds: Arrays) -> dict[str, Array]:
        return {"length": np.array([[len(string)] for string in feeds["wav"]], np.int64), "name": feeds["wav"]}

    wav = TensorSpec("wav", BYTES, (BATCH,))
    with pytest.raises(DataError, match="cannot be made up; give real ones: --data"):
        settled(lengths, wav)
    result = settled(lengths, wav, given=given(tmp_path, wav=strings(7)))
    assert result.signature.outputs == (TensorSpec("length", "int64", (BATCH, 1)), TensorSpec("name", BYTES, (BATCH,)))
    with pytest.raises(NotInference, match="others in its batch"):
        settled(
            lambda feeds: {"y": np.full((len(feeds["wav"]), 1), sum(map(len, feeds["wav"])), np.int64)},
            wav, given=samples.write(tmp_path / "more", {"wav": strings(7)}),
        )  # fmt: skip


def test_a_single_string_a_call(settled: Kept, tmp_path: Path) -> None:
    scalar = TensorSpec("wav_data", BYTES, (1,))
    result = settled(lambda feeds: {"y": np.full((1, 2), len(feeds["wav_data"][0]), np.float32)}, scalar,
                     given=given(tmp_path, input=strings(3)))  # fmt: skip
    assert result.signature == Signature((scalar,), (TensorSpec("y", "float32", (1, 2)),), 1)
    assert "the model takes at most 1 sample a call" in result.notes


def scores(feeds: Arrays) -> Array:
    """0..255 for what lies in 0..1; ``x`` has a value that lies between two of them."""
    return (1 / (1 + np.exp(-(feeds["x"] @ WEIGHT)))).astype(np.float64) * 255


QUANTISED = TensorSpec("y", "uint8", (BATCH, 3), Quantization(1 / 255, 0))


def test_a_quantised_output_may_fall_to_the_next_step_and_no_further(settled: Kept) -> None:
    def between(feeds: Arrays, by: int) -> dict[str, Array]:
        alone = len(feeds["x"]) == 1
        return {"y": np.clip(np.rint(scores(feeds)) + by * alone, 0, 255).astype(np.uint8)}

    result = settled(lambda feeds: between(feeds, 1), X, outputs=(QUANTISED,))
    assert result.signature.outputs == (QUANTISED,)
    with pytest.raises(NotInference, match="alone gets another answer"):
        settled(lambda feeds: between(feeds, 2), X, outputs=(QUANTISED,))
    with pytest.raises(NotInference, match="alone gets another answer"):
        settled(lambda feeds: between(feeds, 1), X)


def test_half_precision_is_held_to_its_own_rounding(settled: Kept) -> None:
    def rounds(feeds: Arrays, by: float) -> dict[str, Array]:
        sums = feeds["x"].astype(np.float32) @ WEIGHT
        return {"y": (sums * (1 + by * (len(sums) == 1))).astype(np.float16)}

    half = TensorSpec("x", "float16", (BATCH, 4))
    assert settled(lambda feeds: rounds(feeds, 0.001), half).signature.outputs[0].dtype == "float16"
    with pytest.raises(NotInference, match="alone gets another answer"):
        settled(lambda feeds: rounds(feeds, 0.5), half)


def test_the_file_says_and_the_user_closes(settled: Kept, tmp_path: Path) -> None:
    open_ = TensorSpec("image", "float32", (BATCH, "height", "width", 1))

    def mean(feeds: Arrays) -> dict[str, Array]:
        return {"y": feeds["image"].mean((1, 2))}

    result = settled(mean, open_)
    assert result.signature.inputs == (open_,)
    assert [axis.symbol for axis in result.signature.sizes] == ["height", "width"]
    assert settled(mean, open_, said=("image:float32[batch,6,5,1]",)).signature.inputs[0].shape == (BATCH, 6, 5, 1)
    images = given(tmp_path, input=np.zeros((4, 8, 8, 1), np.float32))
    found = settled(mean, open_, given=images).signature
    assert found.inputs == (open_,) and [axis.sizes[0] for axis in found.sizes] == [8, 8]
    with pytest.raises(UsageError, match=r"given as image:float32\[batch,8,8,1\], and the model takes image:float32\[batch,6,5,1\]"):
        settled(mean, open_, said=("image:float32[batch,6,5,1]",), given=images)
    with pytest.raises(UsageError, match="has no input 'picture'; it takes image:"):
        settled(mean, open_, said=("picture:float32[batch,6,5,1]",))
    with pytest.raises(UsageError, match=r"'image' was said to be image:uint8\[batch,6,5,1\]"):
        settled(mean, open_, said=("image:uint8[batch,6,5,1]",))


def test_one_of_two_inputs_is_enough_to_say_and_the_order_stays_the_files(settled: Kept, tmp_path: Path) -> None:
    left, right = TensorSpec("left", "float32", (BATCH, "n")), TensorSpec("right", "float32", (BATCH, 2))

    def both(feeds: Arrays) -> dict[str, Array]:
        return {"a": feeds["left"] * 2, "b": feeds["right"] + 1}

    result = settled(both, left, right, said=("left:float32[batch,3]",))
    assert [str(spec) for spec in result.signature.inputs] == ["left:float32[batch,3]", "right:float32[batch,2]"]
    assert [spec.name for spec in result.signature.outputs] == ["a", "b"]
    swapped = given(tmp_path, right=np.zeros((6, 2), np.float32), left=np.ones((6, 3), np.float32))
    result = settled(both, left, right, given=swapped)
    assert [spec.name for spec in result.signature.inputs] == ["left", "right"]
    renamed = samples.renamed(swapped, ("left", "right"))
    assert renamed.open()["left"].max() == 1 and renamed.open()["right"].max() == 0


def test_a_model_that_says_nothing_takes_what_is_given(settled: Kept, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be known from its file"):
        settled(linear)
    assert settled(linear, said=("x:float32[batch,4]",)).signature.inputs == (X,)
    assert settled(linear, given=given(tmp_path, x=np.ones((9, 4), np.float32))).signature.inputs == (X,)


def test_a_model_that_does_not_take_what_was_said_says_what_it_got(settled: Kept) -> None:
    with pytest.raises(SourceError, match=r"the model does not take x:float32\[2, 7\]: matmul"):
        settled(linear, said=("x:float32[batch,7]",))


def test_a_batch_that_was_baked_in_is_found(settled: Kept) -> None:
    def only(feeds: Arrays, size: int) -> dict[str, Array]:
        return {"y": feeds["x"].reshape(size, 4) @ WEIGHT}

    assert settled(lambda feeds: only(feeds, 1), X).signature.inputs[0].shape == (1, 4)
    assert settled(lambda feeds: only(feeds, 32), X).signature == Signature(
        (TensorSpec("x", "float32", (32, 4)),), (TensorSpec("y", "float32", (32, 3)),), 32
    )


def test_outputs_that_do_not_follow_the_batch(settled: Kept) -> None:
    result = settled(lambda feeds: {"y": (feeds["x"] @ WEIGHT).T}, X)
    assert result.signature.outputs == (TensorSpec("y", "float32", (3, BATCH), sample_axis=1),)
    with pytest.raises(SourceError, match=r"has the shape \[3\] for 1, .* samples; one axis of it must be as long as the batch"):
        settled(lambda feeds: {"y": np.repeat(feeds["x"][0, :3], len(feeds["x"]), axis=0)}, X)
    with pytest.raises(SourceError, match="two of its axes count the samples"):
        settled(lambda feeds: {"y": feeds["x"] @ feeds["x"].T}, X)
    with pytest.raises(SourceError, match="at some sizes only"):
        settled(lambda feeds: linear(feeds) | ({"z": feeds["x"]} if len(feeds["x"]) > 1 else {}), X)
    result = settled(lambda feeds: linear(feeds) | {"scale": np.ones(3, np.float32)}, X)
    assert result.signature.outputs[1] == TensorSpec("scale", "float32", (3,), sample_axis=None)
    assert result.signature.batched, "a constant is the same for all samples that share a call"


def test_samples_of_another_dtype_do_not_wrap(tmp_path: Path) -> None:
    """Samples and model agree on the dtype by then; what is assigned to an array would wrap without a word if they did not."""
    given = samples.write(tmp_path / "samples", {"ids": np.array([[3], [2**32 + 3]])})
    with pytest.raises(InvalidRequest, match=r"4294967299 at \[1, 0\], which is outside int32"):
        sampling.draw((TensorSpec("ids", "int32", (BATCH, 1)),), 2, given)
