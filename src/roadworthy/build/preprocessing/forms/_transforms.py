"""A list of torchvision's transforms, old and v2, as steps: one transform after another, with what the image has become so far.

The transforms are told by the names of their classes and read by their attributes; timm's own classes may stand among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from roadworthy.build.preprocessing.forms import _augmentations
from roadworthy.build.preprocessing.forms._written_code import converts_to_rgb, where_written
from roadworthy.build.preprocessing.pillow_filters import PILLOW_FILTERS
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.preprocess.steps import ChannelsFirst, Crop, Decode, Grey, Normalize, Resize, Step

LIBRARIES = ("torchvision.transforms", "timm.data")
CONTAINERS = ("Compose", "Sequential", "ModuleList")
TO_TENSOR = ("ToTensor", "MaybeToTensor", "PILToTensor", "MaybePILToTensor", "ToImage")
OF_TENSORS = ("ConvertImageDtype", "ToDtype", "Normalize")
"""They take no Pillow image."""
TENSOR_FILTERS = ("bilinear", "bicubic", "nearest", "nearest-exact")
"""The filters of a tensor that steps carry out."""
NO_EFFECT = ("Identity", "ToPureTensor", "RGB", "ClampBoundingBoxes", "ConvertBoundingBoxFormat", "SanitizeBoundingBoxes", "ClampKeyPoints",
             "SanitizeKeyPoints", "SetClampingMode")  # fmt: skip
"""On an image that is RGB."""


def is_transform(value: Any) -> bool:
    """Whether ``value`` is an object of torchvision's transforms or timm's, or a list of torch's that holds one."""
    if type(value).__module__.startswith(LIBRARIES):
        return True
    return _is_container(value) and any(is_transform(one) for one in _members(value))


def is_v2(transform: Any) -> bool:
    """Whether a transform is one of torchvision's second version, which computes by other operations."""
    return type(transform).__module__.startswith("torchvision.transforms.v2")


def flat(value: Any) -> Iterator[Any]:
    """``value`` itself, or the transforms that it holds, in order."""
    if not _is_container(value):
        yield value
        return
    for one in _members(value):
        yield from flat(one)


def named(transform: Any) -> str:
    """A transform as messages name it: what it says of itself, on one line."""
    if type(transform).__module__.startswith(LIBRARIES):
        return " ".join(repr(transform).split())[:120]
    return where_written(transform)


def _is_container(value: Any) -> bool:
    return type(value).__name__ in CONTAINERS and type(value).__module__.startswith((*LIBRARIES, "torch.nn.modules.container"))


def _members(value: Any) -> list[Any]:
    return list(getattr(value, "transforms", None) or (value if type(value).__name__ != "Compose" else ()))


class TransformReader:
    """Reads transforms one by one; ``steps`` are those of the image so far, ``notes`` what is to be said.

    ``tensor`` says that the image has become a tensor, of floats where ``floats`` is set.
    """

    def __init__(self, *, tensor: bool = False) -> None:
        self.steps: list[Step] = [Decode()]
        self.notes: list[Note] = []
        self.tensor, self.floats = tensor, False
        self._scale: float | None = None
        self._multiplied = False
        self._normalized: tuple[tuple[float, ...], tuple[float, ...]] | None = None
        self._least = 0

    def read(self, transform: Any) -> None:
        """The next transform; raises DataError where it cannot be carried out as it is."""
        name = type(transform).__name__
        if not type(transform).__module__.startswith(LIBRARIES):
            if converts_to_rgb(transform):
                return
            raise DataError(f"{named(transform)} is code of yours, which is not run in a server; {_TOML}")
        if name == "Lambda" and converts_to_rgb(transform.lambd):
            return
        if name in NO_EFFECT:
            return
        if (handler := _HANDLERS.get(name)) is not None:
            handler(self, transform)
            return
        self.notes.extend(_augmentations.left_out(transform))

    def finished(self) -> tuple[Step, ...]:
        """The steps in all; raises DataError where no tensor comes out."""
        if not self.tensor:
            raise DataError(
                "the transforms end with a Pillow image, which no model takes: add transforms.ToTensor(), or PILToTensor() for uint8"
            )
        steps = [*self.steps, ChannelsFirst()]
        if self.floats:
            mean, std = self._normalized or ((0.0,), (1.0,))
            steps.append(Normalize(self._scale or 1.0, mean, std, 0, arithmetic="keras" if self._multiplied else "torch"))
        return tuple(steps)

    def resize(
        self, transform: Any, size: int | tuple[int, int] | None, interpolation: str, longest: int | None, antialias: bool | None
    ) -> None:
        """Resize as torchvision does it for what the image is by now."""
        self._refuse_normalized(transform, "resizes")
        if self.tensor and interpolation not in TENSOR_FILTERS:
            raise DataError(f"{named(transform)} resizes a tensor by {interpolation}, which no step does; resize before ToTensor()")
        # "nearest-exact" of tensors takes the pixels that Pillow's "nearest" takes.
        filter: Any = "nearest" if interpolation == "nearest-exact" else interpolation
        if self.tensor:
            like: Any = "pillow" if interpolation == "nearest-exact" else "torch"
            self._add(Resize(size, filter, bool(antialias), longest, rounded=not self.floats, like=like))
            if not (self.floats or is_v2(transform) or filter == "nearest"):
                told = "resizes a uint8 tensor by way of floats, and the step in whole numbers: they are up to 1 level apart"
                self.notes.append(Note(f"{named(transform)} {told}"))
        else:
            if antialias is False and filter in ("bilinear", "bicubic"):
                self.notes.append(Note(f"{named(transform)}: a Pillow image is resized with antialias whatever antialias says"))
            self._add(Resize(size, filter, longest=longest))
        self._least = 0 if size is None or longest else min(size) if isinstance(size, tuple) else size

    def crop(self, transform: Any, size: tuple[int, int]) -> None:
        """The centre, padded with zeros where the image is smaller."""
        if self._normalized and max(size) > self._least:
            raise DataError(
                f"{named(transform)} stands behind Normalize, and pads a smaller image with zeros there, which are not black: put it "
                "before ToTensor()"
            )
        self._add(Crop(size))
        self._least = min(size)

    def to_tensor(self) -> None:
        """A Pillow image becomes a tensor of uint8."""
        self.tensor = True

    def to_floats(self, *, scale: float, multiplied: bool = False) -> None:
        """uint8 pixels become float32 and are scaled: divided by 255, or ``multiplied`` by its reciprocal."""
        if not self.floats:
            self.floats, self._scale, self._multiplied = True, scale, multiplied

    def normalize(self, transform: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Subtract ``mean`` and divide by ``std``."""
        if not self.floats:
            before = "a Pillow image" if not self.tensor else "whole numbers"
            raise DataError(f"{named(transform)} gets {before}, which torchvision refuses too: put it behind the conversion to floats")
        if self._normalized:
            raise DataError(f"{named(transform)} is the second Normalize; write both as one")
        if self._scale == 1 and all(value < 2 for value in (*mean, *std)):
            told = "its mean and std are those of pixels in 0..1, and the pixels are in 0..255: no transform before it scales them"
            self.notes.append(Note(f"{named(transform)}: {told}", warning=True))
        self._normalized = mean, std

    def grey(self, transform: Any, channels: int) -> None:
        """Grey in one channel or three."""
        if self.floats:
            raise DataError(f"{named(transform)} makes floats grey, which no step does; put it before ToTensor() or ToDtype()")
        if self.tensor and is_v2(transform):
            self.notes.append(
                Note(f"{named(transform)} sums a tensor's colours as the CPU does it fastest: up to 1 level apart from the step")
            )
        self._add(Grey(channels, "torch" if self.tensor else "pillow"))  # type: ignore[arg-type]

    def _add(self, step: Step) -> None:
        self.steps.append(step)

    def _refuse_normalized(self, transform: Any, does: str) -> None:
        if self._normalized:
            raise DataError(f"{named(transform)} {does} values that Normalize changed before; put it before Normalize")


_TOML = "write what it does as steps of a TOML file (docs/preprocessing.md), and name that in its place"


def _resize(reader: TransformReader, transform: Any) -> None:
    size = transform.size
    if isinstance(size, Sequence):
        size = size[0] if len(size) == 1 else tuple(size)
    reader.resize(transform, size, filter_of(transform), getattr(transform, "max_size", None), getattr(transform, "antialias", True))


def filter_of(transform: Any) -> str:
    """The filter of a transform: an InterpolationMode, its value, or Pillow's number."""
    found = transform.interpolation
    found = getattr(found, "value", found)
    if isinstance(found, int) and 0 <= found < len(PILLOW_FILTERS):
        return PILLOW_FILTERS[found]
    if found not in (*PILLOW_FILTERS, "nearest-exact"):
        raise DataError(f"{named(transform)}: {found!r} is not a filter; the filters are {', '.join(PILLOW_FILTERS)}")
    return str(found)


def _crop(reader: TransformReader, transform: Any) -> None:
    if any(numbers_of(getattr(transform, "fill", 0))):
        raise DataError(f"{named(transform)} pads with another colour than black, which no step does; {_TOML}")
    reader.crop(transform, pair_of(transform.size))


def pair_of(size: Any) -> tuple[int, int]:
    """(height, width) of a number or a sequence of one or two."""
    sides = [size] if isinstance(size, int) else list(size)
    return int(sides[0]), int(sides[-1])


def _pil_to_tensor(reader: TransformReader, transform: Any) -> None:
    reader.to_tensor()


def _scaled_tensor(reader: TransformReader, transform: Any) -> None:
    if reader.tensor and type(transform).__name__ == "ToTensor":
        raise DataError(f"{named(transform)} gets a tensor, which torchvision refuses too: leave it out, or put it first")
    reader.to_tensor()
    reader.to_floats(scale=1 / 255)


def _dtype(reader: TransformReader, transform: Any) -> None:
    """``ConvertImageDtype`` always scales, ``ToDtype`` where it says so; v2 multiplies by 1/255, the older divides by 255."""
    scaled = getattr(transform, "scale", True)
    wanted = transform.dtype
    if isinstance(wanted, dict):
        by_name = {getattr(key, "__name__", str(key)): value for key, value in wanted.items()}
        wanted = next((by_name[name] for name in ("Image", "Tensor", "others") if name in by_name), None)
    wanted = str(wanted).removeprefix("torch.")
    if not reader.tensor:
        reader.notes.append(Note(f"{named(transform)} has no effect on a Pillow image, which stands before ToImage() or PILToTensor()"))
    elif wanted == "float32":
        reader.to_floats(scale=1 / 255 if scaled else 1.0, multiplied=is_v2(transform))
        if not scaled:
            reader.notes.append(Note(f"{named(transform)} keeps the pixels in 0..255, because it does not say scale=True"))
    elif wanted not in ("None", "uint8") or reader.floats:
        raise DataError(f"{named(transform)} makes {wanted} of the pixels; float32 is what the steps make")


def _normalize(reader: TransformReader, transform: Any) -> None:
    reader.normalize(transform, numbers_of(transform.mean), numbers_of(transform.std))


def numbers_of(values: Any) -> tuple[float, ...]:
    """A number, a sequence or a tensor as floats."""
    values = values.tolist() if hasattr(values, "tolist") else values
    return tuple(float(value) for value in (values if isinstance(values, Sequence) else [values]))


def _grey(reader: TransformReader, transform: Any) -> None:
    reader.grey(transform, int(transform.num_output_channels))


def _to_pillow(reader: TransformReader, transform: Any) -> None:
    if transform.mode not in (None, "RGB"):
        raise DataError(f"{named(transform)} makes an image of another kind than RGB; {_TOML}")
    if reader.floats:
        raise DataError(
            f"{named(transform)} makes a Pillow image of floats, which loses levels; leave it out, or convert to floats behind it"
        )
    reader.tensor = False


_HANDLERS: dict[str, Callable[[TransformReader, Any], None]] = {
    "Resize": _resize,
    "CenterCrop": _crop,
    "CenterCropOrPad": _crop,
    "ToTensor": _scaled_tensor,
    "MaybeToTensor": _scaled_tensor,
    "PILToTensor": _pil_to_tensor,
    "MaybePILToTensor": _pil_to_tensor,
    "ToImage": _pil_to_tensor,
    "ConvertImageDtype": _dtype,
    "ToDtype": _dtype,
    "Normalize": _normalize,
    "Grayscale": _grey,
    "ToPILImage": _to_pillow,
}
