"""Any axis counts the samples, or none, and others are open: found by calling plain functions over arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.sources import Loaded, parse_inputs
from roadworthy.build.sources.infer_signature import prove_and_keep
from roadworthy.build.sources.model import Model
from roadworthy.core import samples
from roadworthy.core.errors import NotInference, SourceError, UsageError
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, Arrays, Signature, TensorSpec

RANDOM = np.random.default_rng(0)
FORWARD, RECURRENT = (RANDOM.standard_normal(shape).astype(np.float32) * 0.3 for shape in ((8, 6), (6, 6)))


def spec(name: str, *shape: int | str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, shape, sample_axis=shape.index(BATCH) if BATCH in shape else None)


def steps(x: Array, h: Array) -> tuple[Array, Array]:
    """A recurrent layer over x [time, batch, 8] from the state h [1, batch, 6]: every step, and the last state."""
    state, seen = h[0], []
    for step in x:
        state = np.tanh(step @ FORWARD + state @ RECURRENT)
        seen.append(state)
    return np.stack(seen), state[None]


def recurrent(feeds: Arrays) -> dict[str, Array]:
    outputs, state = steps(feeds["x"], feeds["h"])
    return {"y": outputs, "h_next": state}


def last_step(feeds: Arrays) -> dict[str, Array]:
    """Scores by the last step of a sequence whose time is first."""
    outputs, _ = steps(feeds["x"], np.zeros((1, feeds["x"].shape[1], 6), np.float32))
    return {"y": outputs[-1]}


def attention(feeds: Arrays) -> dict[str, Array]:
    """[time, batch, 8] to the same: every step sees every other."""
    x = feeds["x"].transpose(1, 0, 2)
    weights = np.exp(x @ x.transpose(0, 2, 1) / 4)
    return {"y": ((weights / weights.sum(-1, keepdims=True)) @ x).transpose(1, 0, 2)}


def pooled(feeds: Arrays, by: int = 4) -> dict[str, Array]:
    """As a network with skips does: halved twice and doubled twice, so that only multiples of four fit together."""
    image = feeds["image"]
    small = image[:, ::by, ::by][:, : image.shape[1] // by, : image.shape[2] // by]
    return {"mask": image + np.repeat(np.repeat(small, by, 1), by, 2)}


class Tried:
    """Proves a function in a directory of its own."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(
        self,
        call: Callable[[Arrays], dict[str, Any]],
        *known: TensorSpec,
        said: Sequence[str] = (),
        data: Arrays | None = None,
        examples: Sequence[tuple[int, ...]] = (),
        **options: Any,
    ) -> Loaded:
        model = Model(call, known, lambda signature, out: Graph("planted", out, signature, "the original"), 0, **options)
        given = None if data is None else samples.write(self.out / f"data{len(list(self.out.iterdir()))}", data)
        return prove_and_keep(model, parse_inputs(said)[0], given, self.out, allow=False, examples=examples)


@pytest.fixture
def tried(tmp_path: Path) -> Tried:
    return Tried(tmp_path)


def test_states_and_time_keep_their_own_axes(tried: Tried) -> None:
    found = tried(recurrent, said=("x:float32[5,batch,8]", "h:float32[1,batch,6]")).signature
    assert found.inputs == (spec("x", 5, BATCH, 8), spec("h", 1, BATCH, 6))
    assert found.outputs == (spec("y", 5, BATCH, 6), spec("h_next", 1, BATCH, 6))
    assert found.batched


def test_the_axis_of_the_samples_is_found_where_only_samples_are_known(tried: Tried) -> None:
    rows = RANDOM.standard_normal((9, 5, 8)).astype(np.float32)
    found = tried(last_step, data={"x": rows}).signature
    assert (found.inputs, found.outputs) == ((spec("x", 5, BATCH, 8),), (spec("y", BATCH, 6),))
    assert tried(attention, data={"x": rows}).signature.inputs == (spec("x", 5, BATCH, 8),)
    state = RANDOM.standard_normal((9, 1, 6)).astype(np.float32)
    found = tried(recurrent, data={"x": rows, "h": state}).signature
    assert found.inputs == (spec("x", 5, BATCH, 8), spec("h", 1, BATCH, 6))
    plain = tried(lambda feeds: {"y": feeds["x"] @ FORWARD}, data={"x": rows}).signature
    assert plain.inputs == (spec("x", BATCH, 5, 8),), "first, where any axis would do"


def test_a_batch_on_the_last_axis_is_found(tried: Tried) -> None:
    def columns(feeds: Arrays) -> dict[str, Array]:
        return {"y": np.tanh(FORWARD.T @ feeds["x"] - feeds["x"].mean(axis=0, keepdims=True))}

    assert tried(columns, said=("x:float32[8,batch]",)).signature.outputs == (spec("y", 6, BATCH),)
    assert tried(columns, data={"x": np.ones((4, 8), np.float32) * np.arange(4, dtype=np.float32)[:, None]}).signature.inputs == (
        spec("x", 8, BATCH),
    )


def test_the_axis_is_found_in_example_arrays(tried: Tried) -> None:
    guess = (spec("x", BATCH, 3, 8), spec("h", 1, 3, 6))
    found = tried(recurrent, *guess, examples=((5, 3, 8), (1, 3, 6))).signature
    assert found.inputs == (spec("x", 5, BATCH, 8), spec("h", 1, BATCH, 6))
    found = tried(last_step, spec("x", BATCH, 1, 8), examples=((5, 1, 8),)).signature
    assert found.inputs == (spec("x", 5, BATCH, 8),)


def test_numbers_that_the_user_stated_stay(tried: Tried) -> None:
    found = tried(last_step, said=("x:float32[5,1,8]",)).signature
    assert found == Signature(
        (TensorSpec("x", "float32", (5, 1, 8), sample_axis=1),), (TensorSpec("y", "float32", (1, 6), sample_axis=0),), 1
    )
    with_state = tried(recurrent, said=("x:float32[5,1,8]", "h:float32[1,1,6]")).signature
    assert [one.shape for one in with_state.inputs] == [(5, 1, 8), (1, 1, 6)]


def test_a_wrong_axis_is_refused_and_the_right_one_named(tried: Tried) -> None:
    with pytest.raises(NotInference, match=r"axis 1 of 'x' counts the samples: --input 'x:float32\[length,batch,8\]'"):
        tried(last_step, said=("x:float32[batch,4,8]",))


def test_the_batch_may_have_two_names_in_a_file(tried: Tried) -> None:
    """An exporter names each open axis by itself."""
    found = tried(recurrent, spec("x", 5, BATCH, 8), spec("h", 1, "unnamed", 6)).signature
    assert found.inputs == (spec("x", 5, BATCH, 8), spec("h", 1, BATCH, 6))
    found = tried(last_step, spec("x", BATCH, "s1", 8)).signature
    assert found.inputs == (spec("x", "x_0", BATCH, 8),), "the first axis is the time"


def test_settings_and_constants_belong_to_the_whole_call(tried: Tried) -> None:
    def scaled(feeds: Arrays) -> dict[str, Array]:
        return {"y": feeds["x"] @ FORWARD * feeds["scale"], "boxes": feeds["anchors"] * 2, "logit_scale": np.float32(2)}

    found = tried(scaled, said=("x:float32[batch,8]", "scale:float32[]", "anchors:float32[9,2]")).signature
    assert found.inputs == (spec("x", BATCH, 8), spec("scale"), spec("anchors", 9, 2))
    assert found.outputs == (spec("y", BATCH, 6), spec("boxes", 9, 2), spec("logit_scale"))
    assert not found.batched, "requests with different settings cannot share a call"


def test_an_image_without_a_batch(tried: Tried) -> None:
    found = tried(lambda feeds: {"y": feeds["image"].mean((0, 1))}, said=("image:float32[height,width,3]",)).signature
    assert (found.inputs, found.outputs, found.max_batch) == ((spec("image", "height", "width", 3),), (spec("y", 3),), 1)
    assert [axis.symbol for axis in found.sizes] == ["height", "width"]


def test_an_open_axis_has_limits_that_are_found(tried: Tried) -> None:
    table = RANDOM.standard_normal((40, 8)).astype(np.float32)

    def positions(feeds: Arrays) -> dict[str, Array]:
        return {"y": (feeds["x"] + table[: feeds["x"].shape[1]]) @ FORWARD}

    (axis,) = tried(positions, said=("x:float32[batch,time,8]",)).signature.sizes
    assert (axis.least, axis.most, axis.multiple) == (1, 40, 1)
    assert axis.sizes[0] == 16 and {1, 40} <= set(axis.sizes)


def test_sizes_that_must_be_multiples(tried: Tried) -> None:
    images = RANDOM.standard_normal((4, 24, 40, 1)).astype(np.float32)
    found = tried(pooled, spec("image", BATCH, "height", "width", 1), data={"image": images}).signature
    assert [(axis.symbol, axis.sizes[0], axis.multiple, axis.least) for axis in found.sizes] == [("height", 24, 4, 4), ("width", 40, 4, 4)]
    assert found.outputs == (spec("mask", BATCH, "height", "width", 1),)
    assert str(found.sizes[0]) == "at least 4, in multiples of 4"
    assert found.size_fault({"height": 30, "width": 40}) == "height is 30; this model takes height of at least 4, in multiples of 4"


def test_a_size_that_follows_from_another_gets_a_symbol_of_its_own(tried: Tried) -> None:
    found = tried(lambda feeds: {"y": feeds["x"][:, ::2], "z": feeds["x"][:, 1::2][:, :0] + 1}, said=("x:float32[batch,time,8]",)).signature
    assert found.outputs == (spec("y", BATCH, "y_1", 8), spec("z", BATCH, 0, 8))


def test_axes_that_must_be_equal_are_one(tried: Tried) -> None:
    def masked(feeds: Arrays) -> dict[str, Array]:
        return {"y": (feeds["x"] * feeds["mask"][:, :, None]).sum(1)}

    known = (spec("x", BATCH, "x_1", 8), spec("mask", BATCH, "mask_1"))
    found = tried(masked, *known).signature
    assert found.inputs == (spec("x", BATCH, "x_1", 8), spec("mask", BATCH, "x_1"))
    assert [axis.symbol for axis in found.sizes] == ["x_1"]


def test_an_axis_that_the_model_does_not_leave_open_has_the_size_of_the_samples(tried: Tried) -> None:
    def flat(feeds: Arrays) -> dict[str, Array]:
        return {"y": feeds["x"].reshape(len(feeds["x"]), 24)[:, :3]}

    rows = RANDOM.standard_normal((4, 3, 8)).astype(np.float32)
    loaded = tried(flat, spec("x", BATCH, "time", 8), data={"x": rows})
    assert loaded.signature.inputs == (spec("x", BATCH, 3, 8),) and not loaded.signature.sizes
    assert any(note.startswith("time is left open by the file and stays 3, as in the samples") for note in loaded.notes)
    with pytest.raises(
        UsageError, match=r"leaves time open, and the model takes it at 3 alone .* say the number: --input 'x:float32\[batch,3,8\]'"
    ):
        tried(flat, said=("x:float32[batch,time,8]",), data={"x": rows})


def test_one_symbol_with_two_sizes_in_the_data_is_told(tried: Tried) -> None:
    said = ("a:float32[batch,n]", "b:float32[batch,n]")
    with pytest.raises(UsageError, match="n is 3 and 4 in the data"):
        tried(lambda feeds: {"y": feeds["a"]}, said=said, data={"a": np.ones((2, 3), np.float32), "b": np.ones((2, 4), np.float32)})


class Counts:
    """Adds the number of its calls, which it keeps."""

    def __init__(self) -> None:
        self.calls = np.zeros(1, np.float32)

    def __call__(self, feeds: Arrays) -> dict[str, Array]:
        self.calls = self.calls + 1
        return {"y": feeds["x"] + self.calls}


def test_a_state_inside_is_refused_by_its_name(tried: Tried) -> None:
    counts = Counts()
    with pytest.raises(NotInference, match=r"keeps a state between calls \('calls' of Counts\)") as caught:
        tried(counts, spec("x", BATCH, 2), states=lambda: {"'calls' of Counts": counts.calls, "a weight": FORWARD})
    assert "dropout" not in caught.value.message and "make the state an input and an output" in caught.value.message


def test_random_numbers_are_no_state(tried: Tried) -> None:
    random = [np.random.default_rng(0)]

    def seed(number: int) -> None:
        random[0] = np.random.default_rng(number)

    def noisy(feeds: Arrays) -> dict[str, Array]:
        return {"y": feeds["x"] + random[0].standard_normal(1).astype(np.float32)}

    with pytest.raises(NotInference, match="a dropout left on"):
        tried(noisy, spec("x", BATCH, 2), seed=seed, states=lambda: {"a counter": np.array(random[0].integers(99))})


def test_what_is_quantised_on_the_fly_takes_one_sample_a_call(tried: Tried) -> None:
    def dynamic(feeds: Arrays) -> dict[str, Array]:
        step = np.abs(feeds["x"]).max() / 127
        return {"y": np.rint(feeds["x"] / step) * step}

    with pytest.raises(NotInference):
        tried(dynamic, spec("x", BATCH, 2))
    loaded = tried(dynamic, spec("x", BATCH, 2), neighbours="the model finds its scale in each call")
    assert loaded.signature.inputs == (TensorSpec("x", "float32", (1, 2)),)
    assert any(note.startswith("one sample a call: the model finds its scale") for note in loaded.notes)


def test_an_output_that_is_empty_at_one_size_only_is_told(tried: Tried) -> None:
    with pytest.raises(SourceError, match="at some sizes only"):
        tried(lambda feeds: {"y": feeds["x"]} | ({"z": feeds["x"]} if feeds["x"].shape[1] == 16 else {}), said=("x:float32[batch,time]",))
