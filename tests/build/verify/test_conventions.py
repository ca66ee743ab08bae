"""The usual conventions on labelled images: the one that the original was made for scores best, and is told where it is far better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.preprocessing.proof import preset_of, usual
from roadworthy.build.verify import Reading, TrialRequest, far_better, score_either, try_conventions
from roadworthy.build.verify.conventions import EitherRequest, _best
from roadworthy.core import samples
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, TensorSpec
from roadworthy.preprocess import spec
from roadworthy.preprocess.convention import Convention
from roadworthy.preprocess.front import split
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.pictures import Pictures
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Normalize, Resize, Step
from support.models import prototypes

CLASSES = 4
IMAGENET: tuple[Step, ...] = (ChannelsFirst(), Normalize(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@dataclass(frozen=True)
class Labelled:
    """What a trial is asked with, and whether the pictures have the model's size."""

    trial: TrialRequest
    fits: bool


def labelled(path: Path, steps: tuple[Step, ...], textures: Array) -> Labelled:
    made = prototypes.make(path, steps, textures)
    given = samples.write(path / "samples", {"x": np.zeros((len(made.files), 1), np.float32)}, made.labels)
    trial = TrialRequest(
        Graph("onnx", made.model, made.signature, "test"), made.signature, Pictures(made.files, tuple(map(str, made.files))), given, "top1",
        Reading("classes", "y", classes=len(textures)), 1, 600.0, (), (),
    )  # fmt: skip
    return Labelled(trial, textures.shape[1] == made.signature.inputs[0].shape[-1])


def asked(found: Labelled, given: tuple[Step, ...] | None) -> TrialRequest:
    convention = None if given is None else Convention("as given", *split(given))
    ways = usual(found.trial.signature.inputs[0], convention, fits=found.fits)
    assert ways is not None
    return replace(found.trial, ranges=ways.ranges, geometries=ways.geometries, given=convention)


@pytest.fixture(scope="module")
def fitting(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    """Pictures of the model's own size, trained with ImageNet's mean and std."""
    return labelled(tmp_path_factory.mktemp("fitting"), (Decode(), *IMAGENET), prototypes.shades(8))


@pytest.mark.parametrize("wrong", ["unit", "tf", "raw", "caffe"])
def test_the_right_values_are_found(fitting: Labelled, wrong: str) -> None:
    found = try_conventions(asked(fitting, spec.read(wrong).image))
    best = found.scores[0]
    assert best.convention.name == "ImageNet's mean and std"
    assert best.right == 1.0
    assert far_better(found) == best
    assert found.samples == CLASSES * prototypes.EACH
    # The given one and the five usual ones, each once.
    assert [len(found.scores), len({one.convention.values for one in found.scores})] == [5, 5]


def test_no_other_is_far_better_than_the_right_one(fitting: Labelled) -> None:
    found = try_conventions(asked(fitting, (Decode(), *IMAGENET)))
    assert found.scores[0].convention.name == "as given"
    assert far_better(found) is None


def test_a_gain_that_chance_explains_is_not_told(fitting: Labelled) -> None:
    request = asked(fitting, spec.read("unit").image)
    few = Pictures(request.pictures.files[:40], request.pictures.names[:40])
    # So few of the labels are right that nothing is certain on 40 pictures.
    labels = np.array(request.samples.labels())
    labels[6:] = (labels[6:] + 1) % CLASSES
    doubtful = samples.write(request.samples.path.parent / "doubtful", {"x": np.zeros((len(labels), 1), np.float32)}, labels)
    assert far_better(try_conventions(replace(request, pictures=few, samples=doubtful))) is None


def test_without_a_given_one_the_best_is_first(fitting: Labelled) -> None:
    found = try_conventions(asked(fitting, None))
    assert found.scores[0].convention.name.startswith("ImageNet's mean and std")
    assert found.scores[0].gain == 0.0


def test_the_right_resize_is_found(tmp_path: Path) -> None:
    steps: tuple[Step, ...] = (Decode(), Resize((8, 8), antialias=False), *IMAGENET)
    # Shades at the places that a resize without antialias reads, of which the mean over 8 x 8 pixels shows little.
    shades = np.array([60, 100, 140, 180])
    textures = np.empty((CLASSES, 64, 64, 3), int)
    textures[:] = (128 - (shades - 128) * 4 // 60)[:, None, None, None]
    for row, column in ((3, 3), (3, 4), (4, 3), (4, 4)):
        textures[:, row::8, column::8] = shades[:, None, None, None]
    found = try_conventions(asked(labelled(tmp_path, steps, textures), (Decode(), Resize((8, 8)), *IMAGENET)))
    best = far_better(found)
    assert best is not None
    assert best.convention.name == "as given; resized to 8 x 8, bilinear without antialias"
    assert best.convention.steps == steps


def test_too_little_time_tries_nothing(fitting: Labelled) -> None:
    found = try_conventions(replace(asked(fitting, spec.read("unit").image), seconds=1e-6))
    assert (found.samples, found.scores) == (0, ())
    assert found.left > 0


def test_a_convention_that_is_a_preset_has_its_name() -> None:
    model = TensorSpec("x", "float32", (BATCH, 3, 224, 224))
    for text in ("imagenet", "caffe:224", "tf:224", "unit:224"):
        convention = Convention("", *split(spec.read(text).image))
        assert preset_of(convention, "CHW") == text
    ways = usual(model, None, fits=False)
    assert ways is not None
    assert "unit:224" in {preset_of(one, "CHW") for one in ways.ranges}


@pytest.mark.parametrize("shape", [(BATCH, 8), (BATCH, 5, 8, 8), (BATCH, 3, "height", "width")])
def test_what_takes_no_images_of_one_size_is_left_alone(shape: tuple[int | str, ...]) -> None:
    assert usual(TensorSpec("x", "float32", shape), None, fits=False) is None


def test_either_preprocessing_is_scored(fitting: Labelled, tmp_path: Path) -> None:
    trial = fitting.trial
    prepare: Callable[[str], Array] = lambda text: Preprocessor(spec.read(text).image).many([*trial.pictures.files])  # noqa: E731
    right = Preprocessor((Decode(), *IMAGENET)).many([*trial.pictures.files])
    ours, theirs = (samples.write(tmp_path / name, {"x": array}) for name, array in (("ours", prepare("raw")), ("theirs", right)))
    request = EitherRequest(trial.graph, trial.signature, ours, theirs, trial.samples, "top1", trial.reading, 1)
    found = score_either(request)
    assert (found.metric, found.theirs, found.percent) == ("top1", 1.0, True)
    assert found.ours < 0.5
    assert found.agreement is not None
    assert found.agreement < 0.5
    assert score_either(replace(request, metric="")).metric == ""


def test_a_range_that_is_better_by_chance_alone_does_not_decide_the_sizes() -> None:
    given, other = (Convention(name, (), ()) for name in ("as given", "other"))
    right = lambda count: (np.arange(40) < count).astype(np.float64)  # noqa: E731
    assert _best([(given, 0.25, right(10)), (other, 0.3, right(12))], given=True)[0] is given
    assert _best([(given, 0.25, right(10)), (other, 0.95, right(38))], given=True)[0] is other
    assert _best([(given, 0.25, right(10)), (other, 0.3, right(12))], given=False)[0] is other
