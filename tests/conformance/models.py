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

from conformance import of_tensorflow
from roadworthy.core.isolation.worker import Worker
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, Arrays, Signature, TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from support.models.networks import SmallCNN

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
    """``build`` makes it in PyTorch; one without is TensorFlow's. ``static`` is the number of samples of a model that takes no other."""

    signature: Signature
    formats: tuple[str, ...]
    build: Callable[[], nn.Module] | None = None
    static: int | None = None

    @property
    def batches(self) -> tuple[int, ...]:
        return (self.static,) if self.static else BATCHES

    def feeds(self, batch: int, seed: int = 0) -> dict[str, Array]:
        """Random inputs: normal numbers, pixels, or token numbers."""
        random = np.random.default_rng(seed)
        shapes = {spec: [batch, *spec.shape[1:]] for spec in self.signature.inputs}
        ends = {"uint8": 256, "int64": 50}
        return {
            spec.name: random.integers(0, ends[spec.dtype], shape, spec.dtype)
            if spec.dtype in ends
            else random.standard_normal(shape, dtype=np.float32)
            for spec, shape in shapes.items()
        }


def _spec(name: str, *sizes: int, dtype: str = "float32", batch: int | str = BATCH) -> TensorSpec:
    return TensorSpec(name, dtype, (batch, *sizes))


OF_TORCH = ("module", "pt2", "onnx", "jit")
MODELS = {
    "convolutions": Model(Signature((IMAGE,), (_spec("logits", 10),)), OF_TORCH, Convolutions),
    "linear": Model(Signature((IMAGE,), (_spec("logits", 10),)), (*OF_TORCH, "npz"), Linear),
    "two_inputs": Model(Signature((_spec("zulu", 6), _spec("alpha", 6)), (_spec("difference", 4),)), OF_TORCH, TwoInputs),
    "two_outputs": Model(Signature((_spec("x", 6),), (_spec("zulu.scores", 4), _spec("alpha", dtype="int64"))), OF_TORCH, TwoOutputs),
    "words": Model(Signature((_spec("tokens", 7, dtype="int64"),), (_spec("sense", 3),)), OF_TORCH, Words),
    "static": Model(Signature((IMAGE.fixed(2),), (_spec("logits", 10, batch=2),), 2), OF_TORCH, Convolutions, static=2),
    **{name: Model(signature, of_tensorflow.formats(name)) for name, signature in of_tensorflow.SIGNATURES.items()},
}


@dataclass(frozen=True)
class Captured:
    """A model as graphs by format, with its own answers."""

    model: Model
    graphs: dict[str, Graph]
    answers: Callable[[Arrays], dict[str, Array]]


def capture(name: str, folder: Path, worker: Worker) -> Captured:
    """The model of that name by the frameworks' own exporters, nothing of ours in between; TensorFlow works in the child."""
    model = MODELS[name]
    if model.build is None:
        paths = worker.ask(of_tensorflow.write, of_tensorflow.WriteRequest(name, folder)).paths
        return Captured(model, _graphs(model, paths), of_tensorflow.ANSWERS[name])
    torch.manual_seed(0)
    module = model.build().eval()
    paths = _exported(model, module, folder)

    def answers(feeds: Arrays) -> dict[str, Array]:
        with torch.no_grad():
            outputs = module(*(torch.from_numpy(np.array(feeds[spec.name])) for spec in model.signature.inputs))
        return {spec.name: output.numpy() for spec, output in zip(model.signature.outputs, outputs, strict=True)}

    return Captured(model, _graphs(model, paths), answers)


def _graphs(model: Model, paths: dict[str, Path]) -> dict[str, Graph]:
    return {form: Graph(form, path, model.signature, "conformance") for form, path in paths.items()}


def _exported(model: Model, module: nn.Module, folder: Path) -> dict[str, Path]:
    inputs = tuple(torch.from_numpy(array) for array in model.feeds(model.static or 3).values())
    names = [spec.name for spec in model.signature.inputs], [spec.name for spec in model.signature.outputs]
    paths = {
        "module": torch_module.save(module, folder),
        "pt2": folder / "graph.pt2",
        "onnx": folder / "graph.onnx",
        "jit": folder / "graph.ts",
    }
    with _without_deprecations(), torch.no_grad():
        dynamic = None if model.static else tuple({0: torch.export.Dim("batch")} for _ in inputs)
        torch.export.save(torch.export.export(module, inputs, dynamic_shapes=dynamic, strict=False), paths["pt2"])
        axes = {} if model.static else {tensor: {0: "batch"} for tensor in names[0] + names[1]}
        torch.onnx.export(module, inputs, paths["onnx"], dynamo=False, input_names=names[0], output_names=names[1], dynamic_axes=axes)
        torch.jit.trace(module, inputs).save(str(paths["jit"]))
    if isinstance(module, Linear):
        paths["npz"] = folder / "graph.npz"
        np.savez(paths["npz"], weight=module.map.weight.detach().numpy().T, bias=module.map.bias.detach().numpy())
    return paths


@contextmanager
def _without_deprecations() -> Iterator[None]:
    """The two older exporters say that they are old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
