"""A compressed Keras model for those who deploy it elsewhere: the file that plain Keras opens, its architecture inside."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from roadworthy.build.compress.stages import WriteRequest, WrittenModel
from roadworthy.build.compress.tensorflow.watching import calls
from roadworthy.core.errors import SourceError, StepFailed
from roadworthy.core.numerics import output_error
from roadworthy.frameworks.tensorflow import framework, keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasModel, Original

ROUNDING = 1e-5
"""Of the output's scale: the same weights in the same operators."""


def write(request: WriteRequest) -> WrittenModel:
    """The "keras" model as one file in ``request.out``, in the form that ``keras_model.save_again`` wrote.

    The file holds the configuration: an architecture file is not needed, and the user's own classes are named as those of the original
    were. Raises as ``build.compress.write`` does.
    """
    directory = request.model.path
    record = keras_model.record(directory)
    request.out.mkdir(parents=True, exist_ok=True)
    file = Path(shutil.copyfile(directory / record.file, request.out / record.file))
    kept, objects = keras_model.load(directory), keras_model.objects(directory)
    live, safe = _read(file, record, objects)
    opened = KerasModel(live, record.reader, record.call)
    for feeds in calls(request.model.signature, request.samples, 1, 1):
        wanted, answers = kept.answer(feeds), opened.answer(feeds)
        error = max(output_error(answers[name], wanted[name]) for name in wanted)
        if not error <= ROUNDING:
            raise StepFailed(
                f"{file.name} does not give the model's answers when Keras reads it: they differ by {error:.2g} of their scale"
            )
    return WrittenModel((file,), _usage(record, objects, safe=safe))


def _read(file: Path, record: Original, objects: dict[str, Any]) -> tuple[Any, bool]:
    """The model in the file, and whether Keras reads it in its safe mode."""
    for trusted in (False, True)[: 1 + record.trusted]:
        try:
            return keras_model.read(file, record.reader, objects, trusted=trusted), not trusted
        except Exception as problem:
            reason = problem
    raise SourceError(f"Keras does not read the smaller model: {framework.first_line(reason)}", detail=repr(reason)) from reason


def _usage(record: Original, objects: Collection[str], *, safe: bool) -> str:
    own = sorted({name.rpartition(">")[2] for name in objects})
    named = f", custom_objects={{{', '.join(f'{name!r}: {name}' for name in own)}}}" if own else ""
    mode = "" if safe else ", safe_mode=False"
    comment = f"# {', '.join(own)}: your own, imported as for the original\n" if own else ""
    return f"import {record.reader}\n\n{comment}model = {record.reader}.models.load_model({record.file!r}{named}{mode})\n"
