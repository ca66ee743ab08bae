"""The steps in front of a model of pixels: what they make of pixels, the two inputs, and the folder that holds a model behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roadworthy.core.errors import DataError, StepFailed
from roadworthy.core.samples import write
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.front import NAME, Front, front_of, put_in_front
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import ChannelsFirst, Crop, Decode, Normalize, Resize, ReverseChannels

RESNET = (
    Decode(), Resize(12), Crop(8), ReverseChannels(), ChannelsFirst(),
    Normalize(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)),
)  # fmt: skip
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 17, 23, 3), np.uint8)


def test_the_pixels_behind_the_last_geometric_step_become_the_same_samples() -> None:
    whole = Contract(RESNET)
    pixels = whole.with_pixels()
    assert (pixels.image, pixels.inside) == (RESNET[:3], RESNET[3:])
    assert pixels.whole() == whole
    assert str(pixels.sample_shape()) == "uint8 [8, 8, 3]"
    assert pixels.describe()[-1] == f"{RESNET[-1].describe()} (inside the model)"
    given = Preprocessor(pixels.image).many(list(IMAGES))
    assert given.dtype == np.uint8 and pixels.front is not None
    wanted = Preprocessor(whole.image).many(list(IMAGES))
    found = pixels.front.samples(given)
    assert np.array_equal(found, wanted) and found.dtype == np.float32 and found.flags.c_contiguous
    assert np.array_equal(pixels.front.samples(given[:1]), wanted[:1])
    assert pixels.front.bounds(3) == pytest.approx((-2, 3))


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((), "nothing says how an image becomes its input: use --preprocess"),
        ((Decode(), Resize((8, 8))), "no normalisation to put into it"),
        ((Decode(), Resize((8, 8)), ChannelsFirst()), "no normalisation to put into it"),
        ((Decode(), Resize((8, 8), rounded=False), Normalize(axis=2)), "--pixels needs uint8 pixels there"),
    ],
)
def test_a_contract_without_a_foldable_end_is_refused(steps: tuple, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        Contract(steps).with_pixels()


@pytest.mark.parametrize("first", [True, False])
def test_the_two_inputs_lead_to_each_other(first: bool) -> None:
    steps = (ChannelsFirst(), Normalize()) if first else (Normalize(axis=2, dtype="int8", scale=1.0, mean=(128.0,)),)
    own = TensorSpec("x", "float32" if first else "int8", ("batch", 3, "height", 20) if first else ("batch", "height", 20, 3))
    front = Front(steps)
    assert front.outer(own) == TensorSpec("x", "uint8", ("batch", "height", 20, 3))
    assert front.inner(front.outer(own)) == own
    assert front.behind(Signature((front.outer(own),), ())).inputs == (own,)


def test_samples_on_disk_become_what_the_model_takes(tmp_path: Path) -> None:
    front = Front((ChannelsFirst(), Normalize()))
    many = np.random.default_rng(1).integers(0, 256, (130, 4, 5, 3), np.uint8)
    made = front.applied(write(tmp_path / "pixels", {"x": many}, np.arange(130)), tmp_path / "made")
    assert made.count == 130 and np.array_equal(made.open()["x"], front.samples(many))
    few = front.applied(write(tmp_path / "again", {"x": many}), tmp_path / "few", 65)
    assert few.count == 65 and np.array_equal(few.open()["x"], front.samples(many[:65]))


@pytest.mark.parametrize("folder", [True, False])
def test_a_model_and_what_lies_beside_it_are_kept_behind_the_steps(tmp_path: Path, folder: bool) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "model.onnx").write_bytes(b"graph")
    (home / "weights.bin").write_bytes(b"weights")
    front = Front((ChannelsFirst(), Normalize(mean=(0.5,))))
    assert front_of(home) is None and front_of(home / "model.onnx") is None
    path = put_in_front(front, home if folder else home / "model.onnx", tmp_path / "fronted")
    found = front_of(path)
    assert found is not None and found[0] == front
    file = found[1] / "model.onnx" if folder else found[1]
    assert file.read_bytes() == b"graph" and (file.parent / "weights.bin").read_bytes() == b"weights"


@pytest.mark.parametrize("model", ["../home", "nowhere", ".", "..", ""])
def test_a_file_that_names_a_model_elsewhere_is_refused(tmp_path: Path, model: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "fronted").mkdir()
    (tmp_path / "fronted" / NAME).write_text(f'{{"steps": [], "model": "{model}"}}')
    with pytest.raises(StepFailed, match="which is not beside it"):
        front_of(tmp_path / "fronted")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"steps": [{"kind": "blur"}], "model": "graph"}')
    with pytest.raises(StepFailed, match=NAME):
        front_of(tmp_path)
