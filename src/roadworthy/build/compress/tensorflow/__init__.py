"""Keras models made smaller: functional and Sequential ones, of Keras 3 and of tf-keras."""

from __future__ import annotations

import importlib
from typing import cast

from roadworthy.build.compress.stages import Taught, TeachRequest
from roadworthy.build.compress.tensorflow.architecture import write
from roadworthy.build.compress.tensorflow.finding import blocks
from roadworthy.build.compress.tensorflow.student import student
from roadworthy.build.compress.tensorflow.surgery import cut

__all__ = ["blocks", "cut", "student", "teach", "write"]


def teach(request: TeachRequest) -> Taught:
    """The student after it learned from the teacher; see ``build.compress.teach``."""
    # Not at the top: what cuts needs nothing of what teaches.
    return cast(Taught, importlib.import_module(f"{__name__}.teaching").teach(request))
