"""Silent wrong results of TensorFlow's converters: each is provoked as a user would, then refused, avoided or named here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from roadworthy.build import capture
from roadworthy.build.capture import Captured
from roadworthy.core.isolation.worker import Worker
from support.models.tensorflow_captures import Order, Original, Trial, bare_from_function, bare_tf2onnx, each_route, make

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tensorflow() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


@pytest.fixture
def made(tensorflow: Worker, tmp_path: Path) -> Callable[[str], Original]:
    return lambda name: tensorflow.ask(make, Order(name, tmp_path / "original"))


def captured(original: Original, tensorflow: Worker, out: Path) -> Captured:
    return tensorflow.ask(capture.capture, capture.CaptureRequest(original.graph, "onnx", original.samples, out))


# 6: tf2onnx leaves an operator that it does not know in the file, and says that it succeeded.


def test_tf2onnx_writes_operators_that_onnx_does_not_have(made: Callable[[str], Original], tensorflow: Worker, tmp_path: Path) -> None:
    gamma = made("gamma")
    assert any(node.endswith(": Lgamma") for node in tensorflow.ask(bare_tf2onnx, gamma).routes)

    outcome = captured(gamma, tensorflow, tmp_path / "onnx")
    assert outcome.graph is None
    says = "ONNX has no counterpart of Lgamma, and the converter wrote it into the file anyway"
    assert [route.outcome for route in outcome.routes] == [says]


def test_grouped_convolutions_and_exact_gelus_are_such_operators(
    made: Callable[[str], Original], tensorflow: Worker, tmp_path: Path
) -> None:
    modern = made("modern")
    bare = {node.rpartition(": ")[2] for node in tensorflow.ask(bare_tf2onnx, modern).routes}
    assert {"StatefulPartitionedCall", "Erfc"} <= bare

    graph = captured(modern, tensorflow, tmp_path / "onnx").graph
    assert graph is not None and graph.route == "tf2onnx, from the frozen graph"
    ours = {node.op_type for node in onnx.load(str(graph.path)).graph.node}
    assert {"Conv", "Erf"} <= ours and not ours & {"StatefulPartitionedCall", "Erfc"}


# 7: constants that a model caught become inputs that every call must feed.


def test_caught_constants_become_required_inputs(made: Callable[[str], Original], tensorflow: Worker, tmp_path: Path) -> None:
    modern = made("modern")
    assert len(tensorflow.ask(bare_from_function, modern).routes) > 1

    graph = captured(modern, tensorflow, tmp_path / "onnx").graph
    assert graph is not None
    assert [value.name for value in onnx.load(str(graph.path)).graph.input] == ["image"]
    routes = tensorflow.ask(each_route, Trial(modern, "onnx", tmp_path / "routes")).routes
    exported = next(route for route in routes if route.startswith("Keras's export: "))
    assert "the file's inputs are not the model's: it has more: " in exported or "ONNX has no counterpart of" in exported
