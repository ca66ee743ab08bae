"""A damaged digits network taught by the one it was made from, in PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from roadworthy.build.compress.stages import Taught, TeachingRecipe, TeachRequest
from roadworthy.build.compress.torch import teach, teaching
from roadworthy.build.compress.torch.fake_int8 import FakeInt8
from roadworthy.core import samples
from roadworthy.core.errors import DataError, SourceError, StepFailed, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.calling import TorchCall, by_position
from support.models.networks import SmallCNN, digits, trained_small_cnn

SIGNATURE = Signature((TensorSpec("image", "float32", ("batch", 1, 8, 8)),), (TensorSpec("scores", "float32", ("batch", 10)),))
EPOCHS = TeachingRecipe(0.0, epochs=6, batch=64)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sums in one order, and torch's threads as they were."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(teaching, "usable_cores", lambda: 1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def original() -> nn.Module:
    return trained_small_cnn(epochs=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[SampleSet, SampleSet]:
    """Training and validation samples with labels, of which the original saw the first alone."""
    folder = tmp_path_factory.mktemp("digits")
    images, classes = (tensor.numpy() for tensor in digits())
    training = samples.write(folder / "training", {"image": images[:960]}, classes[:960])
    return training, samples.write(folder / "validation", {"image": images[-360:]}, classes[-360:])


def unlabelled(data: tuple[SampleSet, SampleSet]) -> tuple[SampleSet, SampleSet]:
    """The same samples, which only the original's answers teach: its own accuracy is no limit then."""
    return replace(data[0], targets=()), replace(data[1], targets=())


def kept(module: nn.Module, folder: Path, signature: Signature = SIGNATURE, **graph: str) -> Graph:
    folder.mkdir()
    names = tuple(spec.name for spec in signature.outputs)
    call = TorchCall(by_position(len(signature.inputs)), names, plain=len(names) == 1 and len(signature.inputs) == 1)
    return Graph("module", torch_module.save(module.eval(), folder, call=call), signature, "the original", **graph)


def damaged(module: nn.Module) -> nn.Module:
    """A copy whose second convolution has lost most of what it learned."""
    student = copy.deepcopy(module)
    convolution = student.features[3]
    with torch.no_grad():
        convolution.weight.copy_(torch.randn(convolution.weight.shape, generator=torch.Generator().manual_seed(0)) * 0.1)
    return student


def request(
    original: nn.Module, data: tuple[SampleSet, SampleSet], folder: Path, recipe: TeachingRecipe = EPOCHS, student: nn.Module | None = None
) -> TeachRequest:
    folder.mkdir(exist_ok=True)
    student = damaged(original) if student is None else student
    graph = kept(student, folder / "student", derived_from="module", compression="pruned50")
    return TeachRequest(graph, kept(original, folder / "teacher"), *data, recipe, folder / "checkpoint", folder / "out")


def answer(taught: Taught, data: tuple[SampleSet, SampleSet]) -> Array:
    """What the taught model on disk answers to the validation samples."""
    with torch.no_grad():
        return torch_module.load(taught.graph.path)(torch.from_numpy(data[1].feeds(0, 360)["image"]))[0].numpy()


def test_a_damaged_student_learns_without_labels(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    taught = teach(request(original, unlabelled(data), tmp_path))
    assert taught.lessons[0].metric < 0.6
    assert taught.lessons[taught.best].metric > 0.93
    assert (taught.graph.format, taught.graph.derived_from, taught.graph.compression) == ("module", "module", "pruned50")
    # The metric is the agreement with the original of what was written.
    with torch.no_grad():
        wanted = original(torch.from_numpy(data[1].feeds(0, 360)["image"])).numpy().argmax(1)
    assert (answer(taught, data).argmax(1) == wanted).mean() == pytest.approx(taught.lessons[taught.best].metric)


def test_labels_alone_teach_another_network(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    torch.manual_seed(1)
    small = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
    asked = request(original, data, tmp_path, replace(EPOCHS, soft=0.0, epochs=10), small)
    taught = teach(replace(asked, student=replace(asked.student, derived_from="", compression="")))
    assert taught.lessons[taught.best].metric > 0.85
    assert (answer(taught, data).argmax(1) == data[1].labels()).mean() == pytest.approx(taught.lessons[taught.best].metric)
    assert (taught.graph.derived_from, taught.graph.compression) == ("module", "taught")


@pytest.mark.soak
def test_equal_requests_give_equal_weights(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    recipe = replace(EPOCHS, epochs=2, soft=0.5, flip=True, crop=1)
    first, second = (teach(request(original, data, tmp_path / name, recipe)) for name in ("a", "b"))
    other = teach(request(original, data, tmp_path / "c", replace(recipe, seed=1)))
    assert np.array_equal(answer(first, data), answer(second, data))
    assert [one.metric for one in first.lessons] == [one.metric for one in second.lessons]
    assert not np.array_equal(answer(first, data), answer(other, data))


def test_a_stopped_training_goes_on_to_the_same_weights(
    original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(EPOCHS, epochs=3)
    whole = teach(request(original, data, tmp_path / "whole", recipe))
    learn, batches = teaching.TorchLearner.learn, iter(range(70))

    def stopped(self: teaching.TorchLearner, *arguments: object) -> float:
        next(batches)
        return learn(self, *arguments)

    halved = request(original, data, tmp_path / "halved", recipe)
    with monkeypatch.context() as patch, pytest.raises(StepFailed):
        patch.setattr(teaching.TorchLearner, "learn", stopped)
        teach(halved)
    assert (tmp_path / "halved" / "checkpoint").is_dir()
    resumed = teach(halved)
    # Dropout draws on: its generator is in the checkpoint.
    assert np.array_equal(answer(whole, data), answer(resumed, data))


def test_all_is_put_back_but_the_weights(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    student = damaged(original)
    for tensor in student.features.parameters():
        tensor.requires_grad_(False)
    student.features[1].momentum = None
    recipe = replace(EPOCHS, epochs=1, features=True, quantised=True)
    taught = torch_module.load(teach(request(original, data, tmp_path, recipe, student)).graph.path).module
    assert not any(part.training for part in taught.modules())
    assert not any(tensor.requires_grad for tensor in taught.features.parameters())
    assert all(tensor.requires_grad for tensor in taught.classifier.parameters())
    assert taught.features[1].momentum is None
    assert taught.features[4].momentum == 0.1
    assert type(taught.features[3]) is nn.Conv2d
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in taught.modules())
    # What was frozen learned too, batch normalisation's statistics included.
    assert not torch.equal(taught.features[0].weight, student.features[0].weight)
    assert not torch.equal(taught.features[1].running_mean, student.features[1].running_mean)


@pytest.mark.soak
def test_features_of_equal_layers_teach(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    taught = teach(request(original, unlabelled(data), tmp_path, replace(EPOCHS, features=True, epochs=4)))
    assert taught.lessons[taught.best].metric > 0.93


def test_features_of_no_layer_are_refused(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    small = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(SourceError, match="leave features out"):
        teach(request(original, data, tmp_path, replace(EPOCHS, features=True), small))


def test_rounding_moves_weights_to_the_grid_of_int8() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()
    before, image = copy.deepcopy(network.state_dict()), torch.randn(8, 3, 4, 4)
    exact = network(image)
    fake = FakeInt8(network, 63)
    rounded = network[0].weight
    steps = rounded / (rounded.abs().amax(dim=(1, 2, 3), keepdim=True) / 63)
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert steps.detach().abs().max().item() == pytest.approx(63)
    seen = network(image)
    assert 1e-4 < (seen - exact).abs().max() < 0.1
    seen.square().mean().backward()
    assert all(tensor.grad is not None and tensor.grad.abs().max() > 0 for tensor in network.parameters())
    fake.remove()
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(now, before[name]) for name, now in network.state_dict().items())


def test_a_quantised_training_learns_through_the_rounding(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    taught = teach(request(original, unlabelled(data), tmp_path, replace(EPOCHS, quantised=True, epochs=4)))
    assert taught.lessons[taught.best].metric > 0.93
    assert torch_module.load(taught.graph.path).module.features[0].weight.dtype == torch.float32


class Several(nn.Module):
    """Probabilities, a number, and the class: three outputs; in training mode it answers otherwise, as Inception does."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU())
        self.head, self.number = nn.Linear(16, 10), nn.Linear(16, 1)

    def forward(self, image):  # type: ignore[no-untyped-def]
        x = self.body(image)
        if self.training:
            return x
        scores = self.head(x).softmax(1)
        return scores, self.number(x)[:, 0], scores.argmax(1)


def test_probabilities_and_numbers_and_classes_at_once(data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    torch.manual_seed(0)
    signature = replace(
        SIGNATURE,
        outputs=(TensorSpec("a", "float32", ("batch", 10)), TensorSpec("b", "float32", ("batch",)), TensorSpec("c", "int64", ("batch",))),
    )
    names = ("output_0", "output_1", "output_2")
    signature = replace(signature, outputs=tuple(replace(one, name=name) for one, name in zip(signature.outputs, names, strict=True)))
    teacher, student = Several(), Several()
    asked = TeachRequest(
        kept(student, tmp_path / "s", signature),
        kept(teacher, tmp_path / "t", signature),
        *unlabelled(data),
        replace(EPOCHS, epochs=15),
        tmp_path / "c",
        tmp_path / "o",
    )
    taught = teach(asked)
    assert taught.lessons[taught.best].metric > taught.lessons[0].metric + 0.1
    assert taught.lessons[-1].loss < taught.lessons[0].loss / 4


def test_shapes_that_differ_are_both_named(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    asked = request(original, data, tmp_path, student=SmallCNN(classes=7))
    with pytest.raises(SourceError, match=r"\[7\] for a sample where the original's has \[10\]"):
        teach(asked)
    stated = replace(SIGNATURE, outputs=(TensorSpec("scores", "float32", ("batch", 7)),))
    with pytest.raises(SourceError, match=r"\[batch,7\] where the original gives scores:float32\[batch,10\]"):
        teach(replace(asked, student=replace(asked.student, signature=stated)))


def test_samples_that_are_not_numbers_are_refused(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    images = data[0].feeds(0, 128)["image"]
    images[:, 0, 0, 0] = np.nan
    bad = samples.write(tmp_path / "bad", {"image": images})
    with pytest.raises(StepFailed, match="not a number before anything was learned"):
        teach(request(original, (bad, data[1]), tmp_path))


def test_a_recorded_graph_is_refused(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    program = torch.export.export(original, (torch.zeros(2, 1, 8, 8),))
    asked = request(original, data, tmp_path)
    recorded = replace(asked.student, path=torch_module.save(original, tmp_path, program=program))
    with pytest.raises(SourceError, match="recording of the model in inference mode"):
        teach(replace(asked, student=recorded))


def test_recipes_that_make_no_sense_are_refused(original: nn.Module, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    asked = request(original, data, tmp_path)
    for wrong in (replace(EPOCHS, soft=1.5), replace(EPOCHS, temperature=0.0), replace(EPOCHS, batch=1), replace(EPOCHS, epochs=0)):
        with pytest.raises(UsageError):
            teach(replace(asked, recipe=wrong))
    with pytest.raises(DataError, match="no labels"):
        teach(replace(asked, recipe=replace(EPOCHS, soft=0.5), training=replace(data[0], targets=())))
