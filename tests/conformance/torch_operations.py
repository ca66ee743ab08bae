"""The shape operations in PyTorch, written as their users write them: each can be traced, exported and scripted."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class View(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, 24)


class Reshape(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], 6, 4)


class FlattenOne(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class FlattenBoth(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1, -1)


class FlattenFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(x, start_dim=1)


class SqueezeAxis(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(1)


class Squeeze(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(x.squeeze()).reshape(-1, 5)


class Unsqueeze(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1)


class UnsqueezeLast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1)


class Permute(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


class PermuteBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(x.permute(2, 0, 1)).permute(1, 0, 2)


class Cat(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, y], -1)


class CatBatch(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.exp(torch.cat([x, y], 0))
        return both[: x.shape[0]], both[x.shape[0] :]


class Chunk(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, second, third = x.chunk(3, 1)
        return first, second, third


class Split(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, second, third = x.split([1, 2, 3], 1)
        return first, second, third


class Stack(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([x, y], 1)


class StackFirst(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([x, y], 0).amax(0)


class Ported(nn.Module):
    """Takes NHWC as the Keras model does; what it flattens is channels first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.flatten, self.dense = nn.Conv2d(2, 4, 3, bias=False), nn.Flatten(), nn.Linear(64, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.flatten(torch.relu(self.conv(x.permute(0, 3, 1, 2)))))


class Together(nn.Module):
    """Every case but the last in one model, for the runtime that compiles each model for ten seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.on_x = nn.ModuleList([nn.Flatten(), View(), Reshape(), FlattenOne(), FlattenBoth(), FlattenFunction(), Permute()])
        self.on_y = nn.ModuleList([SqueezeAxis(), Squeeze()])
        self.on_z = nn.ModuleList([Unsqueeze(), UnsqueezeLast()])
        self.on_c = nn.ModuleList([Chunk(), Split()])
        self.on_de = nn.ModuleList([CatBatch(), Stack(), StackFirst()])
        self.on_a, self.on_ab = PermuteBatch(), Cat()

    def forward(self, x: Tensor, y: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor) -> tuple[Tensor, ...]:
        answers = [part(x) for part in self.on_x] + [part(y) for part in self.on_y] + [part(z) for part in self.on_z]
        answers += [self.on_a(a), self.on_ab(a, b)]
        for answer in [*(part(c) for part in self.on_c), *(part(d, e) for part in self.on_de)]:
            answers += answer if isinstance(answer, tuple) else (answer,)
        return tuple(answers)


MODULES: dict[str, type[nn.Module]] = {
    "keras_flatten": nn.Flatten,
    "reshape": View,
    "reshape_of_shape": Reshape,
    "contrib_flatten": FlattenOne,
    "contrib_flatten_older": FlattenBoth,
    "v1_flatten": FlattenFunction,
    "squeeze_axis": SqueezeAxis,
    "squeeze": Squeeze,
    "expand_dims": Unsqueeze,
    "expand_dims_last": UnsqueezeLast,
    "transpose": Permute,
    "transpose_batch": PermuteBatch,
    "concat": Cat,
    "concat_batch": CatBatch,
    "split": Chunk,
    "split_sizes": Split,
    "stack": Stack,
    "stack_first": StackFirst,
    "conv_flatten_dense": Ported,
    "together": Together,
}
