"""PyTorch originals of every signature: what their forward takes and gives keeps its names and its order, in every form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from roadworthy.build import sources
from roadworthy.build.sources import Loaded
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.frameworks.torch import module as torch_module

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated.*:DeprecationWarning")]
Load = Callable[..., Loaded]
X, S = "x:float32[batch,4]", "scale:float32[batch,1]"


class Features(NamedTuple):
    x: Tensor
    scale: Tensor


class OneDict(nn.Module):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["x"] * batch["scale"]


class OneTuple(nn.Module):
    def forward(self, pair: Any) -> Tensor:
        x, scale = pair
        return x * scale


class OneList(nn.Module):
    def forward(self, parts: list[Tensor]) -> Tensor:
        assert isinstance(parts, list)
        return parts[0] * parts[1]


class OneRecord(nn.Module):
    def forward(self, features: Features) -> Tensor:
        return features.x * features.scale


class ByKeyword(nn.Module):
    def forward(self, *, x: Tensor, scale: Tensor, power: int = 1) -> Tensor:
        return x * scale**power


class AnyKeyword(nn.Module):
    def forward(self, **features: Tensor) -> Tensor:
        return features["x"] * features["scale"]


class AnyNumber(nn.Module):
    def forward(self, *parts: Tensor) -> Tensor:
        return parts[0] * parts[1]


class OneLeftOut(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        assert mask is None and scale is not None
        return x * scale


class ImageAndRest(nn.Module):
    def forward(self, x: Tensor, others: dict[str, Tensor]) -> Tensor:
        return x * others["scale"]


def loaded_answer(result: Loaded, *tensors: Tensor) -> tuple[Tensor, ...]:
    """What the kept file answers, called in the order of the signature."""
    return torch_module.load(result.graph.path)(*tensors)


@pytest.mark.parametrize(
    "kind",
    [OneDict, OneTuple, OneList, OneRecord, ByKeyword, AnyKeyword, AnyNumber, OneLeftOut, ImageAndRest],
    ids=lambda kind: kind.__name__,
)
def test_each_way_to_take_two_inputs(kind: type[nn.Module], from_module: Load) -> None:
    result = from_module(kind(), X, S)
    assert [spec.name for spec in result.signature.inputs] == ["x", "scale"]
    x, scale = torch.randn(3, 4), torch.randn(3, 1)
    assert torch.equal(loaded_answer(result, x, scale)[0], x * scale)


def test_one_input_in_a_dict(from_module: Load) -> None:
    class Only(nn.Module):
        def forward(self, batch: Any) -> Tensor:
            return batch["x"] + 1

    assert loaded_answer(from_module(Only(), X), torch.zeros(2, 4))[0].tolist() == [[1.0] * 4] * 2


def test_nested_arguments_by_dotted_names(from_module: Load) -> None:
    class Nested(nn.Module):
        def forward(self, user: Any, pair: Any) -> Tensor:
            first, second = pair
            return user["age"] * first - user["at"]["home"] * second

    said = ("user.age", "pair.0", "user.at.home", "pair.1")
    result = from_module(Nested(), *(f"{name}:float32[batch,2]" for name in said))
    given = dict(zip((spec.name for spec in result.signature.inputs), torch.randn(4, 3, 2), strict=True))
    wanted = given["user.age"] * given["pair.0"] - given["user.at.home"] * given["pair.1"]
    assert torch.equal(loaded_answer(result, *given.values())[0], wanted)


def test_more_than_eight_inputs_in_the_order_of_forward(from_module: Load) -> None:
    names = [f"column_{number}" for number in range(12)]
    scope: dict[str, Any] = {"torch": torch}
    exec(f"def forward(self, {', '.join(names)}):\n    return torch.cat([{', '.join(names)}], 1)", scope)
    result = from_module(
        type("Table", (nn.Module,), {"forward": scope["forward"]})(), *(f"{name}:float32[batch,1]" for name in names[::-1])
    )
    assert [spec.name for spec in result.signature.inputs] == names
    columns = torch.arange(24.0).reshape(12, 2, 1)
    assert torch.equal(loaded_answer(result, *columns)[0], columns.squeeze(2).T)


def test_inputs_that_the_forward_cannot_take_are_told_its_parameters(from_module: Load) -> None:
    with pytest.raises(
        UsageError, match=r"the model's forward takes x, others; only x:float32\[batch,4\] was given, say each with its own --input"
    ):
        from_module(ImageAndRest(), X)


class Answers(nn.Module):
    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(x)


def test_numbers_in_an_answer_are_constants_and_text_is_left_out_with_a_word(from_module: Load) -> None:
    result = from_module(Answers(lambda x: {"y": x * 2, "n": 3, "rate": 0.5, "sure": True, "none": None, "version": "v1"}), X)
    assert [str(spec) for spec in result.signature.outputs] == ["y:float32[batch,4]", "n:int64[]", "rate:float32[]", "sure:bool[]"]
    assert [tensor.tolist() for tensor in loaded_answer(result, torch.ones(1, 4))[1:]] == [3, 0.5, True]
    assert result.notes == ("left out of the answer, as it is no tensor: 'version' (str)",)


def test_an_input_handed_through_and_a_tensor_twice_are_tensors_of_their_own(from_module: Load) -> None:
    def answer(x: Tensor) -> Any:
        y = x * 2
        return {"x": x, "y": y, "again": y}

    result, x = from_module(Answers(answer), X), torch.ones(2, 4)
    found = loaded_answer(result, x)
    assert [spec.name for spec in result.signature.outputs] == ["x", "y", "again"]
    assert len({id(tensor) for tensor in (x, *found)}) == 4
    assert torch.equal(loaded_answer(from_module(Answers(lambda x: x), X), x)[0], x)


def test_bfloat16_is_given_as_float32(from_module: Load) -> None:
    result = from_module(Answers(lambda x: x.bfloat16()), X)
    assert [str(spec) for spec in result.signature.outputs] == ["output:float32[batch,4]"]
    assert loaded_answer(result, torch.full((1, 4), 1.001))[0].tolist() == [[1.0] * 4]
    assert any("in bfloat16, which arrays do not have" in note for note in result.notes)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: x.to_sparse(), r"the output 'output' is a sparse tensor, which arrays cannot hold; make it an ordinary one in forward"),
        (lambda x: "a text", "the model's answer holds no tensor: it is a str; return tensors, or a dict or tuple of them"),
        (lambda x: {"a.b": x, "a": {"b": x}}, "the model gives two outputs of one name: a.b, a.b"),
    ],
)
def test_an_answer_that_arrays_cannot_hold(answer: Callable[[Tensor], Any], says: str, from_module: Load) -> None:
    with pytest.raises(SourceError, match=says):
        from_module(Answers(answer), X)


class Scripted(nn.Module):
    def forward(self, batch: dict[str, Tensor], pair: tuple[Tensor, Tensor], more: list[Tensor]) -> dict[str, Tensor]:
        return {"y": batch["x"] * pair[0] + pair[1], "z": more[0]}


def test_torchscript_with_dicts_tuples_and_lists(tmp_path: Path, loaded: Load) -> None:
    torch.jit.script(Scripted()).save(str(tmp_path / "model.ts"))
    names = ("batch.x", "pair.0", "pair.1", "more.0")
    result = loaded(tmp_path / "model.ts", *(f"{name}:float32[batch,2]" for name in names), trust=True)
    given = torch.randn(4, 3, 2)
    assert [spec.name for spec in result.signature.outputs] == ["y", "z"]
    found = loaded_answer(result, *given)
    assert torch.equal(found[0], given[0] * given[1] + given[2]) and torch.equal(found[1], given[3])


def test_torchscript_without_a_forward_names_its_methods(tmp_path: Path, loaded: Load) -> None:
    class Encoder(nn.Module):
        @torch.jit.export
        def encode(self, x: Tensor) -> Tensor:
            return x * 2

    torch.jit.script(Encoder()).save(str(tmp_path / "model.ts"))
    with pytest.raises(SourceError, match="has no forward; its methods are encode"):
        loaded(tmp_path / "model.ts", X, trust=True)


def exported(path: Path, model: nn.Module, positional: tuple[Any, ...], keywords: dict[str, Any] | None = None) -> Path:
    """An ExportedProgram whose every first dimension is free."""
    given = (*positional, *(keywords or {}).values())
    shapes = torch.utils._pytree.tree_map(lambda leaf: {0: BATCH} if isinstance(leaf, Tensor) else None, given)
    torch.export.save(torch.export.export(model.eval(), positional, keywords, dynamic_shapes=shapes), path)
    return path


BATCH = torch.export.Dim("b", min=1, max=512)


@pytest.mark.parametrize("kind", [OneDict, ByKeyword, OneTuple, ImageAndRest], ids=lambda kind: kind.__name__)
def test_programs_keep_the_names_that_they_were_exported_with(kind: type[nn.Module], tmp_path: Path, loaded: Load) -> None:
    x, scale = torch.randn(6, 4), torch.randn(6, 1)
    forms: dict[type[nn.Module], tuple[tuple[Any, ...], dict[str, Any], list[str]]] = {
        OneDict: (({"x": x, "scale": scale},), {}, ["x", "scale"]),
        ByKeyword: ((), {"x": x, "scale": scale, "power": 2}, ["x", "scale"]),
        OneTuple: (((x, scale),), {}, ["pair.0", "pair.1"]),
        ImageAndRest: ((x, {"scale": scale}), {}, ["x", "others.scale"]),
    }
    positional, keywords, names = forms[kind]
    path = exported(tmp_path / "model.pt2", kind(), positional, keywords)
    result = loaded(path, trust=True)
    assert [spec.name for spec in result.signature.inputs] == names
    assert [spec.name for spec in sources.inspect(path).signature.inputs] == names  # type: ignore[union-attr]
    one, other = torch.randn(3, 4), torch.randn(3, 1)
    wanted = one * other ** keywords.get("power", 1)
    assert torch.allclose(loaded_answer(result, one, other)[0], wanted)


def test_a_program_with_an_argument_left_out(tmp_path: Path, loaded: Load) -> None:
    x, scale = torch.randn(6, 4), torch.randn(6, 1)
    result = loaded(exported(tmp_path / "model.pt2", OneLeftOut(), (x, None, scale)), trust=True)
    assert [str(spec) for spec in result.signature.inputs] == [X, S]
    assert torch.equal(loaded_answer(result, x[:2], scale[:2])[0], x[:2] * scale[:2])


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        self.seen[0] += 1
        return x * self.seen[0]


def test_a_program_that_keeps_a_state_is_refused_with_that_word(tmp_path: Path, loaded: Load) -> None:
    with pytest.raises(SourceError, match="keeps a state inside: every call changes its buffer seen"):
        loaded(exported(tmp_path / "state.pt2", Counts(), (torch.ones(3, 4),)), trust=True)
    trains = nn.BatchNorm1d(4)
    torch.export.save(torch.export.export(trains, (torch.ones(3, 4),), dynamic_shapes=({0: BATCH},)), tmp_path / "trains.pt2")
    with pytest.raises(SourceError, match=r"was exported in training mode: BatchNorm changes .* call eval"):
        loaded(tmp_path / "trains.pt2", trust=True)
    assert loaded(exported(tmp_path / "sound.pt2", nn.BatchNorm1d(4), (torch.ones(3, 4),)), trust=True).parameters == 8


def test_of_several_programs_one_is_chosen_by_signature(tmp_path: Path) -> None:
    from torch.export.pt2_archive._package import package_pt2

    programs = {
        name: torch.export.export(Answers(partial(torch.mul, other=factor)), (torch.ones(3, 4),))
        for name, factor in (("encode", 2), ("decode", 5))
    }
    path = tmp_path / "model.pt2"
    package_pt2(path, exported_programs=programs)
    assert set(sources.inspect(path).signatures) == {"encode", "decode"}
    with pytest.raises(UsageError, match=r"has the programs .*; name one: --signature"):
        sources.load(sources.LoadRequest(sources.identify(path, trust=True), (), None, tmp_path / "a"))
    chosen = sources.load(sources.LoadRequest(sources.identify(path, trust=True, signature="decode"), (), None, tmp_path / "b"))
    assert loaded_answer(chosen, torch.ones(3, 4))[0][0, 0] == 5


@pytest.mark.parametrize("name", ["modules", "parameters", "children", "eval", "train", "state_dict", "buffers", "named_modules"])
def test_attributes_that_are_called_like_methods_of_torch(name: str, from_module: Load, tmp_path: Path) -> None:
    class Shadows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.9))
            object.__setattr__(self, name, [1, 2])

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)

    model = nn.Sequential(Shadows())
    result, x = from_module(model, X), torch.randn(3, 4)
    assert result.parameters == 10
    assert torch.equal(loaded_answer(result, x)[0], model[0].inner[0](x))


def test_weights_for_an_architecture_with_such_an_attribute(tmp_path: Path, loaded: Load) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__(); self.fc = nn.Linear(4, 2)\n"
        "        object.__setattr__(self, 'modules', []); object.__setattr__(self, 'parameters', {})\n"
        "    def train(self, data): return [row for row in data]\n    def forward(self, x): return self.fc(x)\n"
    )
    fc = nn.Linear(4, 2).half()
    torch.save({f"fc.{name}": tensor for name, tensor in fc.state_dict().items()}, tmp_path / "net.pt")
    x = torch.randn(2, 4)
    result = loaded(tmp_path / "net.pt", X, arch=f"{tmp_path / 'net.py'}:Net")
    assert torch.allclose(loaded_answer(result, x)[0], fc.float()(x))


def test_a_settings_object_that_answers_any_attribute(from_module: Load) -> None:
    class Settings(dict):  # type: ignore[type-arg]
        def __getattr__(self, name: str) -> Any:
            return self[name]

    class Configured(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.settings, self.fc = Settings(scale=2.0), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) * self.settings["scale"]

    model, x = Configured(), torch.randn(3, 4)
    assert torch.allclose(loaded_answer(from_module(model, X), x)[0], model(x))


def test_inputs_that_are_called_like_words_of_python(from_module: Load) -> None:
    class Batched(nn.Module):
        def forward(self, batch: dict[str, Tensor]) -> Tensor:
            return batch["image"] + batch["class"]

    result = from_module(Batched(), "image:float32[batch,4]", "class:float32[batch,4]")
    assert [spec.name for spec in result.signature.inputs] == ["image", "class"]


def test_what_lives_inside_a_module(from_module: Load) -> None:
    """A script, a trace, a compiled and a wrapped part, a graph module, a lambda, a hook."""
    part = nn.Linear(4, 4).eval()
    parts = {
        "script": torch.jit.script(part),
        "trace": torch.jit.trace(part, torch.ones(2, 4)),
        "compiled": torch.compile(part),
        "wrapped": nn.DataParallel(part),
        "graph": torch.fx.symbolic_trace(part),
    }

    class Holds(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.last = inner, lambda x: x + 1

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.inner(x))

    for name, inner in parts.items():
        x = torch.randn(3, 4)
        result = from_module(Holds(inner), X)
        assert torch.allclose(loaded_answer(result, x)[0], part(x) + 1), name
    hooked, plain = nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 4)
    plain.load_state_dict(hooked[0].state_dict())
    hooked[0].register_forward_hook(lambda module, given, answer: answer * 2)
    assert torch.allclose(loaded_answer(from_module(hooked, X), x)[0], plain(x) * 2)


def test_a_forward_that_was_replaced_on_the_instance(from_module: Load) -> None:
    model = OneLeftOut()
    model.forward = partial(model.forward, scale=torch.tensor(3.0))
    assert loaded_answer(from_module(model, X), torch.ones(1, 4))[0].tolist() == [[3.0] * 4]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_type_become_float32_with_a_word(dtype: torch.dtype, from_module: Load) -> None:
    model = nn.Linear(4, 2).to(dtype)
    result = from_module(model, X)
    assert f"weights in {str(dtype).removeprefix('torch.')} were made float32" in result.notes
    assert model.weight.dtype == dtype
    assert loaded_answer(result, torch.ones(1, 4))[0].dtype == torch.float32


def test_a_lazy_layer_that_was_never_run_and_weights_without_values(from_module: Load) -> None:
    with pytest.raises(SourceError, match=r"the layer '0' \(LazyLinear\) has no weights yet: .* run the model once on an example"):
        from_module(nn.Sequential(nn.LazyLinear(3)), X)
    with pytest.raises(SourceError, match="has weights on the device 'meta', which holds no values"):
        from_module(nn.Linear(4, 2, device="meta"), X)
    run = nn.Sequential(nn.LazyLinear(3))
    run(torch.ones(1, 4))
    assert from_module(run, X).parameters == 15


def test_samples_by_the_names_of_a_dict(from_module: Load, tmp_path: Path) -> None:
    from roadworthy.core import samples

    generator = np.random.default_rng(0)
    rows = {name: generator.standard_normal((9, width)).astype(np.float32) for name, width in (("x", 4), ("scale", 1))}
    result = from_module(OneDict(), samples=samples.write(tmp_path / "samples", rows))
    assert [str(spec) for spec in result.signature.inputs] == [X, S]


def test_example_inputs_in_containers_name_the_inputs() -> None:
    def names(model: Any, examples: Any) -> list[str]:
        return list(sources.named_examples(model, examples))

    x, scale = torch.ones(2, 4), torch.ones(2, 1)
    for model in (OneDict(), torch.jit.script(OneDict()), nn.DataParallel(OneDict())):
        assert names(model, ({"x": x, "scale": scale},)) == ["x", "scale"]
    assert names(ImageAndRest(), (x, {"scale": scale})) == ["x", "others.scale"]
    assert names(OneTuple(), {"pair": (x, scale)}) == ["pair.0", "pair.1"]
    assert names(torch.export.export(ImageAndRest(), (x, {"scale": scale})), (x, {"scale": scale})) == ["x", "others.scale"]
    assert names(OneLeftOut(), x) == ["x"]
    with pytest.raises(UsageError, match="there are 2 example inputs, and OneDict takes 1: batch"):
        names(OneDict(), (x, scale))
