"""The answers of layers that the student and the teacher have under one name and in one shape."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from roadworthy.core.errors import SourceError
from roadworthy.frameworks.torch import traversal


class SharedLayers:
    """What the layers of equal name gave in the last call of the student and of the teacher.

    A layer that is called several times counts once, with its last answer. The whole model does not count: its outputs have losses of
    their own.
    """

    def __init__(self, student: Any, teacher: Any) -> None:
        ours, theirs = dict(traversal.named_parts(student)), dict(traversal.named_parts(teacher))
        names = [name for name in ours if name in theirs and name not in ("", "module")]
        self._given: dict[str, Tensor] = {}
        self._wanted: dict[str, Tensor] = {}
        self._hooks = [
            part[name].register_forward_hook(self._keep(kept, name))
            for part, kept in ((ours, self._given), (theirs, self._wanted))
            for name in names
        ]

    def taken(self) -> tuple[list[Tensor], list[Tensor]]:
        """The student's answers and the teacher's, of the layers where they have one shape; SourceError where there is none."""
        names = [name for name, tensor in self._given.items() if name in self._wanted and tensor.shape == self._wanted[name].shape]
        if not names:
            raise SourceError("no layer of the student has the name and the shape of one of the original: leave features out")
        return [self._given[name] for name in names], [self._wanted[name] for name in names]

    def remove(self) -> None:
        """Stop listening."""
        for hook in self._hooks:
            hook.remove()

    def _keep(self, kept: dict[str, Tensor], name: str) -> Any:
        def keep(part: Any, inputs: Any, answer: Any) -> None:
            if isinstance(answer, Tensor) and answer.is_floating_point():
                kept[name] = answer

        return keep
