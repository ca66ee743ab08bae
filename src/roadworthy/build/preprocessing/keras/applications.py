"""``keras.applications``: what each family's ``preprocess_input`` does, and the names that its networks have in a file."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.sizes import Pictures
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Normalize, ReverseChannels, Step

Mode: TypeAlias = Literal["caffe", "tf", "torch", "nothing"]
MODES: dict[str, Mode] = {
    "convnext": "nothing", "densenet": "torch", "efficientnet": "nothing", "efficientnet_v2": "nothing", "imagenet_utils": "caffe",
    "inception_resnet_v2": "tf", "inception_v3": "tf", "mobilenet": "tf", "mobilenet_v2": "tf", "mobilenet_v3": "nothing", "nasnet": "tf",
    "regnet": "nothing", "resnet": "caffe", "resnet50": "caffe", "resnet_rs": "nothing", "resnet_v2": "tf", "vgg16": "caffe",
    "vgg19": "caffe", "xception": "tf",
}  # fmt: skip
"""By module. ``nothing`` is for the families whose networks normalise inside; regnet and resnet_rs are of Keras 2 alone."""
NETWORKS: dict[str, str] = {
    r"densenet\d+": "densenet", r"inception_resnet_v2": "inception_resnet_v2", r"inception_v3": "inception_v3",
    r"mobilenet_\d\.\d+_\w+": "mobilenet", r"mobilenetv2_\d\.\d+_\w+": "mobilenet_v2", r"nasnet(_mobile|_large)?": "nasnet",
    r"resnet(50|101|152)": "resnet", r"resnet(50|101|152)v2": "resnet_v2", r"vgg16": "vgg16", r"vgg19": "vgg19", r"xception": "xception",
}  # fmt: skip
"""The names that Keras gives its networks, and their module; those that normalise inside are told by their layers."""


def steps(mode: Mode, layout: Layout) -> tuple[Step, ...]:
    """What ``preprocess_input`` does in ``mode`` to an image in RGB, 0..255; its size stays.

    caffe: BGR less the mean colour of ImageNet; tf: -1..1; torch: 0..1 by ImageNet's mean and deviation.
    Source: ``keras.src.applications.imagenet_utils``.
    """
    axis: Literal[0, 2] = 0 if layout == "CHW" else 2
    values = {
        "caffe": Normalize(1.0, (103.939, 116.779, 123.68), axis=axis, arithmetic="torch"),
        "tf": Normalize(1 / 127.5, (1.0,), axis=axis, arithmetic="torch"),
        "torch": Normalize(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), axis, arithmetic="torch"),
        "nothing": Normalize(1.0, axis=axis),
    }
    reverse = (ReverseChannels(),) if mode == "caffe" else ()
    return (Decode(), *reverse, *((ChannelsFirst(),) if layout == "CHW" else ()), values[mode])


def unchosen(source: Source, pictures: Pictures | None) -> Found | None:
    """No preprocessing, with a note of what ``suggested`` says; None where that is nothing."""
    said = suggested(source)
    return Found(Contract(), "", (Note(f"{said}; nothing was chosen by that name"),)) if said and pictures else None


def suggested(source: Source) -> str:
    """What the names of the models in the source say of their preprocessing, as a sentence; empty where they say nothing.

    A network of one's own may have one of these names, and one with one of these names may have been trained otherwise.
    """
    for name in source.models:
        for pattern, module in NETWORKS.items():
            if re.fullmatch(pattern, name):
                return (
                    f"{name!r} is the name of a network of keras.applications, whose images are prepared by "
                    f"--preprocess keras.applications.{module}.preprocess_input"
                )
    return ""
