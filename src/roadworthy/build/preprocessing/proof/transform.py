"""Training's own transform: what it takes is found by trying, and what it gives is made an array."""

from __future__ import annotations

import inspect
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from roadworthy.build import user_object
from roadworthy.build.user_object import UserObject
from roadworthy.core.errors import DataError, RoadworthyError, UsageError
from roadworthy.core.isolation import callables
from roadworthy.core.text import named_line
from roadworthy.core.types import Array
from roadworthy.preprocess.decode import ImageDecoder
from roadworthy.preprocess.pictures import Pictures
from roadworthy.preprocess.steps import PILLOW_LIMIT

WHAT = "training transform"
TWICE = 8
"""The images that are transformed twice: a random transform gives other values."""
KEYS = ("pixel_values", "image", "images", "x")
"""The names of the array where a transform gives several by name."""

Form: TypeAlias = Literal["a PIL image", "a grey PIL image", "a path", "bytes", "a uint8 array [H,W,3]", "image=a uint8 array [H,W,3]"]
FORMS: tuple[Form, ...] = ("a PIL image", "a grey PIL image", "a path", "bytes", "a uint8 array [H,W,3]", "image=a uint8 array [H,W,3]")


@dataclass(frozen=True)
class TrainingTransform:
    """The user's ``function``; ``takes`` says what it is called with. It exists only in the child process that imported it."""

    name: str
    function: Callable[..., Any]
    takes: Form

    def run(self, pictures: Pictures, index: int, function: Callable[..., Any] | None = None) -> Array:
        """The sample of one image, [C,H,W] or [H,W,C]; ``function`` in place of the whole. Raises UsageError with the user's own error."""
        given = _given(self.takes, pictures, index)
        call = partial(_with_image, function or self.function) if self.takes.startswith("image=") else function or self.function
        result = callables.called(self.name, WHAT, call, given)
        return array_of(result, f"the {WHAT} {callables.shown(self.name)} on {pictures.names[index]}")


def load(name: str, pictures: Pictures, *, grey: bool) -> TrainingTransform:
    """The transform ``name``, or the one that it returns when it is called without arguments.

    Raises UsageError and DataError where it cannot be loaded, takes no image in any form, or is random. ``grey`` says that the deployment
    decodes to grey: images are then handed over in grey first.
    """
    named = user_object.named_in(name)
    if named is None:
        raise UsageError(f"--training-transform {name}: give FILE.py:callable or package.module:callable")
    problems: list[str] = []
    for function in _functions(named):
        for form in (FORMS[1], FORMS[0], *FORMS[2:]) if grey else FORMS:
            found = TrainingTransform(name, function, form)
            try:
                found.run(pictures, 0)
            except (RoadworthyError, ValueError, TypeError) as problem:
                problems.append(f"given {form}: {_reason(problem)}")
                continue
            _refuse_random(found, pictures)
            return found
    raise DataError(f"the {WHAT} {named} takes no image in any form that was tried: {'; '.join(problems)}")


def _functions(named: UserObject) -> Iterator[Callable[..., Any]]:
    """What ``named`` may be: a transform, or a function that returns one."""
    value = user_object.find(named)
    if not callable(value):
        raise DataError(f"the {WHAT} {named} is a {type(value).__name__} and cannot be called")
    if _takes(value, None):
        yield value
    if _takes(value):
        made = user_object.call(named)
        if callable(made):
            yield made


def _takes(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether ``function`` can be called so, as far as its signature says."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        # albumentations takes its image by name alone.
        return bool(arguments) and _takes_image(function)
    except ValueError:
        return bool(arguments)
    return True


def _takes_image(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(image=None)
    except (TypeError, ValueError):
        return False
    return True


def parts_of(function: Any) -> tuple[Any, ...]:
    """The transforms that a ``Compose`` runs one after another; empty for anything else."""
    inner = getattr(function, "transforms", None)
    if inner is None and type(function).__name__ == "Sequential":
        inner = list(function)
    return tuple(inner) if isinstance(inner, list | tuple) and all(map(callable, inner)) else ()


def array_of(result: Any, what: str) -> Array:
    """What a transform gave, as an array [C,H,W] or [H,W,C]; DataError, with ``what`` in front, for anything else."""
    if isinstance(result, Mapping) or hasattr(result, "keys"):
        names = list(result.keys())
        key = next((name for name in (*KEYS, *(names if len(names) == 1 else ())) if name in names), None)
        if key is None:
            raise DataError(f"{what} gives {', '.join(map(repr, names))}, and none of them is called {' or '.join(KEYS)}")
        result = result[key]
    if isinstance(result, list | tuple) and len(result) == 1:
        (result,) = result
    array = np.asarray(_plain(result))
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.dtype.kind not in "fiu":
        raise DataError(f"{what} gives {array.dtype} {list(array.shape)}, and one image as numbers [C,H,W] or [H,W,C] is wanted")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{what} gives values that are not finite")
    return array


def _plain(result: Any) -> Any:
    if hasattr(result, "detach"):
        result = result.detach().cpu()
        # NumPy has no bfloat16.
        return result.float().numpy() if "bfloat16" in str(result.dtype) else result.numpy()
    return result.numpy() if hasattr(result, "numpy") else result


def _given(form: Form, pictures: Pictures, index: int) -> Any:
    if form in ("a path", "bytes") and pictures.files[index].suffix != ".npy":
        file = pictures.files[index]
        return str(file) if form == "a path" else file.read_bytes()
    grey = form == "a grey PIL image"
    image = ImageDecoder("L" if grey else "RGB", PILLOW_LIMIT).decode(pictures.open(index), pictures.names[index]).image
    if form.endswith("PIL image"):
        # Some transforms change the image that they are given.
        return image.copy()
    if form in ("a path", "bytes"):
        return _encoded(image, form)
    return np.array(image)


def _encoded(image: Image.Image, form: Form) -> Any:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    if form == "bytes":
        return stream.getvalue()
    where = Path(tempfile.gettempdir(), "training-image.png")
    where.write_bytes(stream.getvalue())
    return str(where)


def _with_image(function: Callable[..., Any], image: Any) -> Any:
    return function(image=image)


def _refuse_random(transform: TrainingTransform, pictures: Pictures) -> None:
    for index in range(min(TWICE, len(pictures.files))):
        once, again = transform.run(pictures, index), transform.run(pictures, index)
        if once.shape != again.shape or not np.array_equal(once, again):
            drawn = [type(part).__name__ for part in parts_of(transform.function) if "Random" in type(part).__name__]
            named = f" ({', '.join(drawn)})" if drawn else ""
            raise DataError(
                f"the {WHAT} {callables.shown(transform.name)} is random: two runs on {pictures.names[index]} differ{named}; give the "
                "transform that evaluation used"
            )


def _reason(problem: Exception) -> str:
    cause = problem.__cause__ if isinstance(problem.__cause__, Exception) else problem
    return named_line(cause) if not isinstance(problem, DataError) else problem.message
