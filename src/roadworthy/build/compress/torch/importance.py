"""Which channels of a block matter most: by their weights, by the scale of their normalisation, or by what the answers would lose.

Sources: l1: Li et al. 2017, "Pruning Filters for Efficient ConvNets"; batchnorm: Liu et al. 2017, "Learning Efficient Convolutional
Networks through Network Slimming"; gradient: Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource Efficient
Inference", and 2019, "Importance Estimation for Neural Network Pruning", with the answers themselves in place of the loss: no labels are
needed, and the loss against the model's own answers has no gradient. Magnitudes kept more of the answers than squares did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roadworthy.build.compress.stages import Importance
from roadworthy.build.compress.torch.channels import layers
from roadworthy.build.compress.torch.channels.groups import Anatomy
from roadworthy.build.compress.torch.network import Feeds, TorchNetwork
from roadworthy.core.errors import StepFailed
from roadworthy.core.text import first_line
from roadworthy.core.types import Array


def scores(network: TorchNetwork, anatomy: Anatomy, importance: Importance, calls: Sequence[Feeds]) -> Array:
    """The importance of each set of channels by its number, float64; to be compared inside one group alone."""
    if importance == "gradient":
        return _by_gradient(network, anatomy, calls)
    by_weights = _by_layers(anatomy, normalisations=False)
    if importance == "l1":
        return by_weights
    by_scale = _by_layers(anatomy, normalisations=True)
    for group in anatomy.groups.values():
        if not by_scale[group.sets].any():
            # No normalisation with a scale follows this layer.
            by_scale[group.sets] = by_weights[group.sets]
    return by_scale


def _by_layers(anatomy: Anatomy, *, normalisations: bool) -> Array:
    found = np.zeros(anatomy.count)
    for name, made in anatomy.course.makes.items():
        layer = anatomy.course.layers[name]
        chosen = type(layer) in layers.NORMALISATIONS and layer.weight is not None if normalisations else layers.mixes(layer)
        if chosen:
            magnitudes = layer.weight.detach().abs().flatten(1).sum(1) if layer.weight.ndim > 1 else layer.weight.detach().abs()
            # Layers whose channels are added up count alike, whatever their number of weights.
            np.add.at(found, anatomy.sets(made), (magnitudes / magnitudes.mean().clamp_min(1e-30)).double().numpy())
    return found


def _by_gradient(network: TorchNetwork, anatomy: Anatomy, calls: Sequence[Feeds]) -> Array:
    """The mean magnitude, over samples, of the first-order change of the answers in a random direction where a channel is taken away."""
    found, generator = np.zeros(anatomy.count), torch.Generator().manual_seed(0)
    for feeds in calls if anatomy.groups else ():
        gates = torch.ones(network.samples(feeds), anatomy.count, dtype=_floating(feeds), requires_grad=True)
        try:
            with _gated(anatomy, gates), torch.enable_grad():
                loss = sum(_projected(answer, generator) for answer in network.outputs(feeds) if answer.is_floating_point())
                gradient = torch.autograd.grad(loss, gates)[0]
        except Exception as problem:
            raise StepFailed(
                f"the importance of channels cannot be found by gradients, as the model does not pass them on: {first_line(problem)}",
                detail=repr(problem),
            ) from problem
        found += gradient.double().abs().sum(0).numpy()
    return found


def _projected(answer: Tensor, generator: torch.Generator) -> Tensor:
    signs = torch.randint(0, 2, answer.shape, generator=generator) * 2 - 1
    return (answer * signs).sum() / answer.detach().abs().max().clamp_min(1e-30)


@contextmanager
def _gated(anatomy: Anatomy, gates: Tensor) -> Iterator[None]:
    """Every channel that a layer reads is multiplied by its gate, one for each sample."""
    course = anatomy.course
    grouped = np.concatenate([np.empty(0, np.int64), *(group.sets for group in anatomy.groups.values())])
    handles = []
    for name, reads in course.reads.items():
        sets = anatomy.sets(reads)
        if layers.mixes(course.layers[name]) and np.isin(sets, grouped).any():
            where = torch.from_numpy(np.where(np.isin(sets, grouped), sets, 0))
            handles.append(course.layers[name].register_forward_pre_hook(_gate(gates, where)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _gate(gates: Tensor, where: Tensor) -> Any:
    def multiply(layer: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        given, axis = args[0], layers.axis(layer, args[0])
        rows = gates[:, where].repeat_interleave(given.shape[0] // len(gates), 0)
        shape = [len(rows)] + [1] * (given.ndim - 1)
        shape[axis] = -1
        return (given * rows.reshape(shape), *args[1:])

    return multiply


def _floating(feeds: Feeds) -> torch.dtype:
    return next((tensor.dtype for tensor in feeds if tensor.is_floating_point()), torch.float32)
