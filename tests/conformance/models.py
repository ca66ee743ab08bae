"""Small models, each for one thing that a backend may get wrong, in every graph format that can be captured here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from networks import SmallCNN
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec
from roadworthy.runtimes import _module

BATCHES = (1, 2, 3, 5)
IMAGE = TensorSpec("image", "float32", (BATCH, 1, 8, 8))


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = SmallCNN()

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.network(image),)


class Linear(nn.Module):
    """The one that the null runtime takes as well."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.map(image.flatten(1)),)


class TwoInputs(nn.Module):
    """Not symmetric in its inputs, so that exchanging them shows."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, zulu: Tensor, alpha: Tensor) -> tuple[Tensor]:
        return (self.left(zulu) - 3 * torch.relu(self.right(alpha)),)


class TwoOutputs(nn.Module):
    """Outputs of two dtypes, whose names are not in the order of the alphabet; one name has a dot, as nested ones do."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.map(x)
        return scores, scores.argmax(1)


class Words(nn.Module):
    """int64 in."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(50, 8), nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> tuple[Tensor]:
        return (self.head(self.table(tokens).mean(1)),)


@dataclass(frozen=True)
class Model:
    """``static`` is the number of samples of a model that takes no other."""

    build: Callable[[], nn.Module]
    signature: Signature
    static: int | None = None

    @property
    def formats(self) -> tuple[str, ...]:
        return ("module", "pt2", "onnx", "jit", *(("npz",) if self.build is Linear else ()))

    @property
    def batches(self) -> tuple[int, ...]:
        return (self.static,) if self.static else BATCHES

    def feeds(self, batch: int, seed: int = 0) -> dict[str, Array]:
        """Random inputs: normal numbers, or token numbers."""
        random = np.random.default_rng(seed)
        shapes = {spec: [batch, *spec.shape[1:]] for spec in self.signature.inputs}
        return {
            spec.name: random.integers(0, 50, shape) if spec.dtype == "int64" else random.standard_normal(shape, dtype=np.float32)
            for spec, shape in shapes.items()
        }


def _spec(name: str, *sizes: int, dtype: str = "float32", batch: int | str = BATCH) -> TensorSpec:
    return TensorSpec(name, dtype, (batch, *sizes))


MODELS = {
    "convolutions": Model(Convolutions, Signature((IMAGE,), (_spec("logits", 10),))),
    "linear": Model(Linear, Signature((IMAGE,), (_spec("logits", 10),))),
    "two_inputs": Model(TwoInputs, Signature((_spec("zulu", 6), _spec("alpha", 6)), (_spec("difference", 4),))),
    "two_outputs": Model(TwoOutputs, Signature((_spec("x", 6),), (_spec("zulu.scores", 4), _spec("alpha", dtype="int64")))),
    "words": Model(Words, Signature((_spec("tokens", 7, dtype="int64"),), (_spec("sense", 3),))),
    "static": Model(Convolutions, Signature((IMAGE.fixed(2),), (_spec("logits", 10, batch=2),), 2), static=2),
}


@dataclass(frozen=True)
class Captured:
    """A model as graphs by format, with its own answers; ``module`` is the live original."""

    model: Model
    module: nn.Module
    graphs: dict[str, Graph]

    def answers(self, feeds: dict[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            outputs = self.module(*(torch.from_numpy(np.array(feeds[spec.name])) for spec in self.model.signature.inputs))
        return {spec.name: output.numpy() for spec, output in zip(self.model.signature.outputs, outputs, strict=True)}


def capture(name: str, folder: Path) -> Captured:
    """The model of that name by the frameworks' own exporters, nothing of ours in between."""
    model = MODELS[name]
    torch.manual_seed(0)
    module = model.build().eval()
    inputs = tuple(torch.from_numpy(array) for array in model.feeds(model.static or 3).values())
    names = [spec.name for spec in model.signature.inputs], [spec.name for spec in model.signature.outputs]
    paths = {"module": _module.save(module, folder), "pt2": folder / "graph.pt2", "onnx": folder / "graph.onnx", "jit": folder / "graph.ts"}
    with _without_deprecations(), torch.no_grad():
        dynamic = None if model.static else tuple({0: torch.export.Dim("batch")} for _ in inputs)
        torch.export.save(torch.export.export(module, inputs, dynamic_shapes=dynamic, strict=False), paths["pt2"])
        axes = {} if model.static else {tensor: {0: "batch"} for tensor in names[0] + names[1]}
        torch.onnx.export(module, inputs, paths["onnx"], dynamo=False, input_names=names[0], output_names=names[1], dynamic_axes=axes)
        torch.jit.trace(module, inputs).save(str(paths["jit"]))
    if isinstance(module, Linear):
        paths["npz"] = folder / "graph.npz"
        np.savez(paths["npz"], weight=module.map.weight.detach().numpy().T, bias=module.map.bias.detach().numpy())
    graphs = {form: Graph(form, path, model.signature, "conformance") for form, path in paths.items()}
    return Captured(model, module, graphs)


@contextmanager
def _without_deprecations() -> Iterator[None]:
    """The two older exporters say that they are old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
