"""What a request to teach has to fulfil, and what it gives back, in every framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from roadworthy.build.compress.loop import Training
from roadworthy.build.compress.stages import Taught, TeachingRecipe, TeachRequest
from roadworthy.core.errors import DataError, SourceError, StepFailed, UsageError
from roadworthy.core.numerics import output_error
from roadworthy.core.stages import Graph
from roadworthy.core.types import Arrays, TensorSpec

ROUNDING = 1e-4
"""The largest error, relative to an output's scale, that is left where two processes compute one function in another order."""


def check_request(request: TeachRequest) -> None:
    """Raise what is wrong with ``request`` that can be seen before a model is loaded: UsageError, DataError or SourceError."""
    _check_recipe(request.recipe)
    student, teacher = request.student, request.teacher
    if student.format != teacher.format:
        raise SourceError(f"the student is a {student.format} model and the original a {teacher.format} one: both need one framework")
    if student.quantized:
        raise SourceError("a quantised model cannot be taught: its weights are whole numbers; give the model it was made from")
    signature = student.signature
    for what, ours, theirs in (
        ("takes", signature.inputs, teacher.signature.inputs),
        ("gives", signature.outputs, teacher.signature.outputs),
    ):
        if not _fit(ours, theirs):
            raise SourceError(
                f"the student {what} {_listed(ours)} where the original {what} {_listed(theirs)}: names, types and shapes must be equal"
            )
    if signature.whole_call:
        raise SourceError("an input of the model holds for a whole call, so that its samples cannot be mixed into batches to learn from")
    if signature.call_size(request.recipe.batch) < 2:
        raise SourceError("the model takes one sample a call, and learns from batches alone; give it with a free number of samples")
    for samples, what in ((request.training, "training"), (request.validation, "validation")):
        if set(samples.inputs) != {spec.name for spec in signature.inputs}:
            names = ", ".join(spec.name for spec in signature.inputs)
            raise DataError(f"the {what} samples have {', '.join(samples.inputs)} where the model takes {names}")
    if request.validation.count < 1:
        raise DataError("there are no validation samples")


def check_answers(given: Arrays, wanted: Arrays) -> None:
    """Raise SourceError where the student's answers have not the shapes of the original's; rows [samples, ...] by output name."""
    for name, array in wanted.items():
        ours, theirs = list(given[name].shape[1:]), list(array.shape[1:])
        if ours != theirs:
            raise SourceError(f"the student's output {name!r} has shape {ours} for a sample where the original's has {theirs}")


def check_saved(found: Arrays, wanted: Arrays) -> None:
    """Raise StepFailed where the model, read again from its file, does not answer as it did before it was written."""
    for name, array in wanted.items():
        error = output_error(found[name], array)
        if not error <= ROUNDING:
            raise StepFailed(f"the taught model answers {name!r} otherwise after it was saved and read again, by {error:.2g} of its scale")


def taught(request: TeachRequest, path: Path, training: Training, notes: Sequence[str] = ()) -> Taught:
    """The student at ``path`` after ``training``, as the graph that it came as."""
    student = request.student
    graph: Graph = replace(
        student,
        path=path,
        notes=(*student.notes, *notes),
        derived_from=student.derived_from or student.format,
        compression=student.compression or "taught",
    )
    return Taught(graph, training.lessons, training.best, training.rate, training.ended)


def _check_recipe(recipe: TeachingRecipe) -> None:
    if not 0.0 <= recipe.soft <= 1.0:
        raise UsageError(f"soft is the part of the loss that the original's answers take, from 0 to 1, and was {recipe.soft:g}")
    if recipe.temperature <= 0:
        raise UsageError(f"a temperature is above 0, and was {recipe.temperature:g}")
    if recipe.batch < 2:
        raise UsageError(f"a batch has 2 samples or more, and was to have {recipe.batch}")
    if recipe.crop < 0:
        raise UsageError(f"crop is a number of pixels, and was {recipe.crop}")


def _fit(ours: Sequence[TensorSpec], theirs: Sequence[TensorSpec]) -> bool:
    return len(ours) == len(theirs) and all(
        one.name == other.name and one.dtype == other.dtype and one.shape == other.shape for one, other in zip(ours, theirs, strict=True)
    )


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs))
