"""Every form in which training leaves a model behind is read, and answers as the original did."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from roadworthy.build import sources
from roadworthy.build.sources import Loaded, LoadRequest
from roadworthy.core import samples
from roadworthy.core.isolation import isolate
from roadworthy.core.types import BATCH, TensorSpec
from roadworthy.frameworks.torch import calling, module
from support.models.networks import SmallCNN

pytestmark = pytest.mark.slow

IMAGE = "image:float32[batch,1,6,6]"
Load = Callable[..., Loaded]


def answers_like(loaded: Loaded, original: nn.Module, *shape: int) -> bool:
    x = torch.randn(3, *(shape or (1, 6, 6)), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        (kept,) = module.load(loaded.graph.path)(x)
        return torch.allclose(kept, original.eval()(x), atol=1e-6)


def wrapped(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    "shape_of_file",
    [
        lambda state: state,
        lambda state: {
            "state_dict": state,
            "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.ones(2)}}, "param_groups": []},
            "epoch": 9,
        },
        lambda state: {"model_state_dict": state, "loss": 0.5},
        lambda state: {"model": state},
        lambda state: {"net": state},
        lambda state: {"ema": state},
        lambda state: {"model": {"state_dict": state}},
        lambda state: wrapped(state, "module."),
        lambda state: {"state_dict": wrapped(state, "_orig_mod.")},
        lambda state: {"state_dict": wrapped(state, "module._orig_mod.")},
        lambda state: {"state_dict": wrapped(state, "_orig_mod.module.")},
        lambda state: {"state_dict": wrapped(state, "model.")},
        lambda state: {"ema": {"n_averaged": torch.tensor(3), **wrapped(state, "module.")}},
        lambda state: {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()},
        lambda state: {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in state.items()},
        lambda state: {name: nn.Parameter(tensor) if tensor.is_floating_point() else tensor for name, tensor in state.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_found_wherever_trainers_keep_it(
    shape_of_file: Callable[[Any], Any], zipped: bool, net: Any, net_file: Path, tmp_path: Path, loaded: Load
) -> None:
    torch.save(shape_of_file(net.state_dict()), tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    result = loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net(classes=3)")
    assert result.graph.format == "module"
    assert result.signature.inputs == (TensorSpec("image", "float32", (BATCH, 1, 6, 6)),)
    assert result.signature.outputs == (TensorSpec("output", "float32", (BATCH, 3)),)
    assert result.signature.max_batch is None
    kept = module.load(result.graph.path)
    assert all(tensor.dtype == torch.float32 for tensor in kept.parameters())
    x = torch.randn(3, 1, 6, 6)
    with torch.no_grad():
        assert torch.allclose(kept(x)[0], net.eval()(x), atol=2e-2)


def test_half_precision_is_raised_and_it_is_said(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    torch.save(net.half().state_dict(), tmp_path / "half.pt")
    assert "weights in float16 were made float32" in loaded(tmp_path / "half.pt", IMAGE, arch=f"{net_file}:Net").notes
    torch.save(net, tmp_path / "whole.pt")
    assert "weights in float16 were made float32" in loaded(tmp_path / "whole.pt", IMAGE, arch=f"{net_file}:Net", trust=True).notes


def test_a_network_in_double_precision_takes_tables_in_double_precision(tmp_path: Path, loaded: Load) -> None:
    """NumPy's default type, for a model that was trained in it: both become float32, and it is said."""
    (tmp_path / "table.py").write_text("from torch import nn\ndef Table():\n    return nn.Linear(4, 3).double()\n")
    torch.save(nn.Linear(4, 3).double().state_dict(), tmp_path / "table.pt")
    given = samples.write(tmp_path / "given", {"x": np.random.default_rng(0).standard_normal((30, 4))})
    result = loaded(tmp_path / "table.pt", arch=f"{tmp_path / 'table.py'}:Table", samples=given)
    assert result.signature.inputs == (TensorSpec("input", "float32", (BATCH, 4)),)
    assert "weights in float64 were made float32" in result.notes
    assert any("cast from float64 to float32" in note for note in result.notes)


def test_cuda_tensors_land_on_the_cpu(real: Path, loaded: Load) -> None:
    """The ResNet-20 was saved on a GPU, inside DataParallel; nothing but weights-only reading is needed for it."""
    arch = f"{Path(__file__).parents[3] / 'examples' / 'cifar_resnet.py'}:resnet20(num_classes=10)"
    result = loaded(real / "models" / "cifar10_resnet20.th", "image:float32[batch,3,32,32]", arch=arch)
    assert result.parameters == 269_722
    assert "the prefix 'module.' was removed from the weights' names" in result.notes


def test_safetensors_with_a_tied_weight_kept_once(tmp_path: Path, loaded: Load) -> None:
    from safetensors.torch import save_file

    (tmp_path / "tied.py").write_text(
        "from torch import nn\n"
        "class Tied(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)\n"
        "        self.b.weight = self.a.weight\n"
        "    def forward(self, x):\n"
        "        return self.b(self.a(x))\n"
    )
    state = {"a.weight": torch.randn(4, 4), "a.bias": torch.randn(4), "b.bias": torch.randn(4)}
    save_file(state, tmp_path / "tied.bin")
    result = loaded(tmp_path / "tied.bin", arch=f"{tmp_path / 'tied.py'}:Tied")
    assert result.signature.inputs == (TensorSpec("x", "float32", (BATCH, 4)),)
    x = torch.randn(2, 4)
    with torch.no_grad():
        hidden = nn.functional.linear(x, state["a.weight"], state["a.bias"])
        wanted = nn.functional.linear(hidden, state["a.weight"], state["b.bias"])
        assert torch.allclose(module.load(result.graph.path)(x)[0], wanted, atol=1e-6)


def test_an_old_checkpoint_without_batch_counters_is_whole(net: Any, net_file: Path, tmp_path: Path, loaded: Load) -> None:
    state = {name: tensor for name, tensor in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pt")
    assert answers_like(loaded(tmp_path / "old.pt", IMAGE, arch=f"{net_file}:Net"), net)


def test_a_whole_pickled_module_and_one_inside_a_checkpoint(net: Any, tmp_path: Path, loaded: Load) -> None:
    torch.save(net.train(), tmp_path / "whole.pt")
    assert answers_like(loaded(tmp_path / "whole.pt", IMAGE, trust=True), net)
    torch.save({"model": net, "optimizer": {"state": {0: torch.ones(3)}}}, tmp_path / "inside.pt")
    assert answers_like(loaded(tmp_path / "inside.pt", IMAGE, trust=True), net)


def test_a_module_pickled_by_a_script_finds_its_class_in_arch(net_file: Path, tmp_path: Path, loaded: Load) -> None:
    script = tmp_path / "train.py"
    script.write_text(net_file.read_text() + "\ntorch.manual_seed(0)\ntorch.save(Net(), 'script.pt')\n")
    subprocess.run([sys.executable, str(script)], check=True, cwd=tmp_path)
    result = loaded(tmp_path / "script.pt", IMAGE, arch=f"{net_file}:Net", trust=True)
    assert result.parameters == 63


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated.*:DeprecationWarning")
@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript(how: str, net: Any, tmp_path: Path, loaded: Load) -> None:
    net.eval()
    archive = torch.jit.script(net) if how == "script" else torch.jit.trace(net, torch.randn(2, 1, 6, 6))
    torch.jit.save(archive, str(tmp_path / "model.pt"))
    result = loaded(tmp_path / "model.pt", IMAGE, trust=True)
    assert result.graph.path.name == module.SCRIPT
    assert result.signature.batched
    assert answers_like(result, net)


def exported(net: nn.Module, path: Path, dim: Any) -> None:
    program = torch.export.export(net.eval(), (torch.randn(2, 1, 6, 6),), dynamic_shapes=({0: dim},) if dim else None)
    torch.export.save(program, path)


def test_an_exported_program_brings_its_own_signature(net: Any, tmp_path: Path, loaded: Load) -> None:
    exported(net, tmp_path / "model.pt2", torch.export.Dim("n"))
    seen = sources.inspect(tmp_path / "model.pt2")
    assert seen.signature is not None
    assert seen.signature.inputs == (TensorSpec("image", "float32", (BATCH, 1, 6, 6)),)
    result = loaded(tmp_path / "model.pt2", trust=True)
    assert result.signature.inputs == seen.signature.inputs
    assert result.graph.path.name == module.EXPORTED
    assert answers_like(result, net)


def test_the_batch_that_a_program_was_exported_with_is_recorded(net: Any, tmp_path: Path, loaded: Load) -> None:
    exported(net, tmp_path / "fixed.pt2", None)
    result = loaded(tmp_path / "fixed.pt2", trust=True)
    assert result.signature.inputs[0].shape == (2, 1, 6, 6)
    assert result.signature.outputs[0].shape == (2, 3)
    assert result.signature.max_batch == 2
    exported(net, tmp_path / "upto.pt2", torch.export.Dim("n", max=3))
    result = loaded(tmp_path / "upto.pt2", trust=True)
    assert result.signature.inputs[0].shape == (BATCH, 1, 6, 6)
    assert result.signature.max_batch == 3


def test_sizes_that_a_program_leaves_open_stay_open(net: Any, tmp_path: Path, loaded: Load) -> None:
    dims = {0: torch.export.Dim("n"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")}
    torch.export.save(torch.export.export(net.eval(), (torch.randn(2, 1, 6, 7),), dynamic_shapes=(dims,)), tmp_path / "open.pt2")
    found = loaded(tmp_path / "open.pt2", trust=True).signature
    assert found.inputs[0].shape[:2] == (BATCH, 1) and len(found.sizes) == 2
    assert all(axis.allows(9) and axis.sizes[0] > 1 for axis in found.sizes)
    assert loaded(tmp_path / "open.pt2", "image:float32[batch,1,9,8]", trust=True).signature.inputs[0].shape == (BATCH, 1, 9, 8)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated.*:DeprecationWarning")
def test_a_frozen_torchscript_archive(net: Any, tmp_path: Path, loaded: Load) -> None:
    torch.jit.save(torch.jit.freeze(torch.jit.script(net.eval())), str(tmp_path / "frozen.pt"))
    assert answers_like(loaded(tmp_path / "frozen.pt", IMAGE, trust=True), net)


def test_a_batch_baked_into_the_model_is_recorded(from_module: Load) -> None:
    class One(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(1, 12) * 2

    result = from_module(One(), "x:float32[batch,3,4]")
    assert result.signature.inputs[0].shape == (1, 3, 4)
    assert result.signature.max_batch == 1
    assert "the model takes at most 1 sample a call" in result.notes


def test_a_live_module_is_left_as_it_is_and_read_in_another_process(tmp_path: Path) -> None:
    model = SmallCNN().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    (tmp_path / "out").mkdir()
    source = sources.save_live(model, tmp_path)
    assert (source.kind, source.trust) == ("pickled", True)
    assert sources.identify(source.path, trust=True).kind == "pickled"
    request = LoadRequest(source, (sources.parse_input("image:float32[batch,1,8,8]"),), None, tmp_path / "out")
    result = isolate.call(sources.load, request)
    assert model.training and all(part.training for part in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert answers_like(result, model, 1, 8, 8)


def test_an_architecture_file_is_not_needed_again(net_file: Path, tmp_path: Path, loaded: Load) -> None:
    """Its classes, and those of the files beside it, travel in the module's own file."""
    (tmp_path / "blocks.py").write_text("from torch import nn\ndef act(x):\n    return nn.functional.relu(x)\n")
    net_file.write_text("from blocks import act\n" + net_file.read_text().replace("torch.relu(", "act("))
    state = {"conv.weight": (4, 1, 3, 3), "conv.bias": (4,), "fc.weight": (3, 4), "fc.bias": (3,)}
    norm = nn.BatchNorm2d(4).state_dict(prefix="bn.")
    torch.save({**{name: torch.randn(shape) for name, shape in state.items()}, **norm}, tmp_path / "model.pt")
    result = loaded(tmp_path / "model.pt", IMAGE, arch=f"{net_file}:Net")
    net_file.rename(tmp_path / "gone.txt")
    (tmp_path / "blocks.py").unlink()
    reader = (
        "import torch, sys; from pathlib import Path; from roadworthy.frameworks.torch import module as torch_module\n"
        "module = torch_module.load(Path(sys.argv[1])); x = torch.randn(2, 1, 6, 6)\n"
        "print(tuple(module(x)[0].shape))\n"
        "print(torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim('b')},), strict=True).module()(x)[0].shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", reader, str(result.graph.path)], cwd="/", capture_output=True, text=True, check=False)
    assert "(2, 3)" in done.stdout, done.stderr
    assert "[2, 3]" in done.stdout, done.stderr


def test_a_live_module_of_a_script_is_exported_in_another_process(net_file: Path, tmp_path: Path) -> None:
    """Its classes live in that script's ``__main__``, which is another module wherever the file is read."""
    saver = "from pathlib import Path; from roadworthy.frameworks.torch.module import save; save(Net().eval(), Path('.'))\n"
    (tmp_path / "script.py").write_text("RATE = 2.0\n" + net_file.read_text().replace("self.fc(x)", "self.fc(x) * RATE") + saver)
    subprocess.run([sys.executable, "script.py"], check=True, cwd=tmp_path)
    reader = (
        "import torch; from pathlib import Path; from roadworthy.frameworks.torch import module as torch_module\n"
        "module = torch_module.load(Path('module.pt')); x = torch.randn(2, 1, 6, 6)\n"
        "print(torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim('b')},), strict=True).module()(x).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", reader], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "[2, 3]" in done.stdout, done.stderr


Pair = namedtuple("Pair", ["boxes", "scores"])


@dataclass
class Answer:
    logits: Any
    loss: Any = None


class Shaped(nn.Module):
    """Two inputs, and an answer of any shape."""

    def __init__(self, shape: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, left: torch.Tensor, right: torch.Tensor, scale: float = 2.0) -> Any:
        return self.shape(left * scale, right)


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        (lambda a, b: {"out": a, "aux": b}, ("out", "aux")),
        (lambda a, b: (b, a), ("output_0", "output_1")),
        (lambda a, b: [a], ("output_0",)),
        (lambda a, b: Pair(a, b), ("boxes", "scores")),
        (lambda a, b: Answer(a), ("logits",)),
        (lambda a, b: {"x": {"y": a, "none": None}, "z": (b, a)}, ("x.y", "z.0", "z.1")),
        (lambda a, b: a, ("output",)),
    ],
)
def test_inputs_and_outputs_keep_their_names_and_order(shape: Callable[[Any, Any], Any], names: tuple[str, ...], from_module: Load) -> None:
    result = from_module(Shaped(shape), "right:float32[batch,2]", "left:float32[batch,5]")
    assert tuple(spec.name for spec in result.signature.inputs) == ("left", "right")
    assert tuple(spec.name for spec in result.signature.outputs) == names
    left, right = torch.randn(4, 5), torch.randn(4, 2)
    answer = module.load(result.graph.path)(left, right)
    wanted = [tensor for _, tensor in calling.tensors(shape(left * 2, right))]
    assert len(answer) == len(names)
    assert all(torch.equal(one, other) for one, other in zip(answer, wanted, strict=True))


def test_inputs_go_to_the_parameters_of_their_names(from_module: Load) -> None:
    class Text(nn.Module):
        def forward(self, ids: torch.Tensor, kinds: Any = None, mask: Any = None) -> torch.Tensor:
            assert kinds is None
            return (ids * mask).float().sum(1)

    result = from_module(Text(), "ids:int64[batch,6]", "mask:int64[batch,6]")
    ids, mask = torch.arange(12).reshape(2, 6), torch.ones(2, 6, dtype=torch.int64)
    assert module.load(result.graph.path)(ids, mask)[0].tolist() == [15.0, 51.0]


def test_samples_say_what_the_model_takes(from_module: Load, tmp_path: Path) -> None:
    images = samples.write(tmp_path / "s", {"input": np.random.default_rng(0).random((7, 1, 8, 8), dtype=np.float32)})
    result = from_module(SmallCNN(), samples=images)
    assert result.signature.inputs == (TensorSpec("image", "float32", (BATCH, 1, 8, 8)),)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated.*:DeprecationWarning")
def test_what_training_put_around_a_live_model_comes_off(from_module: Load) -> None:
    layer = nn.Linear(4, 2)
    for around in (nn.DataParallel(layer), torch.compile(layer)):
        assert type(module.load(from_module(around, "x:float32[batch,4]").graph.path).module) is nn.Linear
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))
    result = from_module(normed, "x:float32[batch,4]")
    assert nn.utils.parametrize.is_parametrized(normed)
    assert answers_like(result, normed, 4)


def test_a_parametrized_architecture_is_filled_and_folded(tmp_path: Path, loaded: Load) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)))\n"
    )
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)))
    torch.save(normed.state_dict(), tmp_path / "model.pt")
    result = loaded(tmp_path / "model.pt", "x:float32[batch,4]", arch=f"{tmp_path / 'net.py'}:build")
    assert "1 parametrized weights (weight_norm, for example) were replaced by their values" in result.notes
    assert answers_like(result, normed, 4)


def test_shapes_without_a_batch(from_module: Load) -> None:
    result = from_module(nn.Linear(4, 2), "x:float32[4]")
    assert (result.signature.inputs[0].shape, result.signature.outputs[0].shape) == ((4,), (2,))
    assert (result.signature.inputs[0].sample_axis, result.signature.max_batch) == (None, 1), "a call is a sample"


def test_a_linear_map_for_the_runtime_that_needs_nothing(tmp_path: Path, loaded: Load) -> None:
    np.savez(tmp_path / "map.bin", weight=np.ones((64, 3), np.float32), bias=np.zeros(3, np.float32))
    path = tmp_path / "map.bin.npz"
    digits = samples.write(tmp_path / "s", {"digit": np.zeros((2, 1, 8, 8), np.float32)})
    result = loaded(path, samples=digits)
    assert result.graph.format == "npz"
    assert result.signature.inputs == (TensorSpec("digit", "float32", (BATCH, 1, 8, 8)),)
    assert result.parameters == 195
    assert "torch" not in sources.inspect(path).framework
