"""Silent wrong results on TensorFlow's side of the runtimes: each is provoked with the bare library, then refused or avoided by ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from conformance import of_tensorflow
from roadworthy.build.lower import openvino as lower_openvino
from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.isolation import isolate
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature
from roadworthy.runtimes import onnxruntime, open_session, openvino
from support.models import tensorflow_backends as side

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return isolate.call(side.make, side.Made(tmp_path_factory.mktemp("made"))).path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Graph]:
    request = of_tensorflow.WriteRequest("two_of_each", tmp_path_factory.mktemp("both"))
    signature = of_tensorflow.SIGNATURES["two_of_each"]
    return {form: Graph(form, path, signature, "by hand") for form, path in isolate.call(of_tensorflow.write, request).paths.items()}


def test_5_a_tflite_file_full_of_variables_runs_and_answers_from_memory_that_nothing_filled(made: Path) -> None:
    bare = Interpreter(str(made / "variables.tflite"))
    bare.allocate_tensors()
    bare.set_tensor(bare.get_input_details()[0]["index"], X[:1])
    bare.invoke()
    bare.get_tensor(bare.get_output_details()[0]["index"])
    with pytest.raises(StepFailed, match="in variables"):
        open_session(made / "variables.tflite", side.VECTOR, Plan("litert"))


def test_7_a_required_input_that_the_signature_lacks_is_refused_by_every_runtime(both: dict[str, Graph], tmp_path: Path) -> None:
    """What a converter leaves of a captured constant; the runtimes themselves load the file, and fail at the first call."""
    signature = Signature(both["onnx"].signature.inputs[:1], both["onnx"].signature.outputs)
    onnxruntime.ort.InferenceSession(both["onnx"].path, providers=["CPUExecutionProvider"])
    with pytest.raises(StepFailed, match="it has zulu, alpha where the signature has zulu"):
        open_session(both["onnx"].path, signature, Plan("onnxruntime"))
    with pytest.raises(StepFailed, match="it has alpha, zulu where the signature has zulu"):
        open_session(both["tflite"].path, signature, Plan("litert"))
    for form in ("graphdef", "onnx"):
        graph, out = both[form], tmp_path / form
        out.mkdir()
        lower_openvino.lower(graph, Plan("openvino"), None, out)
        with pytest.raises(StepFailed, match="where the signature has zulu"):
            open_session(out, signature, Plan("openvino"))


def test_openvino_takes_every_tensor_that_nothing_reads_for_an_output(made: Path, tmp_path: Path) -> None:
    file = made / "switched" / "model.pb"
    assert len(openvino.openvino.convert_model(file).outputs) == 2
    lower_openvino.lower(side.graph(made, "switched", side.SWITCHED), Plan("openvino"), None, tmp_path)
    with open_session(tmp_path, side.SWITCHED, Plan("openvino")) as session:
        assert np.array_equal(session.run({"x": X})["odd name/1"], 2 * X)


def test_8_weights_of_a_frozen_graph_stay_float32(made: Path, tmp_path: Path) -> None:
    lower_openvino.lower(side.graph(made, "ones", side.ONES), Plan("openvino"), None, tmp_path)
    assert (tmp_path / "model.bin").stat().st_size >= 64 * 32 * 4


def test_outputs_that_a_converter_reordered_are_told_apart(both: dict[str, Graph]) -> None:
    """By name, not by place: the two have one shape and one dtype, and the file has them the other way round."""
    feeds = {name: np.random.default_rng(1).standard_normal((2, 6)).astype(np.float32) for name in ("zulu", "alpha")}
    wanted = of_tensorflow.two_of_each(feeds)
    bare = Interpreter(str(both["tflite"].path))
    runner = bare.get_signature_runner()
    assert list(runner.get_output_details()) != list(wanted)
    with open_session(both["tflite"].path, both["tflite"].signature, Plan("litert")) as session:
        found = session.run(feeds)
    assert all(np.allclose(found[name], wanted[name], atol=1e-5) for name in wanted)


def test_an_onnx_file_with_an_operator_of_no_runtime_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    """What is left of an operator that a converter did not know (lie 6), in a file that it called a success."""
    node = onnx.helper.make_node("Erfc", ["x"], ["y"])
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "converted", ports[:1], ports[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), tmp_path / "model.onnx")
    for name in ("onnxruntime", "openvino"):
        with pytest.raises(RoadworthyError, match="Erfc"):
            open_session(tmp_path / "model.onnx", side.VECTOR, Plan(name))
