"""Checkpoints as trainers write them: the network's weights are found, what only training uses is left out, and a choice can be named."""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from roadworthy.build import sources
from roadworthy.build.sources import Loaded
from roadworthy.core.errors import ArchitectureMismatch, SourceRefused, UsageError
from roadworthy.frameworks.torch import module as torch_module

IMAGE = "image:float32[batch,1,6,6]"
Load = Callable[..., Loaded]


def wrapped(state: Any, prefix: str) -> dict[str, Any]:
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def moved(state: Any) -> dict[str, Any]:
    """Other weights of the same names."""
    return OrderedDict((name, tensor + 1) for name, tensor in state.items())


def answers_like(result: Loaded, net: Any) -> bool:
    kept, x = torch_module.load(result.graph.path), torch.randn(3, 1, 6, 6)
    with torch.no_grad():
        return torch.allclose(kept(x)[0], net.eval()(x), atol=1e-5)


class Accuracy(nn.Module):
    """A metric with a state, as torchmetrics keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("tp", torch.zeros(3))


class Settings(dict[str, Any]):
    """A dictionary of a class of its own, as configuration libraries make them."""


class History(list[float]):
    """A list of a class of its own."""


SHAPES: dict[str, Callable[[Any], Any]] = {
    "lightning": lambda state: {
        "epoch": 3,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {**wrapped(state, "model."), "criterion.weight": torch.ones(3), "val_acc.tp": torch.zeros(3)},
        "hyper_parameters": {"lr": 0.1},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(4, 1, 3, 3)}}}],
    },
    "class weights beside the network": lambda state: {**wrapped(state, "net."), "class_weights": torch.ones(3)},
    "a loss's own head": lambda state: {**state, "arcface.weight": torch.ones(3, 4), "loss_fn.centers": torch.ones(3, 4)},
    "an unusual name": lambda state: {"params_of_generator": state, "log": [0.1]},
    "a tuple with the optimiser": lambda state: (state, {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(4, 1, 3, 3)}}}),
    "a contrastive encoder": lambda state: {"state_dict": wrapped(state, "module.encoder_q.")},
    "compiled parts": lambda state: {name.replace("conv.", "conv._orig_mod."): tensor for name, tensor in state.items()},
    "nested dictionaries": lambda state: {
        "conv": {"weight": state["conv.weight"], "bias": state["conv.bias"]},
        **{name: tensor for name, tensor in state.items() if not name.startswith("conv.")},
    },
    "names of old releases": lambda state: {
        {"bn.weight": "bn.gamma", "bn.bias": "bn.beta"}.get(name, name): tensor for name, tensor in state.items()
    },
    "an optimiser among the weights": lambda state: {**state, "optimizer": {"state": {0: {"exp_avg": torch.ones(4, 1, 3, 3)}}}},
    "the same weights twice": lambda state: {"last": state, "best": state},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_the_network_is_found_in_what_trainers_write(shape: str, net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save(SHAPES[shape](net.state_dict()), tmp_path / "model.pt")
    assert answers_like(loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net"), net)


def test_what_was_left_out_is_said(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save(SHAPES["lightning"](net.state_dict()), tmp_path / "model.ckpt")
    notes = " | ".join(loaded(tmp_path / "model.ckpt", IMAGE, arch=f"{net_file}:Net").notes)
    assert "holds criterion.weight, val_acc.tp; the architecture does not have these, and they were left out" in notes
    assert "the prefix 'model.' was removed" in notes and "exp_avg" not in notes


def test_a_layer_beside_the_network_is_no_part_of_training(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    """A second stage that the architecture lacks would change the answer: the user says that it is not wanted."""
    torch.save({**wrapped(net.state_dict(), "backbone."), "head.weight": torch.ones(5, 3)}, tmp_path / "model.pt")
    with pytest.raises(ArchitectureMismatch, match=r"head\.weight.*--weights backbone") as caught:
        loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net")
    assert "pass the --arch that uses them" in caught.value.message
    assert answers_like(loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net", weights="backbone"), net)


def test_a_dictionary_that_is_named_may_hold_another_layer_too(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    ema = {**wrapped(net.state_dict(), "net."), "decoder.weight": torch.ones(5, 3)}
    torch.save({"model": moved(net.state_dict()), "ema_state_dict": ema}, tmp_path / "two.pt")
    with pytest.raises(ArchitectureMismatch, match=r"decoder\.weight.*--weights ema_state_dict\.net"):
        loaded(tmp_path / "two.pt", IMAGE, arch=f"{net_file}:Net", weights="ema_state_dict")
    assert answers_like(loaded(tmp_path / "two.pt", IMAGE, arch=f"{net_file}:Net", weights="ema_state_dict.net"), net)


def test_names_that_only_hold_the_letters_of_an_average(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save({"semantic": net.state_dict(), "ema": moved(net.state_dict())}, tmp_path / "model.pt")
    assert answers_like(loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net"), net)


def test_a_deeper_network_is_not_cut_to_the_architecture(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save({**net.state_dict(), "fc2.weight": torch.ones(3, 3), "fc2.bias": torch.ones(3)}, tmp_path / "model.pt")
    with pytest.raises(ArchitectureMismatch, match=r"unexpected in the file: fc2\.weight"):
        loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net")


def test_trained_weights_come_before_their_average_and_either_can_be_named(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save({"ema_state_dict": moved(net.state_dict()), "model": net.state_dict()}, tmp_path / "both.pt")
    plain = loaded(tmp_path / "both.pt", IMAGE, arch=f"{net_file}:Net")
    assert answers_like(plain, net)
    assert plain.notes == (
        "the weights were taken from 'model'; the file also has weights in 'ema_state_dict': --weights ema_state_dict takes those",
    )
    chosen = loaded(tmp_path / "both.pt", IMAGE, arch=f"{net_file}:Net", weights="ema_state_dict")
    assert not answers_like(chosen, net) and "the weights were taken from 'ema_state_dict'" in chosen.notes
    with pytest.raises(
        UsageError, match=r"'ema_state'; its tensors' names begin with 'ema_state_dict', 'model'; did you mean --weights ema_st"
    ):
        sources.identify(tmp_path / "both.pt", arch=f"{net_file}:Net", weights="ema_state")
    count = len(net.state_dict())
    assert f"tensors by dictionary: 'ema_state_dict' ({count}), 'model' ({count})" in sources.inspect(tmp_path / "both.pt").notes


@pytest.mark.parametrize(
    "shape",
    [
        lambda state: {"student": wrapped(state, "module."), "teacher": wrapped(moved(state), "module.")},
        lambda state: {"state_dict": {**wrapped(state, "student."), **wrapped(moved(state), "teacher.")}},
    ],
)
def test_equal_sets_are_asked_about(shape: Any, net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save(shape(net.state_dict()), tmp_path / "two.pt")
    with pytest.raises(UsageError, match=r"2 sets of weights.*student.*teacher.*--weights ") as caught:
        loaded(tmp_path / "two.pt", IMAGE, arch=f"{net_file}:Net")
    suggested = caught.value.message.rpartition("--weights ")[2]
    assert answers_like(loaded(tmp_path / "two.pt", IMAGE, arch=f"{net_file}:Net", weights=suggested), net)


def test_one_of_two_networks_is_found_by_the_architecture(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    other = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).state_dict()
    torch.save({"discriminator": other, "generator": net.state_dict()}, tmp_path / "gan.pt")
    assert answers_like(loaded(tmp_path / "gan.pt", IMAGE, arch=f"{net_file}:Net"), net)


BESIDE: dict[str, Callable[[], Any]] = {
    "arguments": lambda: argparse.Namespace(lr=0.1, path=pathlib.Path("a")),
    "a NumPy number": lambda: np.float64(0.9),
    "an array": lambda: np.zeros(3),
    "a date": lambda: datetime.datetime(2024, 1, 1),
    "a metric": Accuracy,
    "a dictionary of its own class": lambda: Settings(depth=3),
    "a list of its own class": lambda: History([0.1, 0.2]),
    "a counter with a default": lambda: collections.defaultdict(int, {"a": 1}),
}


@pytest.mark.parametrize(
    ("beside", "zipped"), [(beside, zipped) for beside in BESIDE for zipped in (True, False) if zipped or beside != "a metric"]
)
def test_data_beside_the_weights_needs_no_trust(
    beside: str, zipped: bool, net: Any, net_file: Path, tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.pt"
    torch.save({"model": net.state_dict(), "beside": BESIDE[beside]()}, path, _use_new_zipfile_serialization=zipped)
    # None of these classes may be made: as if the file came from a machine with other packages.
    monkeypatch.setattr(Accuracy, "__setstate__", _fails, raising=False)
    result = loaded(path, IMAGE, arch=f"{net_file}:Net")
    assert answers_like(result, net)
    assert any("objects that were not made, as they are no weights" in note for note in result.notes)


def test_a_module_in_the_old_format_needs_trust(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save({"model": net.state_dict(), "metric": Accuracy()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(SourceRefused, match=r"a whole module beside its weights.*--trust"):
        loaded(tmp_path / "old.pt", IMAGE, arch=f"{net_file}:Net")
    assert answers_like(loaded(tmp_path / "old.pt", IMAGE, arch=f"{net_file}:Net", trust=True), net)


def _fails(self: Any, state: Any) -> None:
    raise AssertionError("code from the file ran")


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "subprocess.Popen", "posix.system", "functools.partial"])
def test_what_runs_code_is_no_data(name: str, net: Any, net_file: Path, tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return _named(name), ("true",)

    torch.save({"model": net.state_dict(), "beside": Runs()}, tmp_path / "run.pt")
    with pytest.raises(SourceRefused, match=r"asks for code beside its weights.*--trust"):
        sources.identify(tmp_path / "run.pt", arch=f"{net_file}:Net")


def _named(name: str) -> Any:
    home, _, own = name.rpartition(".")
    return getattr(__import__(home), own)


def test_a_buffer_that_the_architecture_computes_itself(tmp_path: Path, loaded: Load) -> None:
    """Old releases saved it: equal values are no difference, and others are."""
    (tmp_path / "bert.py").write_text(
        "import torch\n"
        "class Bert(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc = torch.nn.Linear(4, 2)\n"
        "        self.register_buffer('position_ids', torch.arange(4)[None], persistent=False)\n"
        "    def forward(self, x):\n"
        "        return self.fc(x + self.position_ids)\n"
    )
    state = nn.Linear(4, 2).state_dict()
    held = {f"fc.{name}": tensor for name, tensor in state.items()}
    torch.save({**held, "position_ids": torch.arange(4)[None]}, tmp_path / "old.pt")
    notes = loaded(tmp_path / "old.pt", arch=f"{tmp_path / 'bert.py'}:Bert").notes
    assert any("position_ids" in note for note in notes)
    torch.save({**held, "position_ids": torch.arange(4)[None] + 1}, tmp_path / "other.pt")
    with pytest.raises(ArchitectureMismatch, match="unexpected in the file: position_ids"):
        loaded(tmp_path / "other.pt", arch=f"{tmp_path / 'bert.py'}:Bert")


def test_the_advice_fits_what_was_found(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    from roadworthy.build.sources import user_code

    torch.save(user_code.build(f"{net_file}:Net(classes=7)").state_dict(), tmp_path / "seven.pt")
    with pytest.raises(ArchitectureMismatch, match=r"the layer 'fc' has 7 outputs in the file.*num_classes=7"):
        loaded(tmp_path / "seven.pt", IMAGE, arch=f"{net_file}:Net")
    torch.save(nn.Sequential(nn.Linear(2, 2)).state_dict(), tmp_path / "other.pt")
    with pytest.raises(ArchitectureMismatch, match="none of the names is the architecture's"):
        loaded(tmp_path / "other.pt", IMAGE, arch=f"{net_file}:Net")


def test_a_network_without_weights(tmp_path: Path, loaded: Load) -> None:
    (tmp_path / "pool.py").write_text("from torch import nn\ndef Pool():\n    return nn.AvgPool2d(2)\n")
    torch.save({}, tmp_path / "empty.pt")
    assert loaded(tmp_path / "empty.pt", "input:float32[batch,1,4,4]", arch=f"{tmp_path / 'pool.py'}:Pool").parameters == 0


def test_several_models_in_one_pickle(net: Any, tmp_path: Path, loaded: Load) -> None:
    torch.save({"ema": net, "model": None, "criterion": nn.CrossEntropyLoss(torch.ones(3))}, tmp_path / "last.pt")
    assert answers_like(loaded(tmp_path / "last.pt", IMAGE, trust=True), net)
    torch.save({"teacher": net}, tmp_path / "teacher.pt")
    assert answers_like(loaded(tmp_path / "teacher.pt", IMAGE, trust=True), net)
    torch.save({"student": nn.Linear(3, 3), "teacher": net}, tmp_path / "both.pt")
    assert answers_like(loaded(tmp_path / "both.pt", IMAGE, trust=True, weights="teacher"), net)
    torch.save({"encoder": net, "decoder": nn.Linear(3, 3)}, tmp_path / "two.pt")
    with pytest.raises(UsageError, match=r"2 models: 'encoder', 'decoder'.*--weights encoder"):
        loaded(tmp_path / "two.pt", IMAGE, trust=True)
    assert answers_like(loaded(tmp_path / "two.pt", IMAGE, trust=True, weights="encoder"), net)


def test_an_option_without_a_meaning_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "map.npz", weight=np.ones((2, 2), np.float32))
    with pytest.raises(UsageError, match="leave --weights ema out"):
        sources.identify(tmp_path / "map.npz", weights="ema")
