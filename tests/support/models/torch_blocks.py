"""Small networks, one for each form of block that a cut can meet; ``width`` scales their channels. Each takes images [n, 3, 8, 8]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune


class Chain(nn.Sequential):
    """Modules one after the other, of which a test says all; the last is the head."""


def plain(width: int) -> nn.Module:
    return Chain(
        nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Conv2d(width, 2 * width, 3, stride=2),
        nn.LeakyReLU(0.1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 5),
    )  # fmt: skip


def flattened(width: int) -> nn.Module:
    return Chain(
        nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width), nn.MaxPool2d(2), nn.Conv2d(width, width, 1), nn.PReLU(), nn.Flatten(),
        nn.Linear(16 * width, width), nn.Tanh(), nn.Linear(width, 5),
    )  # fmt: skip


def linear_only(width: int) -> nn.Module:
    return Chain(
        nn.Flatten(),
        nn.Linear(192, width),
        nn.BatchNorm1d(width),
        nn.GELU(),
        nn.Linear(width, 2 * width),
        nn.ELU(),
        nn.Linear(2 * width, 5),
    )


def depthwise_separable(width: int) -> nn.Module:
    return Chain(
        nn.Conv2d(3, width, 3, padding=1), nn.ReLU6(inplace=True), nn.Conv2d(width, width, 3, padding=1, groups=width),
        nn.BatchNorm2d(width), nn.Hardswish(), nn.Conv2d(width, 2 * width, 1), nn.SiLU(),
        nn.Conv2d(2 * width, 4 * width, 3, groups=2 * width), nn.ReLU(),
        nn.Conv2d(4 * width, width, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(width, 5),
    )  # fmt: skip


def grouped(width: int) -> nn.Module:
    return Chain(
        nn.Conv2d(3, 4 * width, 1), nn.ReLU(), nn.Conv2d(4 * width, 8 * width, 3, groups=4), nn.BatchNorm2d(8 * width), nn.ReLU(),
        nn.Conv2d(8 * width, width, 1), nn.AvgPool2d(6), nn.Flatten(), nn.Linear(width, 5),
    )  # fmt: skip


class Functional(nn.Module):
    """No module between the layers: everything by functions and methods."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.c, self.head = nn.Conv2d(width, width, 1), nn.Linear(4 * width, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu_(self.a(image))
        x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 2)
        x = self.b(x)
        x = x * torch.sigmoid(x)
        x = F.interpolate(F.dropout(x, training=self.training), scale_factor=2.0)
        x = F.adaptive_avg_pool2d(self.c(x).clamp(min=0), 2)
        return self.head(torch.reshape(x.transpose(2, 3), (x.size(0), -1)))


class Residual(nn.Module):
    """One block beside a shortcut: ``identity``, ``projection`` (a convolution), or ``padding`` with zeros (option A)."""

    def __init__(self, width: int, shortcut: str) -> None:
        super().__init__()
        out = width if shortcut == "identity" else 2 * width
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, out, 3, padding=1), nn.BatchNorm2d(out)
        self.shortcut = nn.Conv2d(width, out, 1) if shortcut == "projection" else None
        self.extra, self.head = out - width, nn.Linear(out, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.stem(image))
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.extra:
            x = F.pad(x, (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
        return self.head(F.relu(x + y).mean((2, 3)))


class Dense(nn.Module):
    """Concatenations, as in DenseNet; the image itself is a part of the last one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, padding=1)
        self.norm, self.c = nn.BatchNorm2d(3 * width), nn.Conv2d(3 * width, width, 1)
        self.head = nn.Linear(4 * width + 3, 5)

    def forward(self, image: Tensor) -> Tensor:
        a = F.relu(self.a(image))
        b = self.b(a)
        c = self.c(F.relu(self.norm(torch.cat([a, b], 1))))
        return self.head(torch.cat([b, image, c, a], dim=1).mean((2, 3)))[:, :5]


class SqueezeExcite(nn.Module):
    """The channels of ``wide`` are scaled by gates that come from their means."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide, self.reduce = nn.Conv2d(3, 2 * width, 3), nn.Conv2d(2 * width, width, 1)
        self.expand, self.narrow, self.head = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1), nn.Linear(width, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = F.hardswish(self.wide(image))
        gate = self.expand(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1))))
        return self.head(self.narrow(x * F.hardsigmoid(gate)).amax(dim=(2, 3)))


class Shared(nn.Module):
    """``twice`` is called twice; ``one`` and ``other`` are two layers with one weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.twice = nn.Conv2d(3, width, 1), nn.Conv2d(width, width, 3, padding=1)
        self.one, self.other, self.last = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.other.weight, self.head = self.one.weight, nn.Linear(width, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.twice(F.relu(self.twice(self.first(image))))
        return self.head(self.last(F.relu(self.other(F.relu(self.one(x))))).mean((-1, -2)))


class Sequence(nn.Module):
    """Convolutions along one axis; the answer of the middle layer is also added up over its channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.bn, self.b = nn.Conv1d(3, width, 3), nn.BatchNorm1d(width), nn.Conv1d(width, width, 3, groups=1)
        self.c, self.head = nn.Conv1d(width, width, 1), nn.Linear(width, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = F.max_pool1d(F.relu(self.bn(self.a(image.flatten(2)))), 2)
        x = F.relu(self.b(x))
        return self.head(F.adaptive_avg_pool1d(self.c(x), 1).squeeze(-1)) + x.mean((1, 2)).unsqueeze(1)


class TwoOutputs(nn.Module):
    """The second output is what a layer in the middle gives."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, width, 3), nn.Conv2d(width, width, 3), nn.Conv2d(width, width, 3)
        self.head = nn.Linear(width, 5)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        middle = F.relu(self.b(F.relu(self.a(image))))
        return {"logits": self.head(self.c(middle).mean((2, 3))), "middle": middle}


class Computed(nn.Module):
    """Weights that are computed at each call by hooks, and a layer of a class of the user's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = (
            nn.Conv2d(3, width, 3),
            nn.Conv2d(width, width, 3),
            Centred(width, width, 1),
            nn.Linear(width, 5),
        )
        self.d = nn.Conv2d(width, width, 1)
        prune.l1_unstructured(self.a, "weight", 0.3)
        nn.utils.spectral_norm(self.b)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.d(F.relu(self.c(F.relu(self.b(F.relu(self.a(image))))))).mean((2, 3)))


class Centred(nn.Conv2d):
    """A convolution with weights of mean zero: it depends on all of them."""

    def forward(self, image: Tensor) -> Tensor:
        return self._conv_forward(image, self.weight - self.weight.mean(), self.bias)


class Activated(nn.BatchNorm2d):
    """A normalisation that also activates, as timm has them."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__(channels)
        self.act = nn.LeakyReLU(slope)

    def forward(self, image: Tensor) -> Tensor:
        return self.act(super().forward(image))


def activated(width: int) -> nn.Module:
    return Chain(
        nn.Conv2d(3, width, 3), Activated(width, 0.2), nn.Conv2d(width, width, 3), nn.BatchNorm2d(width, affine=False), nn.Flatten(),
        nn.Linear(16 * width, 5),
    )  # fmt: skip


class Literal(nn.Module):
    """The code says how many channels there are: in ``view``, by a place among the channels, and by halves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.a, self.b, self.c = nn.Conv2d(3, width, 1), nn.Conv2d(width // 2, width, 1), nn.Conv2d(width // 2, width, 1)
        self.d, self.head = nn.Conv2d(width, width, 1), nn.Linear(width * 64, 5)
        self.scale = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.a(image)[:, : self.width // 2]
        first, second = self.b(x).chunk(2, dim=1)
        return self.head(F.relu(self.d(self.c(first * second) * self.scale)).view(-1, self.width * 64))


class Mixing(nn.Module):
    """Operators that read several channels at once: normalisations over them, softmax, shuffling, attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, width, 1), nn.GroupNorm(2, width), nn.Conv2d(width, width, 1)
        self.c, self.d, self.head = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1), nn.Linear(width, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = F.layer_norm(self.b(self.norm(self.a(image))), (8, 8))
        x = F.softmax(self.c(x), 1)
        x = F.normalize(self.d(x).flatten(2), dim=2)
        return self.head((x @ x.transpose(1, 2)).mean(2))


class Attended(nn.Module):
    """A transformer's layer: only the channels inside its two linear layers are nobody else's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into, self.norm = nn.Linear(24, width), nn.LayerNorm(width)
        self.up, self.down, self.head = nn.Linear(width, 3 * width), nn.Linear(3 * width, width), nn.Linear(width, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.into(image.transpose(1, 2).flatten(2))
        x = x + self.down(F.gelu(self.up(self.norm(x))))
        return self.head(x.mean(1))


@dataclass(frozen=True)
class Form:
    """A network by its width, and what is to be found in it: the names of its blocks, of its streams, and words for what is left."""

    build: Callable[[int], nn.Module]
    blocks: tuple[str, ...]
    streams: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("output",)


TWICE = "which is called more than once"
FORMS = {
    "plain": Form(plain, ("0", "4"), left={"8": "one of the model's own"}),
    "flatten": Form(flattened, ("0", "3", "6")),
    "linear": Form(linear_only, ("1", "4")),
    "depthwise-separable": Form(depthwise_separable, ("0", "5", "9")),
    "grouped": Form(grouped, ("0", "2", "5")),
    "functional": Form(Functional, ("a", "b", "c")),
    "identity": Form(lambda width: Residual(width, "identity"), ("conv1",), ("stem",), {"conv2": "added to that of stem"}),
    "projection": Form(lambda width: Residual(width, "projection"), ("stem", "conv1"), ("conv2",), {"shortcut": "added to that of conv2"}),
    "padding": Form(lambda width: Residual(width, "padding"), ("conv1",), left={"stem": "of conv2, which", "conv2": "added to values"}),
    "concatenation": Form(Dense, ("a", "b", "c"), left={"head": "one of the model's own"}),
    "squeeze-and-excite": Form(SqueezeExcite, ("wide", "reduce", "narrow")),
    "shared": Form(Shared, ("last",), left={"first": f"read by twice, {TWICE}", "twice": "more than once", "one": "weights with other"}),
    "one axis": Form(Sequence, ("a", "c"), left={"b": "summed up or compared over its channels"}),
    "two outputs": Form(TwoOutputs, ("a", "c"), left={"b": "one of the model's own"}, outputs=("logits", "middle")),
    "computed": Form(Computed, ("d",), left={"a": "hooks", "b": "hooks", "c": "Centred, whose channels cannot be cut"}),
    "activated": Form(activated, ("0", "2"), left={"5": "one of the model's own"}),
    "literal": Form(Literal, (), left={"a": "by the position", "b": "by the position", "c": "values that no", "d": "needs the number"}),
    "mixing": Form(
        Mixing,
        (),
        left={"a": "GroupNorm, whose channels", "b": "layer_norm", "c": "over its channels", "d": "not known to"},
    ),
    "transformer": Form(Attended, ("up",), left={"into": "LayerNorm", "down": "into"}),
}


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """``module`` in inference mode with all parameters and statistics away from their first values: no two channels are the same."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data += 0.3 * torch.rand(tensor.shape, generator=generator)
    return module.eval()
