"""torchvision beside a torch of another build: its compiled library cannot be loaded, and without it ``import torchvision`` fails.

Its Python code needs that library for few of its functions: what transforms, most models and the weights' descriptions need is that the
operators are declared. Those that compute need the library itself, and say so.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch

from roadworthy.core.errors import EnvironmentFault

_ALIGN = "Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_BACK = "float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_SHAPE = "SymInt batch_size, SymInt channels, SymInt height, SymInt width"
_DEFORM = (
    "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, "
    "SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask"
)
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({_ALIGN}, int sampling_ratio, bool aligned) -> Tensor",
    f"_roi_align_backward(Tensor grad, Tensor rois, {_BACK}, {_SHAPE}, int sampling_ratio, bool aligned) -> Tensor",
    "qroi_align(Tensor input, Tensor rois, float input_scale, int input_zero_point, float rois_scale, int rois_zero_point, "
    f"{_BACK}, int sampling_ratio, bool aligned) -> Tensor",
    f"roi_pool({_ALIGN}) -> (Tensor, Tensor)",
    f"_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, {_BACK}, {_SHAPE}) -> Tensor",
    f"ps_roi_align({_ALIGN}, int sampling_ratio) -> (Tensor, Tensor)",
    f"_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor channel_mapping, {_BACK}, int sampling_ratio, {_SHAPE}) -> Tensor",
    f"ps_roi_pool({_ALIGN}) -> (Tensor, Tensor)",
    f"_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor channel_mapping, {_BACK}, {_SHAPE}) -> Tensor",
    f"deform_conv2d({_DEFORM}) -> Tensor",
    f"_deform_conv2d_backward(Tensor grad, {_DEFORM}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "box_iou_rotated(Tensor boxes1, Tensor boxes2) -> Tensor",
)
"""The operators of torchvision's compiled library, as it declares them."""

_declared: list[torch.library.Library] = []
"""An operator is declared for as long as the library object lives."""


def declare_missing() -> None:
    """Let torchvision be imported where it is installed and its compiled library does not fit this torch; otherwise do nothing.

    Call it before torchvision is first imported. Its compiled operators (``nms``, ``deform_conv2d``, ...) then raise EnvironmentFault,
    which names the two builds and what to install.
    """
    spec = importlib.util.find_spec("torchvision")
    if _declared or spec is None or spec.origin is None or _registers(Path(spec.origin).parent):
        return
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
        library.impl(schema.partition("(")[0], _refuse, "CPU")
    _declared.append(library)
    sys.meta_path.insert(0, _Explaining())


def _registers(folder: Path) -> bool:
    """Whether the compiled library in torchvision's ``folder`` can be loaded, and has declared its operators then."""
    for file in folder.glob("_C*.so"):
        with suppress(OSError):
            torch.ops.load_library(str(file))
    return hasattr(torch.ops.torchvision, "nms")


def _refuse(*arguments: Any) -> NoReturn:
    installed = getattr(sys.modules.get("torchvision"), "__version__", None) or importlib.metadata.version("torchvision")
    raise EnvironmentFault(
        f"this needs torchvision's compiled operators, and those of torchvision {installed} do not fit torch {torch.__version__}, which is "
        "of another build: install torch and torchvision together, from the same package index"
    )


class _Explaining:
    """Gives torchvision's own check of its library our words, when its operators are first imported."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "torchvision.ops" and (extension := sys.modules.get("torchvision.extension")) is not None:
            extension._assert_has_ops = _refuse  # type: ignore[attr-defined]
        return None
