"""What transformers' image processors do where their file is silent, and the rules that some of them have of their own.

The values are the class attributes of transformers 5.24; ``tests/build/preprocessing/test_huggingface.py`` compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Rule: TypeAlias = Literal["plain", "convnext", "levit", "poolformer", "efficientnet", "mobilevit", "segformer"]
"""What a class does in its own way: the size it resizes to, a second normalisation, or a field that it does not read."""
Triple: TypeAlias = tuple[float, float, float]

HALF: Triple = (0.5, 0.5, 0.5)
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
BILINEAR, BICUBIC = 2, 3


@dataclass(frozen=True)
class ProcessorClass:
    """The defaults of a class. ``size`` is (height, width), or one number for the shorter side; ``square`` says that a bare number in
    a file means a square. ``crop`` is the default of ``crop_size``, ``cropped`` of ``do_center_crop``, ``rgb`` of ``do_convert_rgb``.
    """

    size: int | tuple[int, int]
    resample: int
    mean: Triple
    std: Triple
    crop: tuple[int, int] | None = None
    cropped: bool = False
    square: bool = True
    normalize: bool = True
    rgb: bool = False
    rule: Rule = "plain"
    crop_pct: float | None = None


_CLIP = ProcessorClass(224, BICUBIC, CLIP_MEAN, CLIP_STD, (224, 224), cropped=True, square=False, rgb=True)
_MOBILENET = ProcessorClass(256, BILINEAR, HALF, HALF, (224, 224), cropped=True, square=False)

CLASSES: dict[str, ProcessorClass] = {
    "BeitImageProcessor": ProcessorClass((224, 224), BICUBIC, HALF, HALF, (224, 224)),
    "BitImageProcessor": _CLIP,
    "BlipImageProcessor": ProcessorClass((384, 384), BICUBIC, CLIP_MEAN, CLIP_STD, rgb=True),
    "ChineseCLIPImageProcessor": _CLIP,
    "CLIPImageProcessor": _CLIP,
    "ConvNextImageProcessor": ProcessorClass(384, BICUBIC, HALF, HALF, square=False, rule="convnext", crop_pct=224 / 256),
    "DeiTImageProcessor": ProcessorClass((256, 256), BICUBIC, HALF, HALF, (224, 224), cropped=True),
    "EfficientNetImageProcessor": ProcessorClass((346, 346), BICUBIC, HALF, HALF, (289, 289), rule="efficientnet"),
    "LevitImageProcessor": ProcessorClass(224, BICUBIC, IMAGENET_MEAN, IMAGENET_STD, (224, 224), cropped=True, square=False, rule="levit"),
    "MobileNetV1ImageProcessor": _MOBILENET,
    "MobileNetV2ImageProcessor": _MOBILENET,
    "MobileViTImageProcessor": ProcessorClass(
        224, BICUBIC, HALF, HALF, (256, 256), cropped=True, square=False, normalize=False, rule="mobilevit"
    ),
    "PoolFormerImageProcessor": ProcessorClass(
        224, BICUBIC, IMAGENET_MEAN, IMAGENET_STD, (224, 224), cropped=True, square=False, rule="poolformer", crop_pct=0.9
    ),
    "PvtImageProcessor": ProcessorClass((224, 224), BICUBIC, IMAGENET_MEAN, IMAGENET_STD),
    "SegformerImageProcessor": ProcessorClass((512, 512), BILINEAR, IMAGENET_MEAN, IMAGENET_STD, rule="segformer"),
    "SiglipImageProcessor": ProcessorClass((224, 224), BICUBIC, HALF, HALF, square=False, rgb=True),
    "ViTImageProcessor": ProcessorClass((224, 224), BILINEAR, HALF, HALF),
}
"""By the name of the class, without what it says of the backend."""

OF_MODEL: dict[str, str] = {
    "beit": "BeitImageProcessor", "bit": "BitImageProcessor", "clip": "CLIPImageProcessor", "convnext": "ConvNextImageProcessor",
    "convnextv2": "ConvNextImageProcessor", "cvt": "ConvNextImageProcessor", "data2vec-vision": "BeitImageProcessor",
    "deit": "DeiTImageProcessor", "dinat": "ViTImageProcessor", "dinov2": "BitImageProcessor",
    "efficientnet": "EfficientNetImageProcessor", "focalnet": "BitImageProcessor", "hiera": "BitImageProcessor",
    "ijepa": "ViTImageProcessor", "levit": "LevitImageProcessor", "metaclip_2": "CLIPImageProcessor",
    "mobilenet_v1": "MobileNetV1ImageProcessor", "mobilenet_v2": "MobileNetV2ImageProcessor", "mobilevit": "MobileViTImageProcessor",
    "mobilevitv2": "MobileViTImageProcessor", "poolformer": "PoolFormerImageProcessor", "pvt": "PvtImageProcessor",
    "pvt_v2": "PvtImageProcessor", "regnet": "ConvNextImageProcessor", "resnet": "ConvNextImageProcessor",
    "segformer": "SegformerImageProcessor", "siglip": "SiglipImageProcessor", "swiftformer": "ViTImageProcessor",
    "swin": "ViTImageProcessor", "swinv2": "ViTImageProcessor", "vit": "ViTImageProcessor", "vit_msn": "ViTImageProcessor",
}  # fmt: skip
"""The class of a processor's file that names none, by the ``model_type`` of the configuration beside it."""
