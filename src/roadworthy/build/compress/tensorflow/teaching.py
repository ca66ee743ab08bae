"""A Keras student taught by its original."""

from __future__ import annotations

import contextlib
import time

import numpy as np

from roadworthy.build.compress import checkpoint, loop
from roadworthy.build.compress.batches import Batches, Changes, image_axes
from roadworthy.build.compress.outputs import check_student, output_losses
from roadworthy.build.compress.requests import check_answers, check_request, check_saved, taught
from roadworthy.build.compress.stages import Taught, TeachRequest
from roadworthy.build.compress.tensorflow.learner import KerasLearner
from roadworthy.build.compress.validation import Validation, answers, first
from roadworthy.core.errors import RoadworthyError, StepFailed, UsageError
from roadworthy.core.host import usable_cores
from roadworthy.core.types import Array
from roadworthy.frameworks.tensorflow import framework, keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasModel


def teach(request: TeachRequest) -> Taught:
    """The student after it learned from the teacher; see ``build.compress.teach``."""
    began = time.monotonic()
    check_request(request)
    if request.recipe.quantised:
        raise UsageError("a Keras model cannot be taught with the rounding of int8, a PyTorch one can: leave quantised out")
    # TensorFlow's threads take work from one another and do not wait at the end of each operation: all cores are never slower than one.
    # Their number can only be set before its first operation; another one changes the rounding, and nothing else.
    with contextlib.suppress(UsageError):
        framework.set_threads(usable_cores())
    try:
        return _taught(request, began)
    except RoadworthyError:
        raise
    except Exception as problem:
        raise StepFailed(f"the student cannot be taught: {framework.first_line(problem)}", detail=repr(problem)) from problem


def _taught(request: TeachRequest, began: float) -> Taught:
    recipe, signature = request.recipe, request.student.signature
    # Before the layers exist: each dropout draws its own seed when it is made.
    keras_model.package(keras_model.record(request.student.path).reader).utils.set_random_seed(recipe.seed)
    student, teacher = keras_model.load(request.student.path), keras_model.load(request.teacher.path)
    size = signature.call_size(recipe.batch)
    wanted = answers(teacher.answer, request.validation, signature, size)
    losses = output_losses(wanted, request.training, labels=recipe.soft < 1.0)
    given = answers(student.answer, first(request.validation, size), signature, size)
    check_answers(given, wanted)
    check_student(losses, given)
    heights = image_axes(signature.inputs, channels_first=keras_model.channels_first(student.model))
    changes = Changes(recipe.flip, recipe.crop)
    batches = Batches(request.training, losses, size, seed=recipe.seed, changes=changes, heights=heights)
    mark = checkpoint.fingerprint(recipe, (request.training, request.validation), (_arrays(student), _arrays(teacher)))
    learner = KerasLearner(student, teacher, signature, losses, recipe)
    validation = Validation(request.validation, signature, wanted, losses, size)
    training = loop.train(
        learner,
        batches,
        lambda: validation.metric(learner.answers),
        recipe,
        directory=request.checkpoint,
        fingerprint=mark,
        began=began,
    )
    learner.close()
    keras_model.save_again(request.student.path, student.model, request.out)
    few = signature.to_call(request.validation.feeds(0, min(size, request.validation.count)))
    check_saved(keras_model.load(request.out).answer(few), student.answer(few))
    return taught(request, request.out, training)


def _arrays(model: KerasModel) -> dict[str, Array]:
    """Every weight and running statistic by its place; not the seeds of dropout."""
    return {str(number): np.asarray(variable.numpy()) for number, variable in enumerate(model.model.weights)}
