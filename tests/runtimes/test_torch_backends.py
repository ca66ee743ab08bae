"""The runtimes that answer with torch: exact where they say so, honest where they do not, and without traces."""

from __future__ import annotations

import os
import subprocess
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from roadworthy.build.lower import LowerRequest, _aotinductor_package, lower
from roadworthy.core import codec, cpu_mask, registry, samples
from roadworthy.core.errors import BackendMissing, EnvironmentFault, StepFailed, UsageError
from roadworthy.core.host import Host, this_host
from roadworthy.core.isolation import isolate
from roadworthy.core.stages import Candidate, Graph, Plan, Precision
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.runtimes import _cpu_features, open_session
from support import hosts
from support.models import torch_models
from support.models.torch_models import SIGNATURE, Opening, as_module, as_program, as_script, by_hand, colour, images

pytestmark = pytest.mark.slow

EAGER, SCRIPT, COMPILED = Plan("pytorch"), Plan("torchscript", flavour="frozen"), Plan("aotinductor")


def host(*features: str) -> Host:
    return replace(this_host(), features=features, cores=2)


# Eager PyTorch


def test_the_reference_is_the_module_to_the_last_bit(tmp_path: Path) -> None:
    module, x = colour(), images(5)
    with open_session(as_module(module, tmp_path).path, SIGNATURE, EAGER) as session:
        torch.set_num_threads(1)
        assert np.array_equal(session.run({"image": x})["logits"], by_hand(module, x))


def test_the_reference_runs_a_captured_program(tmp_path: Path) -> None:
    module, x = colour(), images(3)
    with open_session(as_program(module, tmp_path).path, SIGNATURE, EAGER) as session:
        assert np.allclose(session.run({"image": x})["logits"], by_hand(module, x), atol=1e-6)


def test_read_only_feeds_are_taken_and_answers_keep_their_values(tmp_path: Path) -> None:
    x = images(2)
    x.flags.writeable = False
    with open_session(as_module(colour(), tmp_path).path, SIGNATURE, EAGER) as session:
        first = session.run({"image": x})["logits"]
        kept = first.copy()
        session.run({"image": images(2, seed=1)})
        assert np.array_equal(first, kept)


class InPlace(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.mul_(0).flatten(1)[:, :5] + 1


def test_a_model_that_works_in_place_leaves_the_callers_array_alone(tmp_path: Path) -> None:
    x = images(2)
    kept = x.copy()
    with open_session(as_module(InPlace(), tmp_path).path, SIGNATURE, EAGER) as session:
        session.run({"image": x})
    assert np.array_equal(x, kept)


def test_double_precision_is_for_the_tolerance(tmp_path: Path) -> None:
    module, x = colour(), images(4)
    graph = as_module(module, tmp_path)
    with open_session(graph.path, SIGNATURE, replace(EAGER, precision="fp64")) as session:
        found = session.run({"image": x})["logits"]
    assert found.dtype == np.float64
    assert 0 < np.abs(found - by_hand(module, x)).max() < 1e-5


def test_bf16_is_not_float32_and_float32_is_never_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = colour(), images(4)
    graph, expected = as_module(module, tmp_path), by_hand(module, x)
    with open_session(graph.path, SIGNATURE, replace(EAGER, precision="bf16")) as session:
        found = session.run({"image": x})["logits"]
    assert found.dtype == np.float32
    assert 1e-4 < np.abs(found - expected).max() < 5e-2
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    for kind in (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv):
        kind.fp32_precision = "bf16"
    torch.set_float32_matmul_precision("medium")
    open_session(graph.path, SIGNATURE, EAGER).close()
    assert "ONEDNN_DEFAULT_FPMATH_MODE" not in os.environ
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.mkldnn.matmul.fp32_precision == torch.backends.mkldnn.conv.fp32_precision == "ieee"


def test_another_layout_gives_the_same_answers(tmp_path: Path) -> None:
    module, x = colour(), images(3)
    plan = replace(EAGER, flavour="channels_last")
    candidate = lower(LowerRequest(as_module(module, tmp_path), plan, None, tmp_path / "out"))
    with open_session(candidate.path, SIGNATURE, plan) as session:
        assert np.allclose(session.run({"image": x})["logits"], by_hand(module, x), atol=1e-6)


def test_a_failure_of_the_model_is_one_sentence(tmp_path: Path) -> None:
    narrow = Signature((TensorSpec("image", "float32", ("batch", 1, 8, 8)),), SIGNATURE.outputs)
    with open_session(as_module(colour(), tmp_path).path, narrow, EAGER) as session:
        with pytest.raises(StepFailed, match="the model failed on this input") as caught:
            session.run({"image": images(2)[:, :1]})
        assert "\n" not in caught.value.message


def test_outputs_that_the_signature_does_not_know_are_named(tmp_path: Path) -> None:
    two = Signature(SIGNATURE.inputs, (*SIGNATURE.outputs, TensorSpec("more", "float32", ("batch", 5))))
    with open_session(as_module(colour(), tmp_path).path, two, EAGER) as session, pytest.raises(StepFailed, match="1 outputs where"):
        session.run({"image": images(2)})


# TorchScript


@pytest.mark.parametrize("flavour", ["frozen", "optimized"])
def test_a_frozen_script_gives_the_same_answers(tmp_path: Path, flavour: str) -> None:
    module, plan = colour(), replace(SCRIPT, flavour=flavour)
    candidate = lower(LowerRequest(as_script(module, tmp_path), plan, None, tmp_path / "out"))
    with open_session(candidate.path, SIGNATURE, plan) as session:
        for count in (1, 4, 2):
            x = images(count)
            assert np.allclose(session.run({"image": x})["logits"], by_hand(module, x), atol=1e-5)


class Counting(nn.Module):
    """Answers with the number of its calls, and fails on zeros where it is told to."""

    def __init__(self, strict: bool) -> None:
        super().__init__()
        self.strict = strict
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        if self.strict and bool((image == 0).all()):
            raise ValueError("an empty image")
        self.calls += 1
        return image.flatten(1)[:, :5] * 0 + self.calls


@pytest.mark.parametrize(("strict", "calls"), [(False, 4), (True, 1)])
def test_the_slow_first_calls_are_not_left_to_a_request(tmp_path: Path, strict: bool, calls: int) -> None:
    graph = as_script(Counting(strict), tmp_path)
    with open_session(graph.path, SIGNATURE, Plan("torchscript")) as session:
        assert session.run({"image": images(1)})["logits"][0, 0] == calls


# AOTInductor


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    folder = tmp_path_factory.mktemp("compiled")
    return isolate.call(lower, LowerRequest(as_program(colour(), folder), COMPILED, None, folder / "out"))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_compiled_code_gives_the_same_answers(compiled: Candidate, count: int) -> None:
    x = images(count)
    with open_session(compiled.path, SIGNATURE, COMPILED) as session:
        found = session.run({"image": x})["logits"]
        kept = found.copy()
        session.run({"image": images(count, seed=1)})
    assert np.array_equal(found, kept)
    assert np.allclose(found, by_hand(colour(), x), atol=1e-5)


def test_a_candidate_is_the_library_and_nothing_of_the_compiler(compiled: Candidate) -> None:
    found = {path.relative_to(compiled.path).as_posix() for path in compiled.path.rglob("*") if path.is_file()}
    model = "data/aotinductor/model/model"
    assert found == {f"{model}.so", f"{model}_metadata.json", "needs.json"}


def test_a_session_unpacks_nothing(compiled: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The loader of a packed .pt2 leaves a copy of the library in the temporary directory of a process that is killed.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    found = isolate.call(torch_models.answer, Opening(compiled.path, COMPILED))
    assert found.temporary == ()
    assert not any(tmp_path.iterdir())


def test_a_lesser_cpu_is_told_and_does_not_crash(compiled: Candidate, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(compiled.path / "data")
    _cpu_features.write(tmp_path, ("avx2", "avx4096"))
    with pytest.raises(EnvironmentFault, match="avx4096"):
        open_session(tmp_path, SIGNATURE, COMPILED)
    (tmp_path / _cpu_features.NAME).unlink()
    with pytest.raises(StepFailed, match=r"needs\.json"):
        open_session(tmp_path, SIGNATURE, COMPILED)


def test_what_a_candidate_needs_is_what_this_cpu_has(compiled: Candidate) -> None:
    needs = codec.from_json(_cpu_features.Needs, (compiled.path / _cpu_features.NAME).read_bytes())
    assert needs.features
    assert this_host().has(*needs.features)


def test_without_a_compiler_the_sentence_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/g++")
    lowering = registry.lowering("aotinductor")
    assert "g++" in lowering.unavailable(host())["fp32"]  # type: ignore[attr-defined]
    with pytest.raises(BackendMissing, match=r"g\+\+"):
        lower(LowerRequest(Graph("pt2", tmp_path / "graph.pt2", SIGNATURE, "export"), COMPILED, None, tmp_path / "out"))
    assert not any((tmp_path / "out").iterdir())


class Nothing(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1)[:, :5].tanh()


def test_int8_that_would_be_float32_is_refused(tmp_path: Path) -> None:
    plan = replace(COMPILED, precision="int8")
    calibration = samples.write(tmp_path / "samples", {"image": images(8)})
    with pytest.raises(StepFailed, match="nothing to quantise"):
        isolate.call(lower, LowerRequest(as_program(Nothing(), tmp_path), plan, calibration, tmp_path / "out"))


class Wide(nn.Module):
    """float32 [n, 65536] to [n, 65536], by one loop that is worth several threads."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(image) * 2 - 1


def test_code_for_one_sample_leaves_the_number_of_threads_to_the_plan(tmp_path: Path) -> None:
    """It is compiled where torch has one thread, and may still use all that a plan gives it."""
    wide = Signature(*((TensorSpec(name, "float32", ("batch", 65536)),) for name in ("image", "logits")))
    module, plan = Wide().eval(), replace(COMPILED, batch=1)
    torch.export.save(torch_models.exported(module, torch.zeros(2, 65536)), tmp_path / "wide.pt2")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(action="ignore"):
            candidate = lower(LowerRequest(Graph("pt2", tmp_path / "wide.pt2", wide, "test"), plan, None, tmp_path / "out"))
    finally:
        torch.set_num_threads(threads)
    x = np.random.default_rng(0).standard_normal((3, 65536), dtype=np.float32)
    for count in (1, 2):
        with open_session(candidate.path, wide, replace(plan, threads=count)) as session:
            assert np.allclose(session.run({"image": x})["logits"], by_hand(module, x), atol=1e-5)
    code = (candidate.path / _aotinductor_package.MEMBERS / "model.so").read_bytes()
    assert (b"GOMP_parallel" in code) == ((os.cpu_count() or 1) > 1)


# All of them


@pytest.mark.parametrize(
    ("runtime", "precision", "flavour", "spin"),
    [
        ("pytorch", "fp16", "", False),
        ("pytorch", "fp32", "frozen", False),
        ("pytorch", "fp32", "", True),
        ("torchscript", "bf16", "frozen", False),
        ("torchscript", "fp32", "channels_last", False),
        ("aotinductor", "fp64", "", False),
        ("aotinductor", "fp32", "b1", False),
    ],
)
def test_a_plan_that_would_become_another_is_refused(tmp_path: Path, runtime: str, precision: Precision, flavour: str, spin: bool) -> None:
    with pytest.raises(UsageError, match=f"{runtime} (has no|cannot be told)"):
        open_session(tmp_path, SIGNATURE, Plan(runtime, precision, flavour=flavour, spin=spin))


@pytest.mark.parametrize("plan", [EAGER, SCRIPT])
def test_a_file_that_is_no_model_is_one_sentence(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "module.pt"
    path.write_bytes(b"not a model")
    with pytest.raises(StepFailed, match=r"module\.pt does not load as") as caught:
        open_session(path, SIGNATURE, plan)
    assert "\n" not in caught.value.message


def test_plans_hold_what_the_cpu_can_do() -> None:
    graph = Graph("module", Path("module.pt"), SIGNATURE, "as it is")

    def offered(runtime: str, *features: str) -> list[str]:
        return [plan.name for plan in registry.lowering(runtime).plans(graph, host(*features))]

    assert offered("pytorch", "avx2") == ["pytorch-fp32-channels_last-t2"]
    assert offered("pytorch", "avx512_bf16") == ["pytorch-fp32-channels_last-t2", "pytorch-bf16-channels_last-t2"]
    assert offered("torchscript") == ["torchscript-fp32-frozen-t2", "torchscript-fp32-optimized-t2"]
    floats = ["aotinductor-fp32-t2", "aotinductor-fp32-b1-t2", "aotinductor-fp32-b1-t1"]
    narrow = [name.replace("fp32", "bf16") for name in floats]
    assert offered("aotinductor", "avx2") == [*floats, "aotinductor-int8-t2"]
    assert offered("aotinductor", "amx_bf16") == [*floats, *narrow, "aotinductor-int8-t2"]


@pytest.mark.skipif(hosts.true_host().architecture != "x86_64" or not hosts.has("avx2"), reason="a mask needs something to hide")
def test_under_a_mask_the_code_is_for_the_lesser_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled on a CPU with AVX2 for one without: no register of 256 bits in it, and what it asks of a CPU says so."""
    monkeypatch.setenv(cpu_mask.MASK, "sse4_2")
    candidate = isolate.call(lower, LowerRequest(as_program(colour(), tmp_path), COMPILED, None, tmp_path / "out"))
    assert codec.from_json(_cpu_features.Needs, (candidate.path / _cpu_features.NAME).read_bytes()).features == ("sse4_2",)
    code = subprocess.run(
        ["objdump", "-d", candidate.path / _aotinductor_package.MEMBERS / "model.so"], capture_output=True, text=True, check=True
    )
    assert "xmm" in code.stdout and "ymm" not in code.stdout
    with open_session(candidate.path, SIGNATURE, COMPILED) as session:
        assert np.allclose(session.run({"image": images(3)})["logits"], by_hand(colour(), images(3)), atol=1e-5)
