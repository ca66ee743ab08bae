"""The losses of ``OutputLoss`` on PyTorch tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from roadworthy.build.compress.outputs import LEAST, NO_CLASS, OutputLoss


def soft(loss: OutputLoss, given: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """How far the answers ``given`` are from the original's, ``wanted``; both are in the output's own shape.

    The divergence of the softened probabilities, times the squared temperature, so that its slope does not depend on the temperature
    (Hinton, Vinyals and Dean 2015); the squared error of values, in units of their mean square.
    """
    if loss.form == "values":
        return functional.mse_loss(given, wanted) / loss.scale
    squared = temperature * temperature
    if loss.form == "shares":
        target = torch.sigmoid(_logits(loss, wanted) / temperature)
        entropy = functional.binary_cross_entropy(target, target)
        return squared * (functional.binary_cross_entropy_with_logits(_logits(loss, given) / temperature, target) - entropy)
    ours, theirs = (functional.log_softmax(_logits(loss, one) / temperature, dim=loss.axis) for one in (given, wanted))
    return squared * (theirs.exp() * (theirs - ours)).sum(dim=loss.axis).mean()


def hard(loss: OutputLoss, given: Tensor, labels: Tensor) -> Tensor:
    """How far the answers ``given`` are from prepared ``labels``: cross-entropy, or the squared error of values as above."""
    if loss.form == "values":
        return functional.mse_loss(given, labels.reshape(given.shape)) / loss.scale
    if loss.form == "shares":
        return functional.binary_cross_entropy_with_logits(_logits(loss, given), labels.reshape(given.shape))
    # A batch of masks in which no pixel counts has no loss, not a mean of nothing.
    logs = functional.log_softmax(_logits(loss, given), dim=loss.axis)
    counted = labels != NO_CLASS
    picked = logs.gather(loss.axis, labels.clamp(min=0).unsqueeze(loss.axis)).squeeze(loss.axis)
    return -(picked * counted).sum() / counted.sum().clamp(min=1)


def features(given: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """The mean over layers of the squared error of their answers, each in units of the original's mean square."""
    errors = [
        functional.mse_loss(ours, theirs) / theirs.square().mean().clamp(min=LEAST) for ours, theirs in zip(given, wanted, strict=True)
    ]
    return torch.stack(errors).mean()


def _logits(loss: OutputLoss, given: Tensor) -> Tensor:
    """Scores whose softmax or sigmoid the answers are."""
    if not loss.applied:
        return given
    safe = given.clamp(min=LEAST)
    return safe.log() if loss.form == "classes" else torch.logit(given, eps=LEAST)
