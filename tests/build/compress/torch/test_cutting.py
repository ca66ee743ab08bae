"""Every form of block is cut or refused, and a cut never changes more than the channels that were taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from roadworthy.build import compress
from roadworthy.build.compress import Block, BlocksRequest, Cut, CutRequest, Cuttable, Importance
from roadworthy.build.compress.torch.channels import layers, operators
from roadworthy.build.compress.torch.network import feeds_of
from roadworthy.core import samples
from roadworthy.core.errors import SourceError, StepFailed
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.calling import TorchCall, by_position
from support.models import torch_blocks
from support.models.torch_blocks import FORMS, Form

IMAGES = np.random.default_rng(0).standard_normal((6, 3, 8, 8)).astype(np.float32)


def as_graph(module: nn.Module, folder: Path, outputs: tuple[str, ...] = ("output",)) -> Graph:
    """``module`` as a deployment keeps it."""
    folder.mkdir(parents=True)
    path = torch_module.save(module, folder, call=TorchCall(by_position(1), outputs, outputs == ("output",)))
    named = tuple(TensorSpec(name, "float32", (BATCH, 5)) for name in outputs)
    return Graph("module", path, Signature((TensorSpec("image", "float32", (BATCH, 3, 8, 8)),), named), "the original")


class Tried:
    """A network of a form in a folder of its own, with its blocks."""

    def __init__(self, form: Form, width: int, folder: Path) -> None:
        torch.manual_seed(0)
        self.module = torch_blocks.lively(form.build(width))
        self.folder, self.cuts = folder, 0
        self.graph = as_graph(self.module, folder / "original", form.outputs)
        self.samples = samples.write(folder / "samples", {"image": IMAGES})

    def blocks(self) -> Cuttable:
        return compress.blocks(BlocksRequest(self.graph, self.samples))

    def cut(self, widths: Mapping[str, int], importance: Importance = "l1") -> Cut:
        self.cuts += 1
        return compress.cut(CutRequest(self.graph, widths, importance, self.samples, self.folder / f"cut-{self.cuts}"))


def loaded(graph: Graph) -> nn.Module:
    return torch_module.load(graph.path)


def distance(tried: Tried, made: Cut) -> float:
    """How far the cut model is from the original whose lost channels are nowhere read: found without the tracing under test.

    The lost channels, known by their bias, become NaN where they are made, and every NaN that a layer is about to read becomes zero.
    """
    original, smaller = loaded(tried.graph).double(), loaded(made.graph).double()
    parts, ours = dict(original.named_modules()), dict(smaller.named_modules())
    for name, layer in parts.items():
        if not layers.mixes(layer):
            continue
        layer.register_forward_pre_hook(lambda layer, given: (torch.nan_to_num(given[0], nan=0.0),))
        lost = ~torch.isin(layer.bias, ours[name].bias)
        assert int(lost.sum()) == len(layer.bias) - len(ours[name].bias)
        if lost.any():
            layer.register_forward_hook(without(lost))
    image = torch.from_numpy(IMAGES).double()
    with torch.no_grad():
        return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(tuple(original(image)), tuple(smaller(image)), strict=True))


def without(lost: Tensor) -> object:
    def hook(layer: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> Tensor:
        shape = [1] * answer.ndim
        shape[layers.axis(layer, answer)] = -1
        return answer.masked_fill(lost.reshape(shape), float("nan"))

    return hook


def part_of(block: Block, share: float) -> int:
    return max(1, round(block.channels * share / block.multiple)) * block.multiple


@pytest.mark.parametrize("width", [4, 6])
@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_cut_or_refused_with_the_reason(name: str, width: int, tmp_path: Path) -> None:
    form, tried = FORMS[name], Tried(FORMS[name], width, tmp_path)
    found = tried.blocks()
    assert tuple(block.name for block in found.blocks) == form.blocks
    assert tuple(block.name for block in found.streams) == form.streams
    for layer, words in form.left.items():
        assert words in found.left[layer]
    mixing = {layer for layer, part in tried.module.named_modules() if layers.mixes(part)}
    assert mixing <= {*form.blocks, *found.left} | {layer for block in found.blocks for layer in block.layers[1:]}
    assert found.parameters == sum(parameter.numel() for parameter in tried.module.parameters())
    for importance in ("l1", "batchnorm", "gradient"):
        for blocks in ((*found.blocks, *found.streams), found.blocks):
            made = tried.cut({block.name: part_of(block, 0.5) for block in blocks}, importance)
            assert made.error < 1e-9
            assert distance(tried, made) < 1e-9
            assert made.parameters < found.parameters or not blocks
            assert made.multiplications < found.multiplications or not blocks


@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_widths_of_any_form_leave_the_same_function(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    form = FORMS[data.draw(st.sampled_from([name for name, form in FORMS.items() if form.blocks]))]
    tried = Tried(form, data.draw(st.integers(2, 5)) * 2, tmp_path_factory.mktemp("tried"))
    found = tried.blocks()
    chosen = [block for block in (*found.blocks, *found.streams) if data.draw(st.booleans())]
    widths = {block.name: data.draw(st.integers(1, block.channels // block.multiple)) * block.multiple for block in chosen}
    made = tried.cut(widths, data.draw(st.sampled_from(["l1", "gradient"])))
    assert made.error < 1e-9
    assert distance(tried, made) < 1e-9
    parts = dict(loaded(made.graph).named_modules())
    assert all(layers.given(parts[f"module.{name}"]) == width for name, width in widths.items())


def test_the_work_of_a_block_is_what_a_cut_of_it_saves(tmp_path: Path) -> None:
    tried = Tried(FORMS["depthwise-separable"], 4, tmp_path)
    found = tried.blocks()
    for block in found.blocks:
        made = tried.cut({block.name: block.channels // 2})
        assert made.multiplications == pytest.approx(found.multiplications * (1 - block.work / 2), rel=1e-3)


def test_multiplications_are_those_of_the_layers(tmp_path: Path) -> None:
    found = Tried(FORMS["plain"], 4, tmp_path).blocks()
    assert found.multiplications == 36 * 4 * 27 + 4 * 8 * 36 + 8 * 5


def test_a_cut_model_says_what_it_is_and_is_cut_again(tmp_path: Path) -> None:
    tried = Tried(FORMS["plain"], 8, tmp_path)
    first = tried.cut({"0": 6})
    whole = tried.blocks().multiplications
    assert (first.graph.format, first.graph.derived_from) == ("module", "module")
    assert first.graph.compression == f"pruned{round(100 * (1 - first.multiplications / whole))}"
    tried.graph = first.graph
    second = tried.cut({"0": 4, "4": 8})
    assert abs(int(second.graph.compression.removeprefix("pruned")) - 100 * (1 - second.multiplications / whole)) <= 1


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.BatchNorm2d, nn.Linear])
def test_a_wrong_slice_is_caught_and_named(kind: type[nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, right = Tried(FORMS["plain"], 8, tmp_path), layers.cut

    def wrong(layer: nn.Module, read: np.ndarray, made: np.ndarray) -> None:
        right(layer, *((np.roll(read, 1), np.roll(made, 1)) if type(layer) is kind else (read, made)))

    monkeypatch.setattr(layers, "cut", wrong)
    block = "4" if kind is nn.Linear else "0"
    with pytest.raises(StepFailed, match=rf"does not answer as the original .*: {block}: something reads its channels"):
        tried.cut({block: 5})
    assert block not in [found.name for found in tried.blocks().blocks]


def test_a_wrong_order_behind_flatten_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = operators._held

    def wrong(numbers: Tensor) -> operators.Held:
        held = right(numbers)
        return replace(held, channels=np.tile(np.unique(held.channels), len(held.channels) // len(np.unique(held.channels))))

    monkeypatch.setattr(operators, "_held", wrong)
    tried = Tried(FORMS["flatten"], 4, tmp_path)
    assert "something reads its channels by their position" in tried.blocks().left["3"]
    with pytest.raises(StepFailed, match="3: something reads"):
        tried.cut({"3": 2})


def test_a_reader_that_was_not_seen_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.build.compress.torch.channels.ties.Ties.stop", lambda *given: None)
    found = Tried(FORMS["one axis"], 4, tmp_path).blocks()
    assert "b" not in [block.name for block in found.blocks]
    assert "something reads its channels" in found.left["b"]


@pytest.mark.parametrize(
    ("widths", "said"),
    [
        ({"2": 6}, "the layer 2 cannot have 6 channels: it can have 1 to 16 in multiples of 4"),
        ({"0": 0}, "cannot have 0 channels"),
        ({"5": 3}, "cannot have 3 channels: it can have 1 to 2$"),
        ({"8": 2}, "the layer 8 cannot be cut: its output is one of the model's own"),
        ({"none": 2}, "the layer none cannot be cut: there are blocks at 0, 2, 5"),
    ],
)
def test_a_width_that_cannot_be_is_refused(widths: dict[str, int], said: str, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=said):
        Tried(FORMS["grouped"], 2, tmp_path).cut(widths)


def test_a_recorded_graph_is_refused(tmp_path: Path) -> None:
    graph = Graph("module", tmp_path / torch_module.SCRIPT, Signature((), ()), "the original")
    with pytest.raises(SourceError):
        compress.blocks(BlocksRequest(graph, samples.write(tmp_path / "samples", {"image": IMAGES})))


def test_samples_are_rows_from_all_over_the_set(tmp_path: Path) -> None:
    found = samples.write(tmp_path / "samples", {"image": np.repeat(np.arange(10, dtype=np.float32), 100)[:, None]})
    signature = Signature((TensorSpec("image", "float32", (BATCH, 1)),), ())
    calls = feeds_of(found, signature, 40, torch.float32, together=20)
    assert [len(call[0]) for call in calls] == [20, 20]
    assert torch.unique(torch.cat([call[0] for call in calls])).tolist() == list(range(10))
    fixed = Signature((TensorSpec("image", "float32", (8, 1)),), ())
    assert [len(call[0]) for call in feeds_of(found, fixed, 40, torch.float32)] == [8] * 5


def test_the_original_file_stays_as_it_is(tmp_path: Path) -> None:
    tried = Tried(FORMS["plain"], 4, tmp_path)
    before = tried.graph.path.read_bytes()
    made = tried.cut({"0": 2})
    assert tried.graph.path.read_bytes() == before
    assert {tensor.dtype for tensor in loaded(made.graph).parameters()} == {torch.float32}


class InFloat32(nn.Module):
    """Its code names float32: it does not run in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.a(image.float()).relu().mean((2, 3)).to(torch.float32))


def test_a_model_that_runs_in_float32_alone_is_cut(tmp_path: Path) -> None:
    tried = Tried(Form(lambda width: InFloat32(), ("a",)), 4, tmp_path)
    assert [block.name for block in tried.blocks().blocks] == ["a"]
    assert 0 <= tried.cut({"a": 3}, "gradient").error < 1e-5
