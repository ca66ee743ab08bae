"""The TensorFlow and XLA runtimes, each in a child: the forms of one model, double precision, threads, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conformance import of_tensorflow
from roadworthy.build import lower
from roadworthy.build.lower import tensorflow as lowering
from roadworthy.core.errors import StepFailed
from roadworthy.core.host import this_host
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.worker import Worker
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Array, Signature
from support.models import tensorflow_backends as side

pytestmark = pytest.mark.slow

SIGNATURE = of_tensorflow.SIGNATURES["images_last"]
FEEDS = {"image": np.random.default_rng(1).standard_normal((3, 8, 8, 3)).astype(np.float32)}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Graph]:
    request = of_tensorflow.WriteRequest("images_last", tmp_path_factory.mktemp("images"))
    return {form: Graph(form, path, SIGNATURE, "by hand") for form, path in isolate.call(of_tensorflow.write, request).paths.items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return isolate.call(side.make, side.Made(tmp_path_factory.mktemp("made"))).path


def answers(
    worker: Worker, path: Path, plan: Plan, folder: Path, feeds: dict[str, Array] = FEEDS, signature: Signature = SIGNATURE
) -> dict[str, Array]:
    np.savez(folder / "feeds.npz", **feeds)
    answered = worker.ask(side.ask, side.Asked(path, signature, plan, folder / "feeds.npz"))
    assert answered.refused == ""
    with np.load(answered.path) as file:
        return dict(file)


def refusal(worker: Worker, path: Path, plan: Plan, folder: Path) -> str:
    np.savez(folder / "feeds.npz", **FEEDS)
    return worker.ask(side.ask, side.Asked(path, SIGNATURE, plan, folder / "feeds.npz")).refused


@pytest.mark.parametrize("form", ["keras", "saved_model", "graphdef"])
def test_double_precision_is_double_from_end_to_end(worker: Worker, graphs: dict[str, Graph], tmp_path: Path, form: str) -> None:
    exact = of_tensorflow.images_last({"image": FEEDS["image"].astype(np.float64)}, np.float64)["scores"]
    single = answers(worker, graphs[form].path, Plan("tensorflow"), tmp_path)["scores"]
    double = answers(worker, graphs[form].path, Plan("tensorflow", "fp64"), tmp_path)["scores"]
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert 1e-9 < np.abs(single - exact).max() < 1e-5
    assert np.abs(double - exact).max() < 1e-12


@pytest.mark.parametrize(("form", "flavours"), [("keras", {"function", "frozen", "signature"}), ("saved_model", {"function", "frozen"})])
def test_every_form_of_a_model_is_the_same_function(
    worker: Worker, graphs: dict[str, Graph], tmp_path: Path, form: str, flavours: set[str]
) -> None:
    graph = graphs[form]
    plans = [*lowering.plans(graph, this_host()), *lowering.forms(graph, this_host())]
    assert {plan.flavour for plan in plans} == flavours
    for plan in (replace(plan, threads=1) for plan in plans):
        candidate = worker.ask(lower.lower, lower.LowerRequest(graph, plan, None, tmp_path / plan.artefact))
        found = answers(worker, candidate.path, plan, tmp_path)["scores"]
        assert np.allclose(found, of_tensorflow.images_last(FEEDS)["scores"], atol=1e-5), plan.name


def test_a_frozen_candidate_opens_on_the_threads_of_its_plan(graphs: dict[str, Graph], tmp_path: Path) -> None:
    """In the process that froze it, where freezing alone would have started TensorFlow on all cores."""
    for plan in (Plan("tensorflow", threads=3, flavour="frozen"), Plan("xla", threads=3)):
        assert isolate.call(lower.lower, lower.LowerRequest(graphs["keras"], plan, None, tmp_path / plan.artefact)).size > 0


def test_other_threads_than_the_process_started_with_are_refused(worker: Worker, graphs: dict[str, Graph], tmp_path: Path) -> None:
    answers(worker, graphs["graphdef"].path, Plan("tensorflow"), tmp_path)
    for runtime in ("tensorflow", "xla"):
        said = refusal(worker, graphs["graphdef"].path, Plan(runtime, threads=2), tmp_path)
        assert said.startswith("UsageError: TensorFlow already runs in this process with 1; 2 threads need a process of their own")


def test_a_plan_that_they_cannot_honour_is_refused(worker: Worker, graphs: dict[str, Graph], tmp_path: Path) -> None:
    path = graphs["graphdef"].path
    assert "has no bf16" in refusal(worker, path, Plan("tensorflow", "bf16"), tmp_path)
    assert "has no fp32 channels_last" in refusal(worker, path, Plan("tensorflow", flavour="channels_last"), tmp_path)
    assert "has no fp64" in refusal(worker, path, Plan("xla", "fp64"), tmp_path)
    assert "spin" in refusal(worker, path, Plan("xla", spin=True), tmp_path)


def test_a_single_string_goes_through_tensorflow_and_nothing_else(worker: Worker, made: Path, tmp_path: Path) -> None:
    feeds = {"word": np.array([b"seven"])}
    found = answers(worker, made / "word", Plan("tensorflow"), tmp_path, feeds, side.WORD)
    assert found["length"].tolist() == [5]
    np.savez(tmp_path / "feeds.npz", **feeds)
    said = worker.ask(side.ask, side.Asked(made / "word", side.WORD, Plan("xla"), tmp_path / "feeds.npz")).refused
    assert said.startswith("StepFailed: ")
    assert "\n" not in said
    with pytest.raises(StepFailed, match="No conversion rule found for operations: StringLength"):
        worker.ask(lower.lower, lower.LowerRequest(side.graph(made, "word", side.WORD), Plan("openvino"), None, tmp_path / "openvino"))


def test_a_fixed_batch_is_compiled_while_the_session_opens(worker: Worker, made: Path, tmp_path: Path) -> None:
    """What XLA has no operation for is refused there, and not at a request."""
    with pytest.raises(StepFailed, match="unsupported operations"):
        worker.ask(lower.lower, lower.LowerRequest(side.graph(made, "words", side.WORDS), Plan("xla", batch=1), None, tmp_path / "fixed"))
    worker.ask(lower.lower, lower.LowerRequest(side.graph(made, "words", side.WORDS), Plan("xla"), None, tmp_path / "free"))
