"""One small network in both frameworks with the same weights, with one fault planted at a time; steps for children to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.compare.layer_diff import LayersRequest, Recorded, record
from roadworthy.core import samples
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec

SIZE, COUNT = 8, 6
FAULTS = ("", "padding", "pool", "epsilon", "flatten", "channels", "swapped", "weights", "activation")


def images() -> Array:
    """float32 [6, 8, 8, 3], channels last."""
    return np.random.default_rng(3).random((COUNT, SIZE, SIZE, 3), dtype=np.float32)


def weights() -> dict[str, Array]:
    """In Keras's layouts; the dense kernel is for features flattened as height, width, channels."""
    random = np.random.default_rng(5)

    def draw(*shape: int, low: float = -0.5, high: float = 0.5) -> Array:
        return random.uniform(low, high, shape).astype(np.float32)

    return {
        "conv": draw(3, 3, 3, 6), "conv bias": draw(6), "gamma": draw(6, low=0.5, high=1.5), "beta": draw(6), "mean": draw(6),
        "variance": draw(6, low=0.02, high=0.1), "depthwise": draw(3, 3, 6, 1), "depthwise bias": draw(6),
        "dense": draw(24, 5), "dense bias": draw(5),
    }  # fmt: skip


@dataclass(frozen=True)
class Making:
    """Where to work, and which variants to make."""

    folder: Path
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """What was recorded of each variant."""

    recorded: dict[str, Recorded]


def torch_models(making: Making) -> Made:
    """A step: the PyTorch side, which has no fault; "pool" pools by 3 with padding, as the Keras side then does."""
    import torch
    from torch import nn

    from roadworthy.frameworks.torch import module as torch_module
    from roadworthy.frameworks.torch.calling import TorchCall, by_position

    given = weights()

    class Pair(nn.Module):
        def __init__(self, pool: nn.Module) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)
            self.norm, self.relu, self.pool = nn.BatchNorm2d(6), nn.ReLU(), pool
            self.depthwise, self.flat, self.dense = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Flatten(), nn.Linear(24, 5)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = self.pool(self.relu(self.norm(self.conv1(image))))
            return self.dense(self.flat(self.depthwise(x)))

    made = {}
    for fault in making.faults:
        module = Pair(nn.MaxPool2d(3, 2, padding=1) if fault == "pool" else nn.MaxPool2d(2)).eval()
        kernel = given["dense"].reshape(2, 2, 6, 5).transpose(2, 0, 1, 3).reshape(24, 5)
        state = {
            "conv1.weight": given["conv"].transpose(3, 2, 0, 1), "conv1.bias": given["conv bias"], "norm.weight": given["gamma"],
            "norm.bias": given["beta"], "norm.running_mean": given["mean"], "norm.running_var": given["variance"],
            "depthwise.weight": given["depthwise"].transpose(2, 3, 0, 1), "depthwise.bias": given["depthwise bias"],
            "dense.weight": kernel.T, "dense.bias": given["dense bias"],
        }  # fmt: skip
        module.load_state_dict({name: torch.tensor(np.ascontiguousarray(array)) for name, array in state.items()}, strict=False)
        folder = making.folder / f"torch-{fault}"
        folder.mkdir(parents=True)
        path = torch_module.save(module, folder, call=TorchCall(by_position(1), ("output",), True))
        made[fault] = _recorded(Graph("module", path, _signature((3, SIZE, SIZE)), "pair"), np.moveaxis(images(), -1, 1), folder)
    return Made(made)


def keras_models(making: Making) -> Made:
    """A step: the Keras side, each variant with its fault."""
    from roadworthy.frameworks.tensorflow import keras_model

    keras = keras_model.package("keras")
    made = {}
    for fault in making.faults:
        model = _keras_model(keras, fault)
        folder = making.folder / f"keras-{fault}"
        folder.mkdir(parents=True)
        original = keras_model.Original("keras", "model.keras", keras_model.KerasCall("graph", ("image",), outputs=("output",)))
        keras_model.save(folder, original, {}, model.save)
        made[fault] = _recorded(Graph("keras", folder, _signature((SIZE, SIZE, 3)), "pair"), images(), folder)
    return Made(made)


def _keras_model(keras: Any, fault: str) -> Any:
    given, layers = weights(), keras.layers
    padded = [] if fault == "padding" else [layers.ZeroPadding2D(1)]
    pool = layers.MaxPooling2D(3, 2, padding="same") if fault == "pool" else layers.MaxPooling2D(2)
    model = keras.Sequential(
        [
            layers.Input((SIZE, SIZE, 3), name="image"),
            *padded,
            layers.Conv2D(6, 3, strides=2, padding="same" if fault == "padding" else "valid", name="conv1"),
            layers.BatchNormalization(epsilon=1e-3 if fault == "epsilon" else 1e-5, momentum=0.9, name="norm"),
            layers.Activation("tanh" if fault == "activation" else "relu", name="relu"),
            pool,
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            layers.Flatten(),
            layers.Dense(5, name="dense"),
        ]
    )
    conv = {"channels": given["conv"][:, :, ::-1], "swapped": given["conv"].swapaxes(0, 1), "weights": given["conv"] * 1.5}
    model.get_layer("conv1").set_weights([conv.get(fault, given["conv"]), given["conv bias"]])
    model.get_layer("norm").set_weights([given[name] for name in ("gamma", "beta", "mean", "variance")])
    model.get_layer("depthwise").set_weights([given["depthwise"], given["depthwise bias"]])
    kernel = given["dense"].reshape(2, 2, 6, 5).transpose(2, 0, 1, 3).reshape(24, 5) if fault == "flatten" else given["dense"]
    model.get_layer("dense").set_weights([kernel, given["dense bias"]])
    return model


def _signature(shape: tuple[int, ...]) -> Signature:
    return Signature((TensorSpec("image", "float32", (BATCH, *shape)),), (TensorSpec("output", "float32", (BATCH, 5)),))


def _recorded(graph: Graph, array: Array, folder: Path) -> Recorded:
    given = samples.write(folder / "samples", {"image": np.ascontiguousarray(array)})
    return record(LayersRequest(graph, given, COUNT, folder / "layers"))
