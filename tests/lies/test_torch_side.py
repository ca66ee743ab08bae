"""Silent wrong results of torch's own runtimes: each is provoked with bare torch, then refused, avoided or named here."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from roadworthy.build.lower import LowerRequest, _aotinductor_package, _pt2e, aotinductor, lower
from roadworthy.build.sources import identify
from roadworthy.core import host, samples
from roadworthy.core.errors import SourceRefused, StepFailed
from roadworthy.core.isolation import isolate
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.runtimes import _cpu_features, open_session
from support.models import torch_models
from support.models.torch_models import SIGNATURE, Opening, as_program, by_hand, colour, exported, images

pytestmark = pytest.mark.slow

COMPILED = Plan("aotinductor", threads=2)


# 10: a .pt2 can run code when it is loaded.


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return Path.touch, (self.marker,)


def hostile(path: Path, marker: Path) -> Path:
    """A program of ours with one weight replaced by a pickle, and marked as one."""
    honest, weight = io.BytesIO(), io.BytesIO()
    torch.export.save(exported(colour(), torch.randn(2, 3, 8, 8)), honest)
    torch.save(Payload(marker), weight)
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        listing = next(name for name in source.namelist() if name.endswith("model_weights_config.json"))
        config = json.loads(source.read(listing))
        victim = next(iter(config["config"].values()))
        victim["use_pickle"] = True
        changed = {
            listing: json.dumps(config).encode(),
            listing.replace("model_weights_config.json", victim["path_name"]): weight.getvalue(),
        }
        for entry in source.infolist():
            target.writestr(entry, changed.get(entry.filename, source.read(entry)))
    return path


def test_a_program_that_runs_code_is_refused_before_anything_reads_it(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = hostile(tmp_path / "model.pt2", marker)
    with pytest.raises(SourceRefused, match="ExportedProgram"):
        identify(path)
    assert not marker.exists()
    with pytest.raises(Exception):  # noqa: B017  (whatever torch says once the payload has run)
        torch.export.load(path)
    assert marker.exists()


# 11: a candidate that crashes its process costs that candidate.


def test_a_candidate_that_segfaults_costs_one_candidate(tmp_path: Path) -> None:
    model = tmp_path / _aotinductor_package.MEMBERS
    model.mkdir(parents=True)
    (model / "model_metadata.json").write_text('{"AOTI_DEVICE_KEY": "cpu"}')
    (tmp_path / "crash.c").write_text("#include <signal.h>\n__attribute__((constructor)) static void crash(void) { raise(SIGSEGV); }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", model / "model.so", tmp_path / "crash.c"], check=True)
    _cpu_features.write(tmp_path, ())
    with pytest.raises(StepFailed, match="crashed with SIGSEGV") as caught:
        isolate.call(torch_models.answer, Opening(tmp_path, COMPILED))
    assert "\n" not in caught.value.message


# 12: the int8 quantiser looks for marks that only a strict export leaves, and may find nothing and say nothing.


class Scaled(nn.Conv2d):
    """A custom layer, as many users have."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * 2


def quantised(module: torch.fx.GraphModule, example: Tensor) -> int:
    """How many operators the quantiser, left to itself, puts between integers and floats."""
    with warnings.catch_warnings():
        # Imported and used, torchao and torch say much of each other that is old.
        warnings.simplefilter("ignore")
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

        quantizer = x86.X86InductorQuantizer()
        quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
        prepared = prepare_pt2e(module, quantizer)
        prepared(example)
        return sum("quantize_per" in str(node.target) for node in convert_pt2e(prepared).graph.nodes)


@pytest.fixture
def example() -> Tensor:
    return torch.tensor(images(2))


def test_bare_quantisation_fails_or_is_silently_none(example: Tensor) -> None:
    with pytest.raises(ValueError, match="more than one output node"):
        quantised(exported(colour(), example).module(check_guards=False), example)
    strict = quantised(exported(colour(), example, strict=True).module(check_guards=False), example)
    own = nn.Sequential(Scaled(3, 4, 3), nn.Flatten(), nn.Flatten()).eval()
    assert quantised(exported(own, example).module(check_guards=False), example) == 0
    again = exported(exported(colour(), example).module(check_guards=False), example, strict=True)
    assert quantised(again.module(check_guards=False), example) == 0
    assert strict > 0


def test_our_route_quantises_what_any_export_gave(example: Tensor) -> None:
    ours = [
        quantised(_pt2e.with_sources(exported(colour(), example, strict=strict).module(check_guards=False)), example)
        for strict in (False, True)
    ]
    assert ours[0] == ours[1] == quantised(exported(colour(), example, strict=True).module(check_guards=False), example)
    own = nn.Sequential(Scaled(3, 4, 3), nn.Flatten(), nn.Flatten()).eval()
    assert quantised(_pt2e.with_sources(exported(own, example).module(check_guards=False)), example) > 0


@pytest.mark.soak
def test_an_int8_candidate_computes_in_int8(tmp_path: Path) -> None:
    module, plan = colour(), Plan("aotinductor", "int8", threads=2)
    calibration = samples.write(tmp_path / "samples", {"image": images(64)})
    candidate = isolate.call(lower, LowerRequest(as_program(module, tmp_path), plan, calibration, tmp_path / "out"))
    library = (candidate.path / _aotinductor_package.MEMBERS / "model.so").read_bytes()
    assert b"aoti_torch_cpu__qconv" in library
    with open_session(candidate.path, SIGNATURE, plan) as session:
        x = images(16, seed=2)
        expected = by_hand(module, x)
        error = np.abs(session.run({"image": x})["logits"] - expected).max() / np.abs(expected).max()
    assert 1e-4 < error < 0.2


# An image of one channel is in order for channels first and for channels last alike. Where the number of samples is free, the compiler
# takes the answer of a convolution of it for channels first, which is true in float32; in int8 the channels come last.


class Grey(nn.Sequential):
    """float32 [n, 1, 8, 8] to [n, 5]; the answer of the first convolution is read by a second one."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 5)
        )


GREY = Signature((TensorSpec("image", "float32", ("batch", 1, 8, 8)),), SIGNATURE.outputs)


def int8_error(folder: Path) -> float:
    """The largest error of a model of one channel in int8, relative to its largest answer."""
    torch.manual_seed(0)
    module, plan, x = Grey().eval(), Plan("aotinductor", "int8", threads=2), images(64)[:, :1]
    calibration = samples.write(folder / "samples", {"image": x})
    torch.export.save(exported(module, torch.tensor(x[:2])), folder / "grey.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        candidate = lower(LowerRequest(Graph("pt2", folder / "grey.pt2", GREY, "test"), plan, calibration, folder / "out"))
    assert b"aoti_torch_cpu__qconv" in (candidate.path / _aotinductor_package.MEMBERS / "model.so").read_bytes(), (
        "the second one is in int8"
    )
    with open_session(candidate.path, GREY, plan) as session:
        expected = by_hand(module, x)
        return float(np.abs(session.run({"image": x})["logits"] - expected).max() / np.abs(expected).max())


@pytest.mark.soak
def test_bare_int8_of_one_channel_answers_wrongly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pt2e, "of_one_channel", lambda node: False)
    assert int8_error(tmp_path) > 0.3


@pytest.mark.soak
def test_int8_of_one_channel_answers_rightly(tmp_path: Path) -> None:
    assert 1e-4 < int8_error(tmp_path) < 0.1


# 14: compiled code takes the strides of its example on trust.


class Scale(nn.Module):
    """Pixels to -1..1, by a kernel that the compiler writes."""

    def forward(self, image: Tensor) -> Tensor:
        return (image - 0.5) * 2


@pytest.mark.soak
def test_compiled_code_reads_other_strides_wrongly_and_ours_does_not(tmp_path: Path) -> None:
    module, x = nn.Sequential(Scale(), colour()).eval(), images(3)
    graph = as_program(module, tmp_path, channels_last=True)
    transposed = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not transposed.flags.c_contiguous
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.load(graph.path)
        settings, _ = aotinductor._target(host.this_host(), masked=False)
        _aotinductor_package._compile(program, settings, tmp_path)
        bare = torch._C._aoti.AOTIModelPackageLoader(str(tmp_path), "model", True, 1, -1)
    expected = by_hand(module, x)
    wrong = bare.boxed_run([torch.tensor(x)])[0].numpy()
    assert np.abs(wrong - expected).max() > 0.05
    assert np.allclose(bare.boxed_run([torch.from_numpy(transposed)])[0].numpy(), expected, atol=1e-5)
    del bare

    candidate = isolate.call(lower, LowerRequest(graph, COMPILED, None, tmp_path / "out"))
    with open_session(candidate.path, SIGNATURE, COMPILED) as session:
        for feed in (x, transposed):
            assert np.allclose(session.run({"image": feed})["logits"], expected, atol=1e-5)
        # The inner session too, without the checks of ``open_session``.
        assert np.allclose(session.inner.run({"image": transposed})["logits"], expected, atol=1e-5)
    shutil.rmtree(candidate.path)
