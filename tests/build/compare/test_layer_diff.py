"""One network in both frameworks: matched layer by layer, and each planted difference found where it is and explained."""

from __future__ import annotations

import numpy as np
import pytest

from roadworthy.build.compare.layer_diff import Matched, MatchRequest, Recorded, match
from roadworthy.core.isolation import isolate
from support.models import layer_pairs

pytestmark = pytest.mark.slow

WHY = {
    "padding": ("conv1", ["padding: conv1", "1+1", "0+1", "the odd zero", "the numbers of net.pt agree"]),
    "pool": ("pool", ["padding: pool", "1+1", "0+1"]),
    "epsilon": ("norm", ["epsilon: norm", "1e-05", "0.001", "they agree to"]),
    "flatten": ("dense", ["flatten order", "channels, height, width", "without putting the rows in that order", "agree to"]),
    "channels": ("conv1", ["channels in reverse order", "BGR"]),
    "swapped": ("conv1", ["height and width swapped"]),
    "weights": ("conv1", ["the weights themselves differ in kernel", "0.5 of their scale"]),
    "activation": ("relu", ["ReLU", "Activation"]),
}


@pytest.fixture(scope="session")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Recorded], dict[str, Recorded]]:
    """The PyTorch models and the Keras models, each recorded in a child process."""
    folder = tmp_path_factory.mktemp("pairs")
    mine = isolate.call(layer_pairs.torch_models, layer_pairs.Making(folder, ("", "pool")), log=folder / "torch.log")
    its = isolate.call(layer_pairs.keras_models, layer_pairs.Making(folder, layer_pairs.FAULTS), log=folder / "keras.log")
    return mine.recorded, its.recorded


def matched(sides: tuple[dict[str, Recorded], dict[str, Recorded]], fault: str) -> Matched:
    mine = sides[0]["pool" if fault == "pool" else ""]
    return match(MatchRequest(mine, sides[1][fault], "net.pt", "net.keras", 1e-5))


def test_equal_models_agree_in_every_layer_and_the_order_of_flattening_is_a_note(
    sides: tuple[dict[str, Recorded], dict[str, Recorded]],
) -> None:
    found = matched(sides, "")
    assert [(pair.a, pair.kind) for pair in found.layers] == [
        ("conv1", "conv"), ("norm", "norm"), ("relu", "activation"), ("pool", "max pool"), ("depthwise", "conv"), ("flat", "flatten"),
        ("dense", "dense"),
    ]  # fmt: skip
    assert all(pair.same for pair in found.layers)
    assert found.first == "" and found.explanations == ()
    (note,) = found.notes
    assert "flatten in different orders" in note


@pytest.mark.parametrize("fault", WHY)
def test_a_planted_difference_is_found_and_explained(sides: tuple[dict[str, Recorded], dict[str, Recorded]], fault: str) -> None:
    found = matched(sides, fault)
    layer, words = WHY[fault]
    assert found.first.startswith(f"{layer} ("), found.first
    assert next(pair.a for pair in found.layers if not pair.same) == layer
    (said,) = found.explanations
    for part in words:
        assert part in said, said


def test_an_explanation_is_computed_and_not_guessed(sides: tuple[dict[str, Recorded], dict[str, Recorded]]) -> None:
    """Paddings that differ are not blamed where they do not account for the numbers."""
    both = MatchRequest(sides[0][""], sides[1]["padding"], "a", "b", 1e-5)
    (said,) = match(both).explanations
    assert "the numbers of a agree" in said
    file = sides[1]["padding"].path / "0.gave.npy"
    before = np.load(file)
    try:
        np.save(file, before + 0.5)
        (said,) = match(both).explanations
    finally:
        np.save(file, before)
    assert "agree" not in said
