"""The steps in front of a model inside the graphs of PyTorch and TensorFlow, whose answers are the model's behind NumPy's steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from roadworthy.build import verify
from roadworthy.build.capture import Captured
from roadworthy.build.capture import front as fold
from roadworthy.core import samples
from roadworthy.core.host import usable_cores
from roadworthy.core.isolation.worker import Worker
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, TensorSpec
from roadworthy.preprocess.front import Front, put_in_front
from roadworthy.preprocess.steps import ChannelsFirst, Normalize, ReverseChannels
from roadworthy.runtimes import open_session
from support.models.originals import original, output
from support.models.tensorflow_captures import Original

pytestmark = pytest.mark.slow

MANY = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


def in_front(front: Front, graph: Graph, folder: Path) -> Graph:
    """``graph`` behind the steps of ``front``."""
    signature = replace(graph.signature, inputs=(front.outer(graph.signature.inputs[0]),))
    return replace(graph, path=put_in_front(front, graph.path, folder / "fronted"), signature=signature, unfolded=True)


def request(graph: Graph, folder: Path) -> fold.FoldRequest:
    (spec,) = graph.signature.inputs
    return fold.FoldRequest(graph, samples.write(folder / "pixels", {spec.name: MANY}), folder / "folded")


def answer(graph: Graph, runtime: str, given: Array) -> Array:
    with open_session(graph.path, graph.signature, Plan(runtime)) as session:
        return next(iter(session.run({graph.signature.inputs[0].name: given}).values()))


@pytest.mark.parametrize(("format", "runtime", "arithmetic"), [("pt2", "pytorch", "numpy"), ("jit", "torchscript", "fused")])
def test_a_torch_cnn_takes_pixels(tmp_path: Path, format: str, runtime: str, arithmetic: str) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    front = Front((ReverseChannels(), ChannelsFirst(), Normalize(mean=MEAN, std=STD, arithmetic=arithmetic)))  # type: ignore[arg-type]
    values = front.samples(MANY)
    one = original(tmp_path, module, {"image": values}, output(5))
    graph = one.capture(format, tmp_path / "graphs").graph
    assert graph is not None
    done = fold.fold(request(in_front(front, graph, tmp_path), tmp_path))
    assert done.graph is not None, done.routes
    assert done.graph.signature.inputs == (TensorSpec("image", "uint8", (BATCH, 8, 8, 3)),)
    wanted = answer(one.graph, "pytorch", values)
    for count in (1, 2, 6):
        found = answer(done.graph, runtime, MANY[:count])
        assert np.allclose(found, wanted[:count], rtol=0, atol=2e-6 * np.abs(wanted).max())


def test_a_frozen_graph_takes_pixels(
    made: Callable[[str], Original], captured: Callable[..., Captured], tensorflow: Worker, tmp_path: Path
) -> None:
    one = made("plain keras")
    kept = captured(one, "graphdef").graph
    assert kept is not None
    front = Front((ReverseChannels(), Normalize(scale=1 / 58.0, mean=(1.8, 2.0, 2.1), axis=2)))
    asked = request(in_front(front, kept, tmp_path), tmp_path)
    done = tensorflow.ask(fold.fold, asked)
    assert done.graph is not None, done.routes
    assert done.graph.signature.inputs == (TensorSpec("image", "uint8", (BATCH, 8, 8, 3)),)
    values = samples.write(tmp_path / "values", {"image": front.samples(MANY)})
    wanted = tensorflow.ask(verify.establish, verify.ReferenceRequest(one.graph, values, usable_cores(), tmp_path / "wanted")).open()[
        "output"
    ]
    found = tensorflow.ask(verify.establish, verify.ReferenceRequest(done.graph, asked.samples, usable_cores(), tmp_path / "found")).open()[
        "output"
    ]
    assert np.allclose(found, wanted, rtol=0, atol=2e-6 * np.abs(wanted).max())


def test_the_noise_of_the_reference_is_on_what_the_model_itself_takes(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    front = Front((ChannelsFirst(), Normalize(mean=MEAN, std=STD)))
    plain = original(tmp_path, module, {"image": front.samples(MANY)}, output(5))
    pixels = request(in_front(front, plain.graph, tmp_path), tmp_path)
    alone = verify.establish(verify.ReferenceRequest(plain.graph, plain.samples, 1, tmp_path / "alone"))
    behind = verify.establish(verify.ReferenceRequest(pixels.graph, pixels.samples, 1, tmp_path / "behind"))
    assert np.array_equal(behind.open()["output"], alone.open()["output"])
    assert behind.tolerance.float64 == alone.tolerance.float64
    assert alone.tolerance.noise / 4 < behind.tolerance.noise < alone.tolerance.noise * 4
