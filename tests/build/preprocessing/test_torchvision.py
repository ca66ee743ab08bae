"""torchvision's transforms as steps: equal to the library's own on made pictures and on photographs, and refused where they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.build.preprocessing import forms
from roadworthy.build.preprocessing.found import Found
from roadworthy.core.errors import DataError
from roadworthy.frameworks.torch.torchvision_ops import declare_missing
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import Normalize, Resize
from support import pictures

declare_missing()
torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
T = torchvision.transforms
v2 = pytest.importorskip("torchvision.transforms.v2")
BICUBIC, LANCZOS = T.InterpolationMode.BICUBIC, T.InterpolationMode.LANCZOS
NEAREST, EXACT = T.InterpolationMode.NEAREST, T.InterpolationMode.NEAREST_EXACT
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OLD = [T.ToTensor(), T.Normalize(MEAN, STD)]
NEW = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
MADE = pictures.made()


def read(value: Any) -> Found:
    found = forms.only("of_object", value, "CHW")
    assert found is not None
    return found


def worst(transform: Any, given: list[Any], *, tensors: bool = False) -> float:
    """The largest difference to the library over all ``given``; shapes and dtypes are equal."""
    steps = Preprocessor(read(transform).contract.image)
    largest = 0.0
    for one in given:
        image = Image.open(one).convert("RGB") if isinstance(one, Path) else Image.fromarray(one)
        wanted = np.asarray(transform(T.functional.pil_to_tensor(image) if tensors else image))
        had = steps.one(one)
        assert (had.shape, had.dtype) == (wanted.shape, wanted.dtype)
        largest = max(largest, pictures.beyond_torch(float(np.abs(had.astype(np.float64) - wanted).max()), wanted))
    return largest


EQUAL: list[Any] = [
    T.Compose([T.Resize(32), T.CenterCrop(28), *OLD]),
    T.Compose([T.Resize([32]), T.CenterCrop([28]), *OLD]),
    T.Compose([T.Resize((32, 40), BICUBIC), *OLD]),
    T.Compose([T.Resize(32, max_size=40), T.CenterCrop((50, 20)), T.PILToTensor(), T.ConvertImageDtype(torch.float32), OLD[1]]),
    T.Compose([T.Resize(24, LANCZOS), T.Grayscale(), T.ToTensor(), T.Normalize(0.5, 0.5)]),
    T.Compose([T.Resize(24, NEAREST), T.Grayscale(3), *OLD]),
    T.Compose([T.Resize(24, EXACT), T.ToTensor()]),
    T.Compose([T.Resize(24, antialias=None), T.ToTensor()]),
    T.Compose([T.ToTensor(), T.CenterCrop(60), OLD[1]]),
    T.Compose([T.ToTensor(), T.Resize(24, EXACT)]),
    T.Compose([T.Resize(32), *OLD, T.CenterCrop(28)]),
    T.Compose([T.Lambda(lambda image: image.convert("RGB")), T.Compose([T.Resize(20), T.Compose([T.CenterCrop(20)])]), *OLD]),
    T.Compose([T.PILToTensor(), T.Grayscale(1)]),
    T.Compose([T.ToTensor(), T.Resize(24, NEAREST)]),
    T.Compose([T.PILToTensor(), T.Resize((24, 33), NEAREST)]),
    v2.Compose([v2.ToImage(), v2.Resize(32), v2.CenterCrop(28), *NEW[1:]]),
    v2.Compose([v2.ToImage(), v2.Resize(32, BICUBIC), *NEW[1:]]),
    v2.Compose([v2.ToImage(), v2.Resize(32, antialias=False), *NEW[1:]]),
    v2.Compose([v2.ToImage(), v2.Resize((20, 30), BICUBIC, antialias=None), *NEW[1:]]),
    v2.Compose([v2.Resize(32), v2.RGB(), v2.CenterCrop(28), *NEW, v2.ToPureTensor()]),
    v2.Compose([v2.Resize(size=None, max_size=40), v2.Identity(), *NEW]),
    v2.Compose([v2.Resize(32, 3), *NEW]),
    v2.Compose([v2.ToImage(), v2.ToDtype({torchvision.tv_tensors.Image: torch.float32, "others": None}, scale=True)]),
    v2.Compose([v2.ToImage(), v2.ToDtype(torch.uint8), v2.CenterCrop(24)]),
    T.ToTensor(),
]


@pytest.mark.parametrize("transform", EQUAL, ids=range(len(EQUAL)))
def test_lists_are_equal_to_the_bit(transform: Any) -> None:
    assert worst(transform, MADE) == 0


def test_the_usual_list_is_equal_to_the_bit_on_photographs(real: Path) -> None:
    given: list[Any] = list(pictures.photographs(real, 20))
    assert worst(T.Compose([T.Resize(256), T.CenterCrop(224), *OLD]), given) == 0
    assert worst(v2.Compose([v2.Resize(256, BICUBIC), v2.CenterCrop(224), *NEW]), given[:5]) == 0


def test_lists_of_tensors_start_from_the_pixels() -> None:
    for transform in (T.Compose([T.ConvertImageDtype(torch.float32), OLD[1]]), torch.nn.Sequential(T.CenterCrop(30), *NEW[1:])):
        assert worst(transform, MADE, tensors=True) == 0
        assert any("a tensor of uint8" in note.text for note in read(transform).notes)


def test_a_tensor_of_floats_is_resized_to_the_last_bits() -> None:
    bound = 2e-6
    for antialias in (True, False, None):
        assert worst(T.Compose([T.ToTensor(), T.Resize(32, antialias=antialias)]), MADE) < bound
        assert worst(T.Compose([T.ToTensor(), T.Resize((20, 30), BICUBIC, antialias=antialias)]), MADE) < bound
    assert worst(v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Resize(32)]), MADE) < bound


def test_what_is_up_to_one_level_apart_says_so() -> None:
    older = [T.Compose([T.PILToTensor(), T.Resize(32, antialias=antialias)]) for antialias in (True, False)]
    for transform in (*older, v2.Compose([v2.ToImage(), v2.Grayscale(3)])):
        assert worst(transform, MADE) <= 1
        assert "up to 1 level apart" in read(transform).notes[0].text


def test_without_scale_the_pixels_keep_0_to_255_and_a_mean_for_0_to_1_is_a_warning() -> None:
    found = read(v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32)]))
    assert worst(v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32)]), MADE) == 0
    assert "keeps the pixels in 0..255" in found.notes[0].text
    wrong = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32), v2.Normalize(MEAN, STD)])
    assert worst(wrong, MADE) == 0
    assert [note.warning for note in read(wrong).notes] == [False, True]
    right = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32), v2.Normalize((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))])
    assert not any(note.warning for note in read(right).notes)


def test_a_number_is_the_shorter_side_and_a_pair_is_both() -> None:
    sizes = [
        [step.size for step in read(T.Compose([T.Resize(size), *OLD])).contract.image if isinstance(step, Resize)] for size in (9, (9, 9))
    ]
    assert sizes == [[9], [(9, 9)]]


def test_old_and_new_scale_by_other_operations() -> None:
    kinds = {}
    for transform in (T.Compose(OLD), v2.Compose(NEW)):
        *_, last = read(transform).contract.image
        assert isinstance(last, Normalize)
        kinds[transform] = last.arithmetic
    assert list(kinds.values()) == ["torch", "keras"]


def test_changes_of_training_are_left_out_with_a_note() -> None:
    training = [
        T.RandomHorizontalFlip(),
        T.ColorJitter(0.2),
        T.RandAugment(),
        T.RandomApply([T.GaussianBlur(3)], 0.2),
        *OLD,
        T.RandomErasing(),
    ]
    found = read(T.Compose(training))
    assert found.contract == read(T.Compose(OLD)).contract
    assert [note.text.partition("(")[0] for note in found.notes] == [
        "RandomHorizontalFlip", "ColorJitter", "RandAugment", "RandomApply", "RandomErasing",
    ]  # fmt: skip


def square(image: Any) -> Any:
    return image.resize((8, 8))


class Sharper:
    def __call__(self, image: Any) -> Any:
        return image


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: T.Compose([T.RandomResizedCrop(192), *OLD]), r"write what you evaluated with, Resize\(219\) and CenterCrop\(192\)"),
        (lambda: v2.Compose([v2.RandomResizedCrop((224, 112)), *NEW]), r"Resize\(\[256, 128\]\) and CenterCrop\(\(224, 112\)\)"),
        (lambda: T.Compose([T.RandomCrop(32, padding=4), *OLD]), r"write CenterCrop\(32\), or nothing where every image has that size"),
        (lambda: v2.Compose([v2.RandomShortestSize(300), *NEW]), "gives an image its size at random"),
        (lambda: v2.Compose([v2.ScaleJitter((100, 100)), *NEW]), r"Resize\(100\) for example"),
        (lambda: T.Compose([T.RandomHorizontalFlip(1), *OLD]), "changes every image in the same way"),
        (lambda: T.Compose([T.GaussianBlur(3, 1.0), *OLD]), "changes every image in the same way"),
        (lambda: T.Compose([T.RandomApply([T.Resize(9)]), *OLD]), "holds more than random changes of training"),
        (lambda: T.Compose([T.RandomApply([T.ColorJitter(1)], 1), *OLD]), "holds more than random changes of training"),
        (lambda: T.Compose([T.FiveCrop(9), *OLD]), r"several images of one.*CenterCrop\(\(9, 9\)\)"),
        (lambda: T.Compose([T.TenCrop(9), *OLD]), "several images of one"),
        (lambda: T.Compose([*OLD, T.Lambda(lambda x: x + 1)]), r"the lambda \(test_torchvision\.py, line \d+\) is code of yours.*TOML"),
        (lambda: T.Compose([square, *OLD]), r"the function square \(test_torchvision\.py, line \d+\)"),
        (lambda: T.Compose([Sharper(), *OLD]), r"an object of .*Sharper \(test_torchvision\.py, line \d+\)"),
        (lambda: T.Compose([T.Resize(9)]), r"end with a Pillow image.*add transforms\.ToTensor\(\)"),
        (lambda: T.Compose([*OLD, OLD[1]]), "is the second Normalize"),
        (lambda: T.Compose([*OLD, T.Resize(9)]), "Resize.* values that Normalize changed before; put it before Normalize"),
        (lambda: T.Compose([*OLD, T.CenterCrop(9)]), "CenterCrop.* stands behind Normalize, and pads"),
        (lambda: v2.Compose([v2.ToImage(), v2.Normalize(MEAN, STD), v2.ToDtype(torch.float32, scale=True)]), "gets whole numbers"),
        (lambda: T.Compose([OLD[1], T.ToTensor()]), "gets a Pillow image"),
        (lambda: T.Compose([T.ToTensor(), T.ToTensor()]), "gets a tensor, which torchvision refuses too"),
        (lambda: T.Compose([T.ToTensor(), T.ToPILImage(), T.ToTensor()]), "makes a Pillow image of floats"),
        (lambda: T.Compose([T.ToTensor(), T.Grayscale()]), "makes floats grey"),
        (lambda: v2.Compose([v2.ToImage(), v2.Resize(9, LANCZOS), v2.ToDtype(torch.float32)]), "by lanczos, which no step does"),
        (lambda: T.Compose([T.ToTensor(), T.ConvertImageDtype(torch.float16)]), "makes float16 of the pixels"),
        (lambda: v2.Compose([v2.ToImage(), v2.ToDtype(torch.float64, scale=True)]), "makes float64 of the pixels"),
        (lambda: T.Compose([T.LinearTransformation(torch.eye(3), torch.zeros(3))]), "no step carries out"),
        (lambda: T.Compose([T.ToTensor(), T.Normalize((0.5, 0.5), (1, 1))]), "mean has 2 numbers"),
        (lambda: torchvision.models.video.R3D_18_Weights.DEFAULT, "VideoClassification makes one sample of the frames of a video"),
        (lambda: torchvision.models.optical_flow.Raft_Small_Weights.DEFAULT.transforms(), "OpticalFlow makes one sample of two images"),
        (lambda: torchvision.models.ResNet50_Weights, r"name one: ResNet50_Weights\.IMAGENET1K_V1, ResNet50_Weights\.IMAGENET1K_V2"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_refused_by_name_with_a_way_out(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(make()).contract.check()


def test_dtype_before_the_image_is_a_tensor_does_nothing_in_torchvision_either() -> None:
    transform = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.ToImage()])
    assert worst(transform, MADE) == 0
    assert "has no effect on a Pillow image" in read(transform).notes[0].text


def test_objects_of_other_libraries_are_not_torchvisions() -> None:
    for other in (torch.nn.Sequential(torch.nn.Linear(1, 1)), torch.nn.Sequential(), {"a": 1}, "text", 3, object, print):
        assert forms.only("of_object", other, "CHW") is None


def all_weights() -> list[Any]:
    found = [torchvision.models.get_model_weights(name) for name in torchvision.models.list_models()]
    return [member for enum in dict.fromkeys(found) for member in enum]


def test_every_weights_enum_of_the_library_is_read_and_equal_to_the_bit() -> None:
    given: list[Any] = [MADE[-1][:70, :95]]
    groups: dict[str, list[Any]] = {}
    for member in all_weights():
        try:
            found = read(member)
        except DataError as problem:
            assert "makes one sample of" in problem.message
            continue
        assert found.origin == f"torchvision {type(member).__name__}.{member.name}"
        classifies = type(member.transforms()).__name__ == "ImageClassification"
        assert found.contract.answer.labels == (tuple(member.meta.get("categories") or ()) if classifies else ())
        groups.setdefault(str(member.transforms()), []).append(member)
    assert len(groups) > 20 and sum(map(len, groups.values())) > 100
    for members in groups.values():
        assert {read(member).contract.image for member in members} == {read(members[0].transforms()).contract.image}
        assert worst(members[0].transforms(), given) == 0


def test_second_recipes_resize_to_232() -> None:
    weights = torchvision.models.ResNet50_Weights
    sizes = [
        next(step.size for step in read(one).contract.image if isinstance(step, Resize))
        for one in (weights.IMAGENET1K_V1, weights.IMAGENET1K_V2)
    ]
    assert sizes == [256, 232]
