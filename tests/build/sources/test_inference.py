"""Inference mode is proven: each way to fall short of it is named with the module's path, and refused unless it is meant."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roadworthy.build.sources import Loaded
from roadworthy.core.errors import NotInference
from support.models.networks import SmallCNN

pytestmark = pytest.mark.slow

Load = Callable[..., Loaded]
SPEC = "x:float32[batch,4]"


class Around(nn.Module):
    """A sound model with one part of interest in its middle."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.first, self.part, self.last = nn.Linear(4, 6), part, nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.part(self.first(x)))


class FunctionalDropout(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)


class DropoutBetween(Around):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.dropout(self.part(self.first(x)), 0.2))


class ForcedBatchNorm(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training=True)


class StaysInTraining(nn.BatchNorm1d):
    def train(self, mode: bool = True) -> Any:
        return super().train(True)


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = itertools.count(1)
        self.total = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.total += 1.0
        return x + self.total


class ByTheMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class ByTheSize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / x.shape[0]


class Sums(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


FAULTS = [
    (Around(FunctionalDropout()), "'part' (FunctionalDropout)", "two answers"),
    (DropoutBetween(nn.ReLU()), "the forward of the model itself (DropoutBetween), before it calls 'last'", "two answers"),
    (
        Around(nn.Sequential(nn.Identity(), FunctionalDropout())),
        "'part.1'",
        "two answers",
    ),
    (Around(Counts()), "'part' (Counts)", "two answers"),
    (Around(ForcedBatchNorm(6)), "'part' (ForcedBatchNorm)", "takes several samples and not a single one"),
    (Around(nn.BatchNorm1d(6, track_running_stats=False)), "'part' (BatchNorm1d)", "takes several samples and not a single one"),
    (Around(StaysInTraining(6)), "'part' (StaysInTraining)", "training mode after eval()"),
    (Around(ByTheMean()), "'part' (ByTheMean)", "others in its batch"),
    (Around(ByTheSize()), "'part' (ByTheSize)", "alone gets another answer"),
    (Sums(), "the model itself", "others in its batch"),
]


@pytest.mark.parametrize(("model", "path", "what"), FAULTS)
def test_each_departure_is_named_with_its_place(model: nn.Module, path: str, what: str, from_module: Load) -> None:
    with pytest.raises(NotInference) as caught:
        from_module(model, SPEC)
    message = caught.value.message
    assert what in message
    assert path in message
    assert "\n" not in message


class TwoDimensionalFault(nn.Module):
    """On images a batch of one has statistics of its own, so nothing raises."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.body = nn.Sequential(nn.ReLU(), norm)

    def forward(self, image: Tensor) -> Tensor:
        return self.body(self.stem(image)).mean((2, 3))


def test_a_batch_norm_without_running_statistics_is_named(from_module: Load) -> None:
    with pytest.raises(NotInference, match=r"'body\.1' \(BatchNorm2d\): a BatchNorm that uses the batch's own statistics"):
        from_module(TwoDimensionalFault(nn.BatchNorm2d(4, track_running_stats=False)), "image:float32[batch,1,8,8]")


def test_a_batch_norm_forced_into_training_is_named(from_module: Load) -> None:
    class Forced(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True)

    with pytest.raises(NotInference, match=r"others in its batch .* beginning at 'body\.1' \(Forced\)"):
        from_module(TwoDimensionalFault(Forced(4)), "image:float32[batch,1,8,8]")


def test_what_is_meant_is_recorded_instead(from_module: Load) -> None:
    proofs = from_module(Around(FunctionalDropout()), SPEC, allow=True).proofs
    assert any(proof.startswith("the user says it is meant: the same input gave two answers") for proof in proofs)
    proofs = from_module(TwoDimensionalFault(nn.InstanceNorm2d(4)), "image:float32[batch,1,8,8]").proofs
    assert not any("meant" in proof for proof in proofs)


def test_a_sound_model_leaves_its_proofs(from_module: Load) -> None:
    proofs = from_module(SmallCNN().train(), "image:float32[batch,1,8,8]").proofs
    assert proofs[0] == "after eval() no part of the model is in training mode"
    assert "the same 5 samples gave" in proofs[1]
    assert proofs[2] == "a sample's answer stayed the same when the 4 others in its batch were replaced"
    assert proofs[3].startswith("each of 5 samples alone gave what it gave in a batch of 5")


def test_a_model_at_the_edge_of_float32_is_not_refused(from_module: Load) -> None:
    """Its answers move by far more than 1e-5 under rounding; the limit is drawn from the model and not from a constant."""

    class Edge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.deep = nn.Sequential(*(nn.Linear(64, 64) for _ in range(3)))

        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(self.deep(x) * 3e4)

    torch.manual_seed(0)
    from_module(Edge(), "x:float32[batch,64]")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated.*:DeprecationWarning")
def test_an_exported_or_scripted_dropout_is_caught(from_module: Load) -> None:
    program = torch.export.export(Around(FunctionalDropout()).eval(), (torch.randn(2, 4),), dynamic_shapes=({0: torch.export.Dim("n")},))
    with pytest.raises(NotInference, match="two answers"):
        from_module(program)
    with pytest.raises(NotInference, match="two answers"):
        from_module(torch.jit.script(Around(FunctionalDropout())), SPEC)


class KeepsABuffer(nn.Module):
    """Adds what it saw before, which it keeps in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen + x.detach().mean(0)
        return x + self.seen


class KeepsATuple(nn.Module):
    """A recurrent layer that goes on where its last call ended, as examples of streaming have it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 6)
        self.carried: Any = None

    def forward(self, x: Tensor) -> Tensor:
        steps, state = self.lstm(x[None], self.carried if self.carried is not None and self.carried[0].shape[1] == len(x) else None)
        self.carried = tuple(part.detach() for part in state)
        return steps[0]


@pytest.mark.parametrize(
    ("part", "state"),
    [
        (KeepsABuffer(), "the buffer 'seen' of 'part' (KeepsABuffer)"),
        (KeepsATuple(), "the attribute 'carried' of 'part' (KeepsATuple)"),
        (Counts(), "the attribute 'total' of 'part' (Counts)"),
    ],
)
def test_a_state_inside_is_refused_with_its_layer(part: nn.Module, state: str, from_module: Load) -> None:
    with pytest.raises(NotInference) as caught:
        from_module(Around(part), SPEC)
    assert f"keeps a state between calls ({state})" in caught.value.message
    assert "dropout" not in caught.value.message and "--allow" not in caught.value.message


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_what_is_quantised_is_called_int8_and_on_the_fly_one_sample_a_call(from_module: Load) -> None:
    dynamic = torch.ao.quantization.quantize_dynamic(Around(nn.ReLU()).eval(), {nn.Linear}, dtype=torch.qint8)
    loaded = from_module(dynamic, SPEC)
    assert loaded.graph.precision == "int8"
    assert loaded.signature.inputs[0].shape == (1, 4)
    assert any(note.startswith("one sample a call: the model finds the scale of its whole numbers in each call") for note in loaded.notes)
    scripted = torch.jit.trace(dynamic, torch.ones(1, 4))
    loaded = from_module(scripted, SPEC)
    assert (loaded.graph.precision, loaded.signature.inputs[0].shape) == ("int8", (1, 4))
