"""A PyTorch student that learns from its teacher, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from roadworthy.build.compress import checkpoint
from roadworthy.build.compress.batches import Batch
from roadworthy.build.compress.outputs import OutputLoss
from roadworthy.build.compress.rates import RateRange
from roadworthy.build.compress.stages import TeachingRecipe
from roadworthy.build.compress.torch import losses as torch_losses
from roadworthy.build.compress.torch.fake_int8 import FakeInt8
from roadworthy.build.compress.torch.features import SharedLayers
from roadworthy.core.types import Array, Arrays, Signature
from roadworthy.frameworks.torch import traversal

MOMENTUM = 0.9
FOLLOWING = 0.1
"""The part of a batch in the running statistics of batch normalisation while it learns: PyTorch's own usual one."""
STEEPEST = 10.0
"""The largest norm of the slope of all weights together: one batch that is unlike the rest does not destroy what was learned."""
LEARNING = (_BatchNorm, _DropoutNd, nn.RNNBase)
"""Parts that behave in another way while they learn.

Every other part stays in inference mode: a class of the user's own may answer there with other outputs (the second classifier of an
Inception network), and its own dropout by hand would only slow down a training as short as this.
"""


class TorchLearner:
    """A student that takes tensors by position, as ``frameworks.torch.module`` loads it, and its teacher.

    All parameters of floats learn, those too that the user had frozen: what froze them was another training, before the cut.
    ``close`` puts the student back into inference mode, as it was but for its weights.
    """

    rates = RateRange(1e-4, 3.0)

    def __init__(
        self, student: Any, teacher: Any, signature: Signature, losses: Sequence[OutputLoss], recipe: TeachingRecipe, levels: int
    ) -> None:
        torch.manual_seed(recipe.seed)
        self._student, self._teacher, self._signature, self._recipe = student, teacher, signature, recipe
        self._losses = losses
        self._shared = SharedLayers(student, teacher) if recipe.features else None
        self._fake = FakeInt8(student, levels) if recipe.quantised else None
        self._parameters = [tensor for tensor in traversal.parameters(student) if tensor.is_floating_point()]
        self._frozen = [tensor for tensor in self._parameters if not tensor.requires_grad]
        for tensor in self._parameters:
            tensor.requires_grad_(True)
        self._parts = [part for part in traversal.parts(student) if isinstance(part, LEARNING)]
        self._momenta = [(part, part.momentum) for part in self._parts if isinstance(part, _BatchNorm)]
        for part, _ in self._momenta:
            part.momentum = FOLLOWING
        self._layout = torch.contiguous_format
        self._optimiser = torch.optim.SGD(self._parameters, lr=0.0, momentum=MOMENTUM, nesterov=True)

    def learn(self, batch: Batch, rate: float) -> float:
        """One step on ``batch``; the loss before it."""
        feeds = self._signature.to_call(batch.feeds)
        with torch.no_grad():
            wanted = self._teacher(*self._tensors(feeds))
        self._training(True)
        given = self._student(*self._tensors(feeds))
        loss = self._loss(given, wanted, batch.targets)
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, STEEPEST)
        self._optimiser.param_groups[0]["lr"] = rate
        self._optimiser.step()
        return float(loss.detach())

    def answers(self, feeds: Arrays) -> dict[str, Array]:
        """The student's answers in inference mode, in the layout of the signature."""
        self._training(False)
        with torch.no_grad(), self._fake.still() if self._fake else contextlib.nullcontext():
            return _named(self._student(*self._tensors(feeds)), self._signature)

    def state(self) -> bytes:
        """Weights, running statistics, the optimiser's momentum and the random generator."""
        arrays = {f"weights.{number}": tensor.detach().numpy() for number, tensor in enumerate(self._kept())}
        for number, tensor in enumerate(self._parameters):
            momentum = self._optimiser.state[tensor].get("momentum_buffer") if tensor in self._optimiser.state else None
            if momentum is not None:
                arrays[f"momentum.{number}"] = momentum.numpy()
        return checkpoint.packed(arrays | {"random": torch.get_rng_state().numpy()})

    def restore(self, state: bytes) -> None:
        """Continue from ``state``."""
        arrays = checkpoint.unpacked(state)
        with torch.no_grad():
            for number, tensor in enumerate(self._kept()):
                tensor.copy_(torch.from_numpy(arrays[f"weights.{number}"]))
        self._optimiser.state.clear()
        for number, tensor in enumerate(self._parameters):
            if f"momentum.{number}" in arrays:
                self._optimiser.state[tensor] = {"momentum_buffer": torch.from_numpy(arrays[f"momentum.{number}"])}
        torch.set_rng_state(torch.from_numpy(arrays["random"]))

    def set_layout(self, layout: torch.memory_format) -> None:
        """Keep images, and the weights of both models that convolve them, in this order in memory from now on."""
        self._layout = layout
        for tensor in (*traversal.tensors(self._student), *traversal.tensors(self._teacher)):
            if tensor.dim() == 4:
                tensor.data = tensor.data.contiguous(memory_format=layout)

    def close(self) -> None:
        """Take everything out of the student that was put into it to learn."""
        self._training(False)
        self.set_layout(torch.contiguous_format)
        for tensor in self._parameters:
            tensor.grad = None
        for tensor in self._frozen:
            tensor.requires_grad_(False)
        for part, momentum in self._momenta:
            part.momentum = momentum
        if self._shared is not None:
            self._shared.remove()
        if self._fake is not None:
            self._fake.remove()

    def _loss(self, given: Sequence[Tensor], wanted: Sequence[Tensor], targets: Mapping[str, Array]) -> Tensor:
        ours, theirs = self._rows(given), self._rows(wanted)
        soft = self._recipe.soft
        total = torch.zeros(())
        for loss in self._losses:
            labels = targets.get(loss.output)
            part = 1.0 if labels is None else soft
            if part:
                total = total + part * torch_losses.soft(loss, ours[loss.output], theirs[loss.output], self._recipe.temperature)
            if labels is not None and part < 1.0:
                total = total + (1.0 - part) * torch_losses.hard(loss, ours[loss.output], torch.from_numpy(labels))
        if self._shared is not None:
            total = total + torch_losses.features(*self._shared.taken())
        return total

    def _rows(self, answer: Sequence[Tensor]) -> dict[str, Tensor]:
        specs = self._signature.outputs
        return {
            spec.name: tensor if spec.sample_axis in (None, 0) else tensor.movedim(spec.sample_axis, 0)
            for spec, tensor in zip(specs, answer, strict=True)
        }

    def _tensors(self, feeds: Arrays) -> list[Tensor]:
        # Each side gets its own: a model may work in place.
        tensors = [torch.from_numpy(feeds[spec.name].copy()) for spec in self._signature.inputs]
        return [tensor.contiguous(memory_format=self._layout) if tensor.dim() == 4 else tensor for tensor in tensors]

    def _training(self, on: bool) -> None:
        for part in self._parts:
            part.training = on

    def _kept(self) -> list[Tensor]:
        return [*traversal.tensors(self._student), *(self._fake.tensors().values() if self._fake else ())]


def answered(model: Any, feeds: Arrays, signature: Signature) -> dict[str, Array]:
    """What ``model``, which takes tensors by position, answers to ``feeds`` by input name; both in the layout of the signature."""
    with torch.no_grad():
        return _named(model(*[torch.from_numpy(np.array(feeds[spec.name])) for spec in signature.inputs]), signature)


def _named(answer: Sequence[Tensor], signature: Signature) -> dict[str, Array]:
    return {spec.name: tensor.detach().contiguous().numpy() for spec, tensor in zip(signature.outputs, answer, strict=True)}
