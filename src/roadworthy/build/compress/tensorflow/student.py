"""A smaller Keras network of the user's own, called as the original is."""

from __future__ import annotations

from dataclasses import replace

from roadworthy.build.compress import students
from roadworthy.build.compress.stages import STUDENT, Cut, StudentRequest
from roadworthy.build.compress.tensorflow import counting
from roadworthy.build.compress.tensorflow.watching import calls
from roadworthy.core.errors import RoadworthyError, SourceError
from roadworthy.frameworks.tensorflow import keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasModel

FEW = 2


def student(request: StudentRequest) -> Cut:
    """As ``roadworthy.build.compress.student``; ``Cut.error`` is 0, because nothing was cut."""
    signature = request.teacher.signature
    teacher = keras_model.load(request.teacher.path)
    keras = keras_model.package(teacher.reader)
    keras.utils.set_random_seed(students.SEED)
    smaller = KerasModel(students.built(request.spec, keras.Model, f"{teacher.reader}.Model"), teacher.reader, teacher.call)
    feeds = next(calls(signature, request.samples, FEW, FEW))
    try:
        answers = smaller.answer(feeds)
    except RoadworthyError as problem:
        raise SourceError(f"--student {request.spec} does not run on the training samples: {problem.message}") from problem
    students.refuse_others(request.spec, answers, teacher.answer(feeds))
    counted = counting.count(smaller, signature, request.samples)
    keras_model.save_again(request.teacher.path, smaller.model, request.out)
    graph = replace(request.teacher, path=request.out, derived_from="keras", compression=STUDENT)
    return Cut(graph, {}, counted.parameters, counted.multiplications, 0.0)
