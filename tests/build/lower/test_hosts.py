"""What each kind of CPU is offered: every pretended host with 1, 2 and 64 cores, from no features at all to AMX and 64-bit ARM."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from roadworthy.build import lower
from roadworthy.build.lower import aotinductor
from roadworthy.build.package import features
from roadworthy.core import registry
from roadworthy.core.host import Host
from roadworthy.core.stages import PINNED, Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from support.files import onnx_files

IMAGE = Signature((TensorSpec("image", "float32", (BATCH, 3, 8, 8)),), (TensorSpec("y", "float32", (BATCH, 4)),))
FORMS = {"onnx": onnx_files.SIGNATURE, "module": IMAGE, "pt2": IMAGE, "jit": IMAGE, "graphdef": IMAGE, "keras": IMAGE}
FOLDER = tempfile.TemporaryDirectory()
"""A lowering may look into an ONNX file: what it holds decides whether a plan is worth a try."""
onnx_files.linear(Path(FOLDER.name, "graph.onnx"))
GRAPHS = tuple(Graph(form, Path(FOLDER.name, f"graph.{form}"), signature, "by hand") for form, signature in FORMS.items())  # type: ignore[arg-type]


def offered(graph: Graph, host: Host) -> list[Plan]:
    """What all lowerings that take the graph plan for it."""
    lowerings = [registry.lowering(name) for name in registry.names(registry.LOWERINGS)]
    return [plan for one in lowerings if graph.format in one.ACCEPTS for plan in one.plans(graph, host)]


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.format)
def test_plans_are_distinct_keep_to_the_cores_and_to_what_the_cpu_computes_in(any_host: Host, graph: Graph) -> None:
    plans = offered(graph, any_host)
    assert len({plan.name for plan in plans}) == len(plans)
    assert {plan.threads for plan in plans} <= {1, any_host.cores}
    assert any_host.cores > 1 or not any(plan.spin for plan in plans)
    bf16 = any_host.has("avx512_bf16") or any_host.has("amx_bf16")
    assert bf16 or not any(plan.precision == "bf16" for plan in plans)
    assert any_host.has("avx512_fp16") or not any(plan.precision == "fp16" for plan in plans)
    if bf16 and graph.format in ("onnx", "module", "pt2"):
        assert any(plan.precision == "bf16" for plan in plans)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.format)
def test_what_is_offered_in_float32_depends_on_the_cores_alone(any_host: Host, graph: Graph) -> None:
    """Whatever a CPU of that architecture has, this is there: tests that ask for it by its precision run everywhere."""
    bare = replace(any_host, features=())
    least = [plan for plan in offered(graph, bare) if plan.precision == "fp32"]
    assert [plan for plan in offered(graph, any_host) if plan.precision == "fp32"] == least


def test_int8_keeps_to_7_bits_exactly_where_8_would_saturate(any_host: Host) -> None:
    saturates = any_host.architecture == "x86_64" and not (any_host.has("avx512_vnni") or any_host.has("avx_vnni"))
    for name in ("onnxruntime", "openvino"):
        plans = [plan for plan in registry.lowering(name).plans(GRAPHS[0], any_host) if plan.precision == "int8"]
        assert plans and {lower.NARROW in plan.flavour.split("-") for plan in plans} == {saturates}


def test_signed_activations_are_for_arm_alone_and_there_are_few_plans(any_host: Host) -> None:
    plans = list(registry.lowering("onnxruntime").plans(GRAPHS[0], any_host))
    int8 = [plan for plan in plans if plan.precision == "int8"]
    assert {"signed" in plan.flavour.split("-") for plan in int8} == {any_host.architecture == "aarch64"}
    assert [sum(word in plan.flavour.split("-") for plan in int8) for word in ("percentile", "mixed")] == [2, 1]
    assert len(plans) <= 8 and any(plan.spin for plan in int8) == (any_host.cores > 1)


def test_a_variant_asks_for_the_feature_that_its_precision_needs(any_host: Host) -> None:
    for plan in (plan for graph in GRAPHS for plan in offered(graph, any_host)):
        needed = features(plan, any_host, native=False)
        assert set(needed) <= set(any_host.features)
        assert bool(needed) == (plan.precision in ("bf16", "fp16") or "bf16" in plan.options)


def test_openvino_tries_the_most_promising_int8_first_and_few_plans_in_all(any_host: Host) -> None:
    plans = list(registry.lowering("openvino").plans(GRAPHS[0], any_host))
    int8 = [plan for plan in plans if plan.precision == "int8"]
    first, bf16 = int8[0], any_host.has("avx512_bf16") or any_host.has("amx_bf16")
    assert (first.batch, first.threads, first.options) == (1, any_host.cores, ("bf16",) if bf16 else ())
    assert ("int8" in {plan.precision for plan in plans if not plan.options}) and any(plan.batch is None for plan in int8)
    assert [plan.flavour.partition("-")[0] for plan in int8[-2:]] == ["mixed", "sensitive"]
    assert len(plans) <= 13 + 2 * any_host.has("avx512_fp16")
    # All that differ in options or threads alone are the same files.
    assert len({plan.artefact for plan in int8}) == 4


def test_pinned_threads_are_for_a_whole_machine(any_host: Host) -> None:
    def pinned(host: Host) -> list[Plan]:
        return [plan for plan in registry.lowering("openvino").plans(GRAPHS[0], host) if PINNED in plan.options]

    assert {plan.threads for plan in pinned(any_host)} == ({any_host.cores} if any_host.cores > 1 else set())
    assert not pinned(replace(any_host, machine_cores=any_host.cores + 1))


@pytest.mark.parametrize("masked", [False, True])
def test_machine_code_asks_for_no_more_than_it_was_compiled_for(any_host: Host, masked: bool) -> None:
    settings, needed = aotinductor._target(any_host, masked=masked)
    assert set(needed) <= set(any_host.features)
    if masked and any_host.has("sse4_2"):
        # "Native" would be the machine that the mask hides.
        assert settings["cpp.march"].startswith("x86-64-v")
        assert not set(needed) - {"sse4_2", "avx2", "fma", "f16c"}
    if not settings:
        assert needed == any_host.features


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_runtime_for_every_cpu_is_planned_for_on_every_host(any_host: Host, precision: str) -> None:
    planned = lower.plans_for(GRAPHS[:1], any_host, runtimes=("onnxruntime",), precisions=(precision,), calibrated=True)
    assert planned.plans and {plan.precision for plan, _ in planned.plans} == {precision} and not planned.unavailable


def test_only_a_compiler_takes_long_to_make_a_candidate() -> None:
    """The search puts such plans off, and leaves them out of a short time budget: a module's own time limit is not that figure."""
    slow = [name for name in registry.names(registry.LOWERINGS) if lower.seconds_to_make(Plan(name))]
    assert slow == ["aotinductor", "generated_cpp"]
