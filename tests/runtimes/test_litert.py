"""The LiteRT runtime: files that run and give wrong answers, names, batch sizes, precisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conformance import of_tensorflow
from roadworthy.build import lower
from roadworthy.build.lower import litert as lowering
from roadworthy.core import samples
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.worker import Worker
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.runtimes import litert, open_session
from support.models import tensorflow_backends as side

pytestmark = pytest.mark.slow

BOTH = of_tensorflow.SIGNATURES["two_of_each"]
VECTOR = side.VECTOR


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, worker: Worker) -> Path:
    return worker.ask(side.make, side.Made(tmp_path_factory.mktemp("made"))).path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, worker: Worker) -> Path:
    """Two inputs, two outputs, converted by TensorFlow itself."""
    return worker.ask(of_tensorflow.write, of_tensorflow.WriteRequest("two_of_each", tmp_path_factory.mktemp("both"))).paths["tflite"]


def lowered(worker: Worker, made: Path, name: str, signature: Signature, plan: Plan, out: Path) -> Path:
    data = samples.write(out / "data", {"x": np.ones((8, 64), np.float32)}) if plan.precision == "int8" else None
    return worker.ask(lower.lower, lower.LowerRequest(side.graph(made, name, signature), plan, data, out / plan.artefact)).path


def feeds(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.standard_normal((batch, 6), dtype=np.float32) for name in ("zulu", "alpha")}


def test_a_file_that_keeps_its_weights_in_variables_is_refused(made: Path) -> None:
    """The bare interpreter runs it without an error, on memory that nothing filled (TOOLCHAIN's lie 5)."""
    with pytest.raises(StepFailed, match=r"in variables \(READ_VARIABLE, VAR_HANDLE\) that nothing fills"):
        open_session(made / "variables.tflite", VECTOR, Plan("litert"))


def test_operators_that_the_runtime_lacks_are_named(made: Path) -> None:
    with pytest.raises(StepFailed, match="FlexMatrixInverse"):
        open_session(made / "flex.tflite", VECTOR, Plan("litert"))
    with pytest.raises(StepFailed, match="MatrixInverse") as caught:
        open_session(made / "custom.tflite", VECTOR, Plan("litert"))
    assert "\n" not in caught.value.message


def test_inputs_and_outputs_go_by_name_whatever_their_order_in_the_file(both: Path) -> None:
    with open_session(both, BOTH, Plan("litert")) as session:
        for batch in (1, 4, 2, 1):
            answers, wanted = session.run(feeds(batch)), of_tensorflow.two_of_each(feeds(batch))
            assert list(answers) == ["mike", "bravo"]
            for name in wanted:
                assert np.allclose(answers[name], wanted[name], atol=1e-5), name


def test_a_file_with_an_input_more_than_the_signature_is_refused(both: Path) -> None:
    with pytest.raises(StepFailed, match="it has alpha, zulu where the signature has zulu"):
        open_session(both, Signature(BOTH.inputs[:1], BOTH.outputs), Plan("litert"))
    with pytest.raises(StepFailed, match="zulu is float32 where the signature has int32"):
        wrong = (TensorSpec("zulu", "int32", BOTH.inputs[0].shape), BOTH.inputs[1])
        open_session(both, Signature(wrong, BOTH.outputs), Plan("litert"))


def test_a_failed_call_leaves_a_session_that_answers(both: Path) -> None:
    session = litert.load(both, BOTH, Plan("litert"))
    with pytest.raises(StepFailed, match="LiteRT failed") as caught:
        session.run({**feeds(2), "zulu": np.zeros((2, 5), np.float32)})
    assert "\n" not in caught.value.message
    assert np.allclose(session.run(feeds(2))["mike"], of_tensorflow.two_of_each(feeds(2))["mike"], atol=1e-5)


def test_a_plan_that_it_cannot_honour_is_refused(both: Path) -> None:
    for plan, words in ((Plan("litert", "bf16"), "bf16"), (Plan("litert", spin=True), "spin"), (Plan("litert", "int8"), "not quantised")):
        with pytest.raises(UsageError, match=words):
            open_session(both, BOTH, plan)


def test_a_damaged_file_is_named_in_one_line(both: Path, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(both.read_bytes()[:100])
    with pytest.raises(StepFailed, match=r"cannot load .*model\.tflite") as caught:
        open_session(tmp_path, BOTH, Plan("litert"))
    assert "\n" not in caught.value.message


def test_int8_products_do_not_saturate(worker: Worker, made: Path, tmp_path: Path) -> None:
    """Sums of the largest products there are: where pairs of them are added in 16 bits, they would come to half."""
    for flavour in ("", "dynamic"):
        plan = Plan("litert", "int8", flavour=flavour)
        out = tmp_path / f"int8{flavour}"
        out.mkdir()
        with open_session(lowered(worker, made, "ones", side.ONES, plan, out), side.ONES, plan) as session:
            assert np.allclose(session.run({"x": np.ones((3, 64), np.float32)})["y"], 64, rtol=0.01)
        with pytest.raises(UsageError, match="quantised"):
            open_session(out / plan.artefact, side.ONES, Plan("litert"))


def test_names_that_are_no_identifiers_and_fed_constants(worker: Worker, made: Path, tmp_path: Path) -> None:
    path = lowered(worker, made, "switched", side.SWITCHED, Plan("litert"), tmp_path)
    with open_session(path, side.SWITCHED, Plan("litert")) as session:
        assert np.array_equal(session.run({"x": np.ones((3, 4), np.float32)})["odd name/1"], np.full((3, 4), 2, np.float32))


def test_a_single_value_is_left_to_the_framework(worker: Worker, made: Path, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="word, length is a single value"):
        lowered(worker, made, "word", side.WORD, Plan("litert"), tmp_path)


def test_what_came_as_a_file_of_its_own_is_taken_as_it_is(both: Path, tmp_path: Path) -> None:
    graph = Graph("tflite", both, BOTH, "the original", precision="int8")
    plans = list(lowering.plans(graph, this_host()))
    assert {(plan.precision, plan.flavour, plan.batch) for plan in plans} == {("int8", "", None)}
    lowering.lower(graph, plans[0], None, tmp_path)
    assert (tmp_path / "model.tflite").read_bytes() == both.read_bytes()


def test_answering_needs_no_tensorflow(both: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "feeds.npz", **feeds(2))
    answered = isolate.call(side.ask, side.Asked(both, BOTH, Plan("litert"), tmp_path / "feeds.npz"))
    assert answered.refused == ""
    assert not answered.tensorflow
