"""The answers of layers that a Keras student and its teacher have under one name and in one shape."""

from __future__ import annotations

from typing import Any, Self

from roadworthy.core.errors import SourceError


class ListenedLayers:
    """What the layers of equal name give to calls inside the block, which a function that is being traced may hold.

    A layer that is called several times counts once, with its last answer. The whole model does not count: its outputs have losses of
    their own.
    """

    def __init__(self, student: Any, teacher: Any) -> None:
        ours, theirs = ({layer.name: layer for layer in model._flatten_layers() if layer is not model} for model in (student, teacher))
        self._pairs = {name: (layer, theirs[name]) for name, layer in ours.items() if name in theirs}
        self._kept: tuple[dict[str, Any], dict[str, Any]] = ({}, {})

    def __enter__(self) -> Self:
        self._kept = ({}, {})
        for name, pair in self._pairs.items():
            for layer, kept in zip(pair, self._kept, strict=True):
                object.__setattr__(layer, "call", _heard(layer.call, kept, name))
        return self

    def __exit__(self, *problem: object) -> None:
        for pair in self._pairs.values():
            for layer in pair:
                object.__delattr__(layer, "call")

    def taken(self) -> tuple[list[Any], list[Any]]:
        """The student's answers and the teacher's, of the layers where they have one shape; SourceError where there is none."""
        ours, theirs = self._kept
        names = [name for name, tensor in ours.items() if name in theirs and tensor.shape.as_list() == theirs[name].shape.as_list()]
        if not names:
            raise SourceError("no layer of the student has the name and the shape of one of the original: leave features out")
        return [ours[name] for name in names], [theirs[name] for name in names]


def _heard(call: Any, kept: dict[str, Any], name: str) -> Any:
    def heard(*arguments: Any, **keywords: Any) -> Any:
        answer = call(*arguments, **keywords)
        if getattr(getattr(answer, "dtype", None), "is_floating", False):
            kept[name] = answer
        return answer

    return heard
