"""timm's configurations as steps: equal to what ``create_transform`` makes of them, for every combination in timm's registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.build.preprocessing import forms
from roadworthy.build.preprocessing.forms import timm as form
from roadworthy.build.preprocessing.found import Found
from roadworthy.core.errors import DataError
from roadworthy.core.stages import Source
from roadworthy.frameworks.torch.torchvision_ops import declare_missing
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import Crop, Normalize, Resize
from support import pictures

declare_missing()
timm = pytest.importorskip("timm")
torch = pytest.importorskip("torch")
MADE = pictures.made()
SMALL = {"architecture": "resnet18", "input_size": [3, 32, 32], "crop_pct": 0.9, "interpolation": "bilinear"}


def read(value: Any) -> Found:
    found = forms.only("of_object", value, "CHW")
    assert found is not None
    return found


def worst(config: dict[str, Any], given: list[Any]) -> float:
    """The largest difference to timm's own evaluation transform for ``config``."""
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, pretrained_cfg=config), is_training=False)
    steps = Preprocessor(read(config).contract.image)
    largest = 0.0
    for one in given:
        grey = "L" if config.get("input_size", (3,))[0] == 1 else "RGB"
        image = (Image.open(one) if isinstance(one, Path) else Image.fromarray(one)).convert(grey)
        wanted, had = transform(image).numpy(), steps.one(one)
        assert (had.shape, had.dtype) == (wanted.shape, wanted.dtype)
        largest = max(largest, float(np.abs(had - wanted).max()))
    return largest


def registered() -> list[dict[str, Any]]:
    found = (timm.get_pretrained_cfg(name) for name in timm.list_pretrained())
    return [config.to_dict() for config in found if config is not None]


def shrunk(config: dict[str, Any]) -> dict[str, Any]:
    """The same at a quarter of the size, in which a size of no whole quarter stays uneven."""
    return config | {"input_size": [config["input_size"][0], *(side // 4 for side in config["input_size"][1:])]}


def test_every_combination_in_the_registry_is_equal_to_the_bit() -> None:
    keys = ("interpolation", "crop_mode", "crop_pct", "mean", "std")
    different: dict[str, dict[str, Any]] = {}
    refused = set()
    for config in registered():
        different.setdefault(str([config.get(key) for key in keys]), config)
        try:
            read(config).contract.check()
        except DataError as problem:
            refused.add((problem.message.partition(": ")[2][:40], tuple(config["input_size"])))
    # Of all that timm registers, the non-square ones alone cannot be carried out.
    assert all(size[1] != size[2] for _, size in refused)
    assert len(different) > 40
    for config in different.values():
        if config["input_size"][1] == config["input_size"][2]:
            assert worst(shrunk(config), [MADE[-1][:50, :75]]) == 0


def test_configurations_are_equal_to_the_bit_on_odd_pictures_and_on_photographs(real: Path) -> None:
    configs = [
        SMALL,
        SMALL | {"crop_mode": "squash", "crop_pct": 0.95},
        SMALL | {"crop_mode": "border", "crop_pct": 1.0, "mean": [0.5] * 3},
    ]
    for config in configs:
        assert worst(config, MADE) == 0
        assert worst(config | {"input_size": [3, 224, 224]}, pictures.photographs(real, 5)) == 0
    assert worst(SMALL | {"input_size": [1, 30, 30], "mean": [0.5], "std": [0.25]}, MADE) == 0
    assert worst(SMALL | {"input_size": [3, 24, 40], "crop_mode": "squash"}, MADE) == 0


def test_the_size_over_crop_pct_is_rounded_down_and_may_be_smaller_than_the_crop() -> None:
    for share, wanted in ((0.95, 235), (0.9, 248), (1.15, 194)):
        config = SMALL | {"input_size": (3, 224, 224), "crop_pct": share}
        sizes = [step.size for step in read(config).contract.image if isinstance(step, Resize | Crop)]
        assert sizes == [wanted, (224, 224)]
        assert worst(config, MADE[:2]) == 0


def test_what_is_left_out_is_timms_default_and_said() -> None:
    found = read({"pretrained_cfg": {"input_size": [3, 224, 224]}, "architecture": "vit_tiny"})
    assert found.contract == read(timm.models.PretrainedCfg()).contract
    (note,) = found.notes
    assert "leaves out interpolation = bicubic, mean" in note.text and "timm's defaults were taken" in note.text
    assert found.origin == "timm pretrained_cfg of vit_tiny"


def test_another_size_in_tests_is_said_and_not_taken() -> None:
    found = read(SMALL | {"test_input_size": [3, 64, 64], "test_crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3, "crop_mode": "center"})
    assert found.contract.sample_shape().axes == (3, 32, 32)
    (note,) = found.notes
    assert "also measured this model at 64 x 64 with crop_pct 1.0; the steps are for 32 x 32 with crop_pct 0.9" in note.text


def test_a_live_model_its_configuration_and_its_file_say_the_same(tmp_path: Path) -> None:
    model = timm.create_model("resnet10t", pretrained=False)
    on_model = read(model)
    assert on_model.origin == "timm pretrained_cfg of resnet10t.c3_in1k"
    assert forms.only("on_model", model, "CHW") == on_model
    assert read(model.pretrained_cfg).contract == on_model.contract
    assert read(timm.data.resolve_model_data_config(model)).contract == on_model.contract
    inner = {name: value for name, value in model.pretrained_cfg.items() if name != "architecture"}
    for name, table in (
        ("nested", {"architecture": "resnet10t", "pretrained_cfg": inner}),
        ("flat", {"architecture": "resnet10t", **inner}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(table))
        for path in (tmp_path / name, tmp_path / name / "config.json"):
            found = forms.only("of_path", path, "CHW")
            assert found is not None and found.contract == on_model.contract
        checkpoint = Source(tmp_path / name / "model.safetensors", "state_dict", "torch", "", 0)
        found = forms.only("beside", checkpoint, "CHW")
        assert found is not None and found.contract == on_model.contract


def test_mean_and_std_are_timms_and_not_scaled_twice() -> None:
    *_, last = read(SMALL | {"mean": [0.0] * 3, "std": [1.0] * 3}).contract.image
    assert isinstance(last, Normalize) and last.mean == (0.0,) * 3 and last.scale == 1 / 255


def test_names_of_labels_are_the_answers() -> None:
    assert read(SMALL | {"label_names": ["cat", "dog"]}).contract.answer.labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"interpolation": "random"}, "interpolation is 'random'; it must be one of nearest"),
        ({"crop_mode": "border", "mean": [0.485, 0.456, 0.406], "crop_pct": 1.0}, "crop_mode border .* pads with a colour"),
        ({"crop_mode": "border", "mean": [0.5] * 3}, "crop_mode border with crop_pct"),
        ({"input_size": [3, 32, 64]}, 'set crop_mode to "squash"'),
        ({"input_size": [4, 32, 32]}, "input_size has 4 channels"),
        ({"input_size": [1, 32, 32]}, "mean is left out, and timm's default has 3 numbers"),
        ({"mean": [0.5, 0.5]}, "mean has 2 numbers"),
        ({"crop_pct": -1}, "crop_pct is -1"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(SMALL | change)


def test_tables_and_files_of_others_are_left_alone(tmp_path: Path) -> None:
    for table in ({}, {"input_size": 224}, {"input_size": [3, 224, 224]}, {"pretrained_cfg": None}, {"do_resize": True, "size": 224}):
        assert form.of_object(table, "CHW") is None
        (tmp_path / "config.json").write_text(json.dumps(table))
        assert form.of_path(tmp_path / "config.json", "CHW") is None
    (tmp_path / "config.json").write_text("[1, 2")
    assert form.of_path(tmp_path / "config.json", "CHW") is None
    assert form.beside(Source(tmp_path / "model.pt", "state_dict", "torch", "", 0), "CHW") is None
