"""Image processors of transformers as steps: equal to the bit with both of its backends, and each trap of their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.build.preprocessing import forms
from roadworthy.build.preprocessing.forms import huggingface
from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.huggingface.classes import CLASSES, OF_MODEL, ProcessorClass
from roadworthy.core.errors import DataError
from roadworthy.core.stages import Source
from roadworthy.frameworks.torch.torchvision_ops import declare_missing
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import Crop, Decode, Normalize, Resize, ReverseChannels
from support import pictures

declare_missing()
transformers = pytest.importorskip("transformers")
MADE = pictures.made()
BACKENDS = ("Pil", "")
EXACT = {"EfficientNetImageProcessor": 1e-5}
"""How near a class is whose steps are not equal to the bit: its two normalisations are one."""
SMALL = {"ViTImageProcessor": {"size": {"height": 24, "width": 20}}, "ConvNextImageProcessor": {"size": {"shortest_edge": 30}}}


def processor(name: str, backend: str, values: dict[str, Any]) -> Any:
    return getattr(transformers, f"{name}{backend}")(**values)


def live(value: Any) -> Found:
    found = forms.only("of_object", value, "CHW")
    assert found is not None
    return found


def differs(value: Any, found: Found, given: list[Any]) -> float:
    """The largest difference of ``found`` to the processor ``value``; shapes and types are the same, or the test fails."""
    steps, largest = Preprocessor(found.contract.image), 0.0
    for one in given:
        image = Image.open(one).convert("RGB") if isinstance(one, Path) else Image.fromarray(one)
        wanted = np.asarray(value(image, return_tensors="np")["pixel_values"][0])
        had = steps.one(one)
        assert (had.shape, had.dtype) == (wanted.shape, np.float32)
        assert not np.isnan(wanted).any()
        largest = max(largest, pictures.beyond_torch(float(np.abs(had - wanted).max()), wanted))
    return largest


def write(folder: Path, values: dict[str, Any], name: str = "preprocessor_config.json", **model: Any) -> Path:
    (folder / name).write_text(json.dumps(values))
    if model:
        (folder / "config.json").write_text(json.dumps(model))
    return folder / name


def read(path: Path) -> Found:
    found = forms.only("of_path", path, "CHW")
    assert found is not None
    return found


def said(found: Found) -> str:
    return "\n".join(note.text for note in found.notes)


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_with_its_defaults_is_equal_to_the_bit(name: str) -> None:
    for backend in BACKENDS:
        # Its default crop is larger than what it is cut from, and is padded: see below.
        value = processor(name, backend, {"size": {"shortest_edge": 288}} if name.startswith("MobileViT") else {})
        assert differs(value, live(value), [MADE[0], MADE[3], MADE[-1]]) <= EXACT.get(name, 0)


@pytest.mark.parametrize("name", CLASSES)
def test_the_defaults_are_those_of_transformers(name: str) -> None:
    own = getattr(transformers, name)
    kind = CLASSES[name]
    crop = tuple((own.crop_size or {}).values()) if getattr(own, "crop_size", None) else None
    size = tuple(own.size.values())
    mean, std = (tuple(own.image_mean), tuple(own.image_std))
    assert kind == ProcessorClass(
        size if "height" in own.size else size[0],
        int(own.resample),
        mean,
        std,
        crop,
        bool(getattr(own, "do_center_crop", None)),
        own.default_to_square,
        bool(own.do_normalize),
        bool(getattr(own, "do_convert_rgb", None)),
        kind.rule,
        getattr(own, "crop_pct", None),
    )


def test_the_class_of_a_model_is_that_of_transformers() -> None:
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES as NAMES

    assert {model: NAMES[model]["torchvision"] for model in OF_MODEL} == OF_MODEL


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *(("ViTImageProcessor", {"size": {"height": 23, "width": 31}, "resample": number}) for number in (1, 2, 3)),
    ("ViTImageProcessor", {"size": 21, "do_rescale": False}),
    ("ViTImageProcessor", {"size": [20, 33], "do_normalize": False}),
    ("ViTImageProcessor", {"size": 20, "do_normalize": False, "do_rescale": False, "do_resize": True}),
    ("ViTImageProcessor", {"size": 21, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.7], "rescale_factor": 1 / 127.5}),
    ("ViTImageProcessor", {"size": {"shortest_edge": 20}, "do_center_crop": True, "crop_size": 20}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 30}, "crop_pct": 0.95}),
    ("ConvNextImageProcessor", {"size": 33, "crop_pct": 0.875}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 383}, "resample": 2}),
    ("LevitImageProcessor", {"size": {"shortest_edge": 31}, "crop_size": {"height": 31, "width": 28}}),
    ("LevitImageProcessor", {"size": {"height": 40, "width": 36}, "crop_size": {"height": 31, "width": 31}}),
    ("PoolFormerImageProcessor", {"size": {"shortest_edge": 31}, "crop_size": 31, "crop_pct": 0.95}),
    ("PoolFormerImageProcessor", {"size": {"height": 30, "width": 30}, "crop_size": 30}),
    ("PoolFormerImageProcessor", {"size": {"height": 30, "width": 44}, "crop_size": 30}),
    ("EfficientNetImageProcessor", {"size": 33, "include_top": False, "do_center_crop": True, "crop_size": 30}),
    ("EfficientNetImageProcessor", {"size": 33, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}),
    ("MobileViTImageProcessor", {"size": {"shortest_edge": 36}, "crop_size": 32, "do_flip_channel_order": False}),
    ("MobileViTImageProcessor", {"size": {"shortest_edge": 36}, "crop_size": 32, "do_normalize": True}),
    ("MobileNetV2ImageProcessor", {"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}}),
    ("SegformerImageProcessor", {"size": 32, "do_center_crop": True, "crop_size": 30}),
    ("CLIPImageProcessor", {"size": 33, "crop_size": 30}),
    ("BeitImageProcessor", {"size": 40, "do_center_crop": True, "crop_size": 31}),
    ("DeiTImageProcessor", {"size": 30, "crop_size": 34}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values"), VARIANTS, ids=lambda one: one if isinstance(one, str) else ",".join(one))
def test_each_field_is_carried_out_as_transformers_does(name: str, values: dict[str, Any]) -> None:
    for backend in BACKENDS:
        value = processor(name, backend, values)
        kept = {"do_rescale": False, "do_normalize": False}.items() <= values.items()
        if kept:
            # Pixels as they are: transformers gives uint8, and a model takes floats.
            assert live(value).contract.image[-1] == Normalize(1.0, arithmetic="numpy" if backend else "fused")
        else:
            assert differs(value, live(value), MADE[:2] + MADE[-3:]) <= EXACT.get(name, 0)


def test_the_nearest_pixel_of_tensors_may_be_another_one_at_an_edge() -> None:
    values = {"size": {"height": 23, "width": 31}, "resample": 0}
    pillow, torch = (processor("ViTImageProcessor", backend, values) for backend in BACKENDS)
    assert differs(pillow, live(pillow), MADE) == 0
    assert "may take the other one" in said(live(torch)) and "may take the other one" not in said(live(pillow))
    for one in MADE:
        wanted = np.asarray(torch(Image.fromarray(one), return_tensors="np")["pixel_values"][0])
        # No more than one row and one column.
        assert (Preprocessor(live(torch).contract.image).one(one) != wanted).mean() < 1 / 23 + 1 / 31


def test_filters_that_tensors_do_not_have_are_refused() -> None:
    for number in (4, 5):
        with pytest.raises(DataError, match="exists in transformers' processors for Pillow alone"):
            live(processor("ViTImageProcessor", "", {"resample": number}))
        with pytest.raises(NotImplementedError):
            processor("ViTImageProcessor", "", {"resample": number})(Image.fromarray(MADE[0]), return_tensors="np")
        value = processor("ViTImageProcessor", "Pil", {"size": 24, "resample": number})
        assert differs(value, live(value), MADE) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_two_normalisations_of_efficientnet_are_one(backend: str) -> None:
    values = {"size": 33, "rescale_factor": 1 / 127.5, "rescale_offset": True, "include_top": True}
    for stds in ([0.47853944] * 3, [0.229, 0.224, 0.225]):
        value = processor("EfficientNetImageProcessor", backend, values | {"image_std": stds, "image_mean": [0.0, 0.1, 0.2]})
        assert differs(value, live(value), MADE) <= EXACT["EfficientNetImageProcessor"]
    without = processor("EfficientNetImageProcessor", backend, values | {"do_normalize": False, "image_std": [0.5] * 3})
    assert differs(without, live(without), MADE) <= EXACT["EfficientNetImageProcessor"]


def test_photographs_are_equal_to_the_bit(real: Path) -> None:
    photographs = pictures.photographs(real, 4)
    for name in ("ViTImageProcessor", "ConvNextImageProcessor", "MobileNetV2ImageProcessor", "CLIPImageProcessor"):
        for backend in BACKENDS:
            value = processor(name, backend, {"size": {"shortest_edge": 224}} if name == "ConvNextImageProcessor" else {})
            assert differs(value, live(value), photographs) == 0


def test_the_two_backends_differ_and_the_suffix_or_the_version_chooses(tmp_path: Path) -> None:
    values = {"size": {"height": 24, "width": 20}, "image_processor_type": "ViTImageProcessor", "resample": 3}
    pillow, torch = (processor("ViTImageProcessor", backend, SMALL["ViTImageProcessor"] | {"resample": 3}) for backend in BACKENDS)
    ours = [Preprocessor(live(value).contract.image) for value in (pillow, torch)]
    assert any((ours[0].one(one) != ours[1].one(one)).any() for one in MADE)

    def chosen(changes: dict[str, Any], **model: Any) -> Found:
        return read(write(tmp_path, values | changes, **model))

    assert differs(torch, chosen({"image_processor_type": "ViTImageProcessorFast"}, transformers_version="4.40.0"), MADE) == 0
    assert differs(pillow, chosen({"image_processor_type": "ViTImageProcessorPil"}, transformers_version="5.1.0"), MADE) == 0
    assert differs(torch, chosen({}, transformers_version="5.24.0"), MADE) == 0
    assert differs(pillow, chosen({}, transformers_version="4.57.1"), MADE) == 0
    assert differs(pillow, chosen({"transformers_version": "4.30.0"}, transformers_version="5.24.0"), MADE) == 0
    assert "version 4.30.0, which wrote preprocessor_config.json" in said(chosen({"transformers_version": "4.30.0"}))
    (tmp_path / "config.json").unlink()
    assert differs(pillow, chosen({"do_convert_rgb": None}), MADE) == 0
    assert "fields of preprocessor_config.json that version 4 wrote" in said(chosen({"do_convert_rgb": None}))
    assert differs(pillow, chosen({}), MADE) == 0
    assert "does not say which version wrote it" in said(chosen({})) and 'like = "torch"' in said(chosen({}))


def test_an_old_file_names_a_feature_extractor(tmp_path: Path) -> None:
    # transformers 5 itself no longer reads such a file.
    old = {"feature_extractor_type": "MobileViTFeatureExtractor", "size": 36, "crop_size": 32, "resample": 2, "do_flip_channel_order": True}
    value = processor("MobileViTImageProcessor", "Pil", {"size": {"shortest_edge": 36}, "crop_size": 32, "resample": 2})
    assert differs(value, read(write(tmp_path, old)), MADE) == 0
    newer = {"image_processor_type": "ViTFeatureExtractor", "size": 24, "image_mean": [0.5] * 3}
    value = processor("ViTImageProcessor", "Pil", {"size": {"height": 24, "width": 24}})
    assert differs(value, read(write(tmp_path, newer)), MADE) == 0


def test_a_file_without_a_class_is_that_of_its_model(tmp_path: Path) -> None:
    values = {"size": {"shortest_edge": 30}, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    found = read(write(tmp_path, values, model_type="resnet", transformers_version="4.18.0"))
    assert differs(processor("ConvNextImageProcessor", "Pil", values), found, MADE) == 0
    assert "for the model_type 'resnet' it is ConvNextImageProcessor" in said(found)
    with pytest.raises(DataError, match="does not name its class"):
        read(write(tmp_path, values, model_type="owned"))


@pytest.mark.parametrize(("name", "resample"), [("ViTImageProcessor", "bilinear"), ("DeiTImageProcessor", "bicubic")])
def test_a_missing_resample_is_the_default_of_the_class_and_is_said(tmp_path: Path, name: str, resample: str) -> None:
    found = read(write(tmp_path, {"image_processor_type": name, "size": 24, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    assert next(step for step in found.contract.image if isinstance(step, Resize)).filter == resample
    number = {"bilinear": 2, "bicubic": 3}[resample]
    assert f"has by default: resample {number}" in said(found)
    assert "by default" not in said(read(write(tmp_path, {
        "image_processor_type": "ViTImageProcessor", "size": 24, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    })))  # fmt: skip


def test_convnext_warps_from_384_on_and_crops_below() -> None:
    below = live(processor("ConvNextImageProcessor", "Pil", {"size": {"shortest_edge": 224}})).contract.image
    assert below[1:3] == (Resize(256, "bicubic"), Crop((224, 224), rounding="down"))
    warped = live(processor("ConvNextImageProcessor", "Pil", {"size": {"shortest_edge": 384}})).contract.image
    assert warped[1] == Resize((384, 384), "bicubic") and not any(isinstance(step, Crop) for step in warped)


def test_mobilevit_wants_bgr_and_does_not_normalise() -> None:
    steps = live(processor("MobileViTImageProcessor", "Pil", {})).contract.image
    assert any(isinstance(step, ReverseChannels) for step in steps)
    assert steps[-1] == Normalize(1 / 255, arithmetic="numpy")


def test_a_processor_file_nests_it_and_goes_before_the_other(tmp_path: Path) -> None:
    nested = {"image_processor": {"image_processor_type": "ViTImageProcessor", "size": 24}, "processor_class": "X"}
    write(tmp_path, {"image_processor_type": "ViTImageProcessor", "size": 32})
    path = write(tmp_path, nested, "processor_config.json")
    for found in (read(path), read(tmp_path)):
        assert found.origin == "processor_config.json (ViTImageProcessor)"
        assert found.contract.sample_shape().axes == (3, 24, 24)
    path.write_text(json.dumps({"processor_class": "X"}))
    assert read(tmp_path).contract.sample_shape().axes == (3, 32, 32)


def test_it_is_found_beside_the_weights_in_the_layout_of_the_model(tmp_path: Path) -> None:
    write(tmp_path, {"image_processor_type": "ViTImageProcessor", "size": 24})
    for path in (tmp_path, tmp_path / "model.onnx"):
        found = forms.only("beside", Source(path, "safetensors", "torch", "", 0), "HWC")
        assert found is not None and found.contract.sample_shape().axes == (24, 24, 3)
    assert forms.only("beside", Source(tmp_path.parent / "model.onnx", "safetensors", "torch", "", 0), "CHW") is None


def test_a_feature_extractor_of_sound_is_no_preprocessing_of_images(tmp_path: Path) -> None:
    write(tmp_path, {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000, "do_normalize": True})
    assert huggingface.beside(Source(tmp_path, "hub", "torch", "", 0), "CHW") is None
    assert huggingface.of_path(tmp_path / "preprocessor_config.json", "CHW") is None


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"image_processor_type": "DonutImageProcessor"}, "what the class DonutImageProcessor does is not known here"),
    ({"auto_map": {"AutoImageProcessor": "code.Mine"}}, "code of its own"),
    ({"sharpen": 2}, "sharpen .2. of ViTImageProcessor is not known, and may change the pixels"),
    ({"size": {"longest_edge": 30}}, "not a size that this class"),
    ({"size": {"height": 30}}, "not a size that this class"),
    ({"size": {"height": 30, "width": -1}}, "whole numbers above 0"),
    ({"size": "224"}, "not a size that transformers reads"),
    ({"resample": 9}, "not one of Pillow's filters"),
    ({"resample": True}, "not one of Pillow's filters"),
    ({"do_resize": "yes"}, "neither true nor false"),
    ({"image_mean": ["0.5"]}, "neither a number nor a list of numbers"),
    ({"image_std": [0.0, 1.0, 1.0]}, "std must be greater than 0"),
    ({"image_mean": [0.5, 0.5]}, "mean has 2 numbers"),
    ({"rescale_factor": 0}, "is not a number that can be used"),
    ({"do_center_crop": True}, "crop_size of ViTImageProcessor is not a height and a width"),
    ({"do_pad": True, "pad_size": {"height": 30, "width": 30}}, "pads after the normalisation"),
    ({"data_format": "channels_last"}, "where transformers 5 gives channels first"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=lambda one: str(one)[:40] if isinstance(one, dict) else "")
def test_what_cannot_be_carried_out_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, {"image_processor_type": "ViTImageProcessor", "size": 24} | changes))


def test_a_refusal_names_the_file_the_class_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, {"image_processor_type": "ViTImageProcessor", "sharpen": 2}))
    said = (
        "preprocessor_config.json: sharpen (2) of ViTImageProcessor is not known, and may change the pixels; write the steps as a TOML file"
    )
    assert caught.value.message.startswith(said)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(DataError, match="is not a valid JSON file"):
        read(tmp_path)


def test_fields_of_other_classes_are_left_out_with_a_note(tmp_path: Path) -> None:
    values = {"image_processor_type": "ViTImageProcessor", "size": 24, "crop_pct": 0.9, "do_reduce_labels": True, "size_divisor": None}
    found = read(write(tmp_path, values, transformers_version="4.30.0"))
    assert "crop_pct was left out, as ViTImageProcessor does not read it" in said(found)
    assert differs(processor("ViTImageProcessor", "Pil", {"size": 24}), found, MADE) == 0


def test_an_image_smaller_than_the_crop_is_noted_where_its_padding_differs() -> None:
    warning = "the odd one is padded after the image"
    odd = processor("DeiTImageProcessor", "Pil", {"size": 31, "crop_size": 34})
    assert warning in said(live(odd)) and differs(odd, live(odd), MADE) > 0
    for value in (
        processor("DeiTImageProcessor", "", {"size": 31, "crop_size": 34}),
        processor("DeiTImageProcessor", "Pil", {"size": 30, "crop_size": 34}),
        processor("CLIPImageProcessor", "Pil", {}),
    ):
        assert warning not in said(live(value))


def test_a_limit_of_the_longer_side_is_noted_and_near() -> None:
    values = {"size": {"shortest_edge": 30, "longest_edge": 40}}
    for backend in BACKENDS:
        value = processor("ViTImageProcessor", backend, values)
        steps = Preprocessor(live(value).contract.image)
        assert "may round a side to one pixel more or less" in said(live(value))
        for one in MADE:
            wanted = value(Image.fromarray(one), return_tensors="np")["pixel_values"][0].shape
            assert all(abs(ours - theirs) <= 1 for ours, theirs in zip(steps.one(one).shape, wanted, strict=True))


def test_images_are_turned_by_exif_as_pipelines_turn_them(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(MADE[-1]).save(path, exif=exif, quality=95)
    value = processor("ViTImageProcessor", "Pil", {"size": 24})
    from transformers.image_utils import load_image

    wanted = value(load_image(str(path)), return_tensors="np")["pixel_values"][0]
    found = live(value)
    assert isinstance(first := found.contract.image[0], Decode) and first.orient
    assert np.array_equal(Preprocessor(found.contract.image).one(path), wanted)
    assert "EXIF" in said(found)


def test_a_class_of_the_users_own_is_refused() -> None:
    class ViTImageProcessor(transformers.ViTImageProcessorPil):  # type: ignore[misc]
        def resize(self, image: Any, *given: Any, **named: Any) -> Any:
            return image

    with pytest.raises(DataError, match="is a class of your own"):
        forms.only("of_object", ViTImageProcessor(), "CHW")
    assert huggingface.of_object(transformers.ViTConfig(), "CHW") is None


def test_the_processor_inside_a_processor_is_read() -> None:
    class Processor:
        __module__ = "transformers.models.clip.processing_clip"
        image_processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 33}, crop_size={"height": 30, "width": 30})

    found = huggingface.of_object(Processor(), "CHW")
    assert found is not None and found.origin == "a live CLIPImageProcessorPil of transformers"
