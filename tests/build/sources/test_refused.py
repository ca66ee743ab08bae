"""Bad input: each gets one clear sentence of the right class of error, and what to do about it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from roadworthy.build import sources
from roadworthy.build.sources import Loaded
from roadworthy.core import samples
from roadworthy.core.errors import ArchitectureMismatch, SourceError, SourceRefused, SourceUnreadable, UsageError
from support.models.networks import SmallCNN

IMAGE = "image:float32[batch,1,6,6]"
Load = Callable[..., Loaded]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"just some notes\n" * 400, "is a text file and not a model"),
        ("é".encode() * 3000, "is a text file and not a model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (bytes(range(256)) * 40, "is not a model file of a known format; known are .*.onnx"),
        (b"PK\x03\x04" + bytes(100), "cut short or damaged"),
        (b"\x80\x02}q\x00(X\x05", "cut short or damaged"),
    ],
)
def test_what_is_not_a_model(content: bytes | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(SourceUnreadable, match=says) as caught:
        sources.identify(tmp_path / "model.pt")
    assert str(tmp_path / "model.pt") in caught.value.message


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="is a directory"):
        sources.identify(tmp_path)


def test_the_kind_comes_from_the_bytes_and_never_from_the_name(net: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.save(net.state_dict(), tmp_path / "weights.safetensors")
    save_file(net.state_dict(), tmp_path / "weights.pt")
    assert sources.inspect(tmp_path / "weights.safetensors").kind == "checkpoint"
    assert sources.inspect(tmp_path / "weights.pt").kind == "safetensors"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("cifar10_resnet8.h5", "hdf5"),
        ("keyword_spotting_saved_model", "saved_model"),
        ("keyword_spotting_ds_cnn_s_tf1_frozen.pb", "graphdef"),
        ("imagenet_mobilenet_v1_025_128_uint8.tflite", "tflite"),
        ("mnist.onnx", "onnx"),
    ],
)
def test_other_frameworks_are_recognised(file: str, kind: str, real: Path) -> None:
    assert sources.inspect(real / "models" / file).kind == kind
    assert sources.identify(real / "models" / file).kind == kind


def test_a_state_dict_without_arch(net: Any, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "model.pt")
    with pytest.raises(UsageError, match=r"--arch FILE\.py:CALLABLE"):
        sources.identify(tmp_path / "model.pt")


def test_code_needs_trust(net: Any, tmp_path: Path) -> None:
    torch.save(net, tmp_path / "whole.pt")
    with pytest.raises(SourceRefused, match=r"asks for code.*net\.Net.*state_dict.*--trust"):
        sources.identify(tmp_path / "whole.pt")
    program = torch.export.export(net.eval(), (torch.randn(2, 1, 6, 6),))
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(SourceRefused, match=r"ExportedProgram.*--trust"):
        sources.identify(tmp_path / "model.pt2")
    with pytest.warns(DeprecationWarning):
        torch.jit.save(torch.jit.script(net), str(tmp_path / "model.ts"))
    with pytest.raises(SourceRefused, match=r"TorchScript.*--trust"):
        sources.identify(tmp_path / "model.ts")


def test_weights_that_do_not_fit_are_one_error_that_lists_all(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    state = net.state_dict()
    state["fcc.bias"] = state.pop("fc.bias")
    state["extra"] = torch.ones(1)
    state["conv.weight"] = torch.ones(4, 3, 3, 3)
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(ArchitectureMismatch) as caught:
        loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net")
    message = caught.value.message
    assert "missing in the file: fc.bias (nearest: fcc.bias)" in message
    assert "unexpected in the file: fcc.bias (nearest: fc.bias), extra" in message
    assert "conv.weight is float32[4, 3, 3, 3] in the file and float32[4, 1, 3, 3] in the architecture" in message


def test_a_long_mismatch_is_capped(net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save({f"layer{number}.weight": torch.ones(1) for number in range(500)}, tmp_path / "model.pt")
    with pytest.raises(ArchitectureMismatch, match="and 494 more") as caught:
        loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net")
    assert len(caught.value.message) < 2000


def test_quantised_weights_are_not_taken_for_floating_ones(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    state = net.state_dict()
    state["fc.weight"] = torch.ones(3, 4, dtype=torch.int8)
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(ArchitectureMismatch, match=r"fc\.weight is int8\[3, 4\] in the file"):
        loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net")


def test_a_checkpoint_without_weights(net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save({"epoch": 3, "loss": 0.1}, tmp_path / "model.pt")
    with pytest.raises(SourceUnreadable, match="no weights that can be found; it holds 'epoch', 'loss'"):
        loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net")


@pytest.mark.parametrize(
    ("arch", "says"),
    [
        ("{dir}/nothere.py:Net", "there is no file"),
        ("{dir}/net.py", "not of the form|does not name a callable"),
        ("{dir}/net.py:", "does not name a callable"),
        ("{dir}/net.py:Nett", "has no Nett; it has Net"),
        ("{dir}/net.py:build(5)", "literals by keyword"),
        ("{dir}/net.py:build(classes=open('x'))", "literals by keyword"),
        ("{dir}/net.py:build(depth=5)", "unexpected keyword argument 'depth'"),
        ("{dir}/net.py:wrong", "gave a str and not a torch.nn.Module"),
        ("{dir}/net.py:broken", r"net\.py, line 24: RuntimeError: no such depth: 7"),
        ("{dir}/net.py:torch", "is a module and cannot be called"),
        ("{dir}/syntax.py:Net", r"syntax\.py, line 2"),
        ("{dir}/raises.py:Net", r"raises\.py, line 1: ZeroDivisionError"),
        ("{dir}/exits.py:Net", r"exits\.py, line 1: SystemExit"),
        ("nowhere_at_all.models:Net", "ModuleNotFoundError"),
    ],
)
def test_an_architecture_that_is_not_there_or_fails(arch: str, says: str, net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save(net.state_dict(), tmp_path / "model.pt")
    (tmp_path / "syntax.py").write_text("x = 1\ndef Net(:\n")
    (tmp_path / "raises.py").write_text("1 / 0\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(1)\n")
    with pytest.raises(UsageError, match=says) as caught:
        loaded(tmp_path / "model.pt", IMAGE, arch=arch.format(dir=tmp_path))
    assert "\n" not in caught.value.message


def test_an_architecture_inside_a_package_and_one_that_is_ready(
    net: Any, net_file: Path, tmp_path: Path, loaded: Load, monkeypatch: Any
) -> None:
    package = tmp_path / "workspace" / "models"
    package.mkdir(parents=True)
    (tmp_path / "workspace" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "inner.py").write_text(net_file.read_text())
    (package / "outer.py").write_text("from .inner import Net\n")
    torch.save(net.state_dict(), tmp_path / "model.pt")
    assert loaded(tmp_path / "model.pt", IMAGE, arch=f"{package / 'outer.py'}:Net").parameters == 63
    assert loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:ready").parameters == 63
    sys.modules.pop("workspace", None)
    monkeypatch.chdir(tmp_path)
    assert loaded(tmp_path / "model.pt", IMAGE, arch="workspace.models.outer:Net(classes=3)").parameters == 63


def test_what_brings_its_own_architecture_takes_no_other(tmp_path: Path, net_file: Path) -> None:
    np.savez(tmp_path / "map.npz", weight=np.ones((4, 2)), bias=np.zeros(2))
    with pytest.raises(UsageError, match="leave --arch"):
        sources.identify(tmp_path / "map.npz", arch=f"{net_file}:Net")


def test_a_missing_input_shape_is_asked_for_with_an_example(from_module: Load) -> None:
    with pytest.raises(UsageError, match=re.escape("--input 'image:float32[batch,1,224,224]' with your own height and width")):
        from_module(SmallCNN())
    with pytest.raises(UsageError, match=re.escape("--input 'input:int64[batch,128]'")):
        from_module(nn.Sequential(nn.Embedding(10, 4), nn.Flatten()))


def test_a_wrong_input_shape_names_the_layer_and_both_shapes(from_module: Load) -> None:
    with pytest.raises(SourceError, match=r"layer 'features\.0' \(Conv2d\) got \[2, 3, 8, 8\] and wants in_channels = 1"):
        from_module(SmallCNN(), "image:float32[batch,3,8,8]")
    with pytest.raises(SourceError, match=r"layer 'classifier\.2' \(Linear\) got \[2, 512\] and wants in_features = 128"):
        from_module(SmallCNN(), "image:float32[batch,1,16,16]")


def test_data_and_input_that_contradict(from_module: Load, tmp_path: Path) -> None:
    images = samples.write(tmp_path / "s", {"image": np.zeros((7, 1, 8, 8), np.float32)})
    with pytest.raises(UsageError, match=re.escape("said to be image:float32[batch,1,9,9], and are image:float32[batch,1,8,8]")):
        from_module(SmallCNN(), "image:float32[batch,1,9,9]", samples=images)


def test_an_input_that_is_left_out(from_module: Load) -> None:
    with pytest.raises(UsageError, match="forward takes input1, input2"):
        from_module(nn.Bilinear(2, 3, 4), "input1:float32[batch,2]")


def test_an_output_of_changing_shape(from_module: Load) -> None:
    class Square(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ x.T

    with pytest.raises(SourceError, match="only its first dimension may follow the batch"):
        from_module(Square(), "x:float32[batch,4]")


def test_a_live_object_that_is_no_module(from_module: Load) -> None:
    with pytest.raises(UsageError, match="dict is not a model of PyTorch, Keras or TensorFlow"):
        from_module({})


def test_a_module_that_cannot_be_kept(from_module: Load) -> None:
    import threading

    model = SmallCNN()
    model.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(SourceError, match="cannot be written to a file"):
        from_module(model)


def test_a_linear_map_of_other_arrays(tmp_path: Path, loaded: Load) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(3))
    with pytest.raises(SourceError, match="a linear map has weight and bias"):
        loaded(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", weight=np.ones((3, 2)), bias=np.ones(3))
    with pytest.raises(SourceError, match="floating weight"):
        loaded(tmp_path / "b.npz")
