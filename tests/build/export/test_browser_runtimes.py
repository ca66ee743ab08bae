"""TensorFlow.js and LiteRT.js as runtimes of the browser target: what they are offered, refuse and answer in a real Chromium."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from roadworthy.build.export import browser
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature, SizeRange, TensorSpec
from roadworthy.runtimes import open_session
from support import browser_exports, hosts
from support.files.onnx_cases import CASES, Case, node, weights, written
from support.files.onnx_networks import NETWORKS

FLAVOURS = ("tfjs", "litertjs")
TWO_CORES = hosts.pretended("avx2", 2)


def offered(graph: Graph) -> dict[str, Plan]:
    return {plan.flavour: plan for plan in browser.plans(graph, TWO_CORES) if plan.flavour in FLAVOURS}


def exported(graph: Graph, flavour: str, out: Path) -> Plan:
    """The files in the new folder ``out``; the test is skipped without Chromium, and where the runtime cannot be had."""
    browser_exports.chromium_or_skip()
    plan = offered(graph)[flavour]
    browser_exports.lowered(graph, out, plan)
    return plan


def test_the_runtimes_are_offered_in_the_precision_of_the_graph_on_one_thread(tmp_path: Path) -> None:
    """float16 weights, which change answers by nearly a hundredth, are not a form; LiteRT.js takes one sample a call."""
    _, graph = written(CASES["conv, no padding"], tmp_path)
    found = offered(graph)
    assert {name: (plan.precision, plan.threads, plan.batch) for name, plan in found.items()} == {
        "tfjs": ("fp32", 1, None),
        "litertjs": ("fp32", 1, 1),
    }
    with pytest.raises(UsageError, match="its own precision, fp32"):
        browser.lower(graph, Plan("browser", "fp16", flavour="tfjs"), None, tmp_path)
    assert set(offered(Graph("saved_model", graph.path, graph.signature, "test"))) == {"litertjs"}


def test_what_their_arrays_cannot_hold_is_not_offered(tmp_path: Path) -> None:
    answer = TensorSpec("y", "float32", ("batch", 3))

    def offers(*inputs: TensorSpec, sizes: tuple[SizeRange, ...] = ()) -> set[str]:
        return set(offered(Graph("onnx", tmp_path, Signature(inputs, (answer,), sizes=sizes), "test")))

    assert offers(TensorSpec("x", "float32", ("batch", 4))) == set(FLAVOURS)
    assert offers(TensorSpec("x", "int64", ("batch", 4))) == {"tfjs"}
    assert offers(TensorSpec("x", "float64", ("batch", 4))) == set()
    assert offers(TensorSpec("x", "float32", ("batch", "rows")), sizes=(SizeRange("rows", (6, 8)),)) == set()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_operator_without_a_translation_is_refused_by_name(tmp_path: Path, flavour: str) -> None:
    case = Case([node("Mod", "x n", fmod=1, name="rest")], constants={"n": weights(1)})
    _, graph = written(case, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(StepFailed, match="Mod 'rest': operators of ONNX that have no translation"):
        browser.lower(graph, offered(graph)[flavour], None, out)


@pytest.mark.slow
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_network_answers_in_chromium(tmp_path: Path, flavour: str) -> None:
    """Several calls of other sizes: LiteRT.js is given one sample at a time, TensorFlow.js all of them."""
    model, graph = written(NETWORKS["an inverted-residual network"], tmp_path)
    plan = exported(graph, flavour, tmp_path / "out")
    with open_session(tmp_path / "out", graph.signature, plan) as session:
        for samples in (1, 3, 1):
            feeds = NETWORKS["an inverted-residual network"].feeds(samples)
            (wanted,) = ReferenceEvaluator(model).run(None, feeds)
            found = session.run(feeds)["y"]
            assert found.dtype == wanted.dtype and found.shape == wanted.shape
            assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.slow
def test_whole_numbers_come_back_as_the_signature_has_them_and_those_beyond_32_bits_are_refused(tmp_path: Path) -> None:
    case = Case([node("Add", "x n")], (3,), {"n": np.array([1, -2, 3], np.int64)}, "int64")
    _, graph = written(case, tmp_path)
    plan = exported(graph, "tfjs", tmp_path / "out")
    with open_session(tmp_path / "out", graph.signature, plan) as session:
        found = session.run({"x": np.array([[5, 6, -7]], np.int64)})["y"]
        assert found.dtype == np.int64 and found.tolist() == [[6, 4, -4]]
        with pytest.raises(StepFailed, match="x has numbers beyond 32 bits"):
            session.run({"x": np.array([[2**40, 0, 0]], np.int64)})


@pytest.mark.slow
def test_a_page_without_webassembly_is_not_taken_for_one_with_it(tmp_path: Path) -> None:
    """TensorFlow.js goes on in plain JavaScript: a page says so, and nothing is verified or timed that way."""
    _, graph = written(CASES["conv, no padding"], tmp_path)
    plan = exported(graph, "tfjs", tmp_path / "out")
    described = tmp_path / "out" / "model.json"
    described.write_text(described.read_text().replace(" 'wasm-unsafe-eval'", ""))
    with pytest.raises(StepFailed, match=r"WebAssembly does not start here, and TensorFlow\.js runs in plain JavaScript"):
        open_session(tmp_path / "out", graph.signature, plan)
