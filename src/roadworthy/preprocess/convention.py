"""A usual way to prepare images, as two lists of steps: to pixels of the model's size, and to the values that it takes."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.preprocess.steps import Step


@dataclass(frozen=True)
class Convention:
    """One way: ``geometry`` leads from the file to pixels of the model's size, ``values`` from those to what the model takes."""

    name: str
    geometry: tuple[Step, ...]
    values: tuple[Step, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in their order."""
        return (*self.geometry, *self.values)
