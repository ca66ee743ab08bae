"""A live Keras model or ``tf.Module`` of the caller's process, as a file that another process reads; the object itself does not change."""

from __future__ import annotations

import inspect
import shutil
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

from roadworthy.build.sources import same_answers
from roadworthy.build.sources.keras import call_signature, custom_objects
from roadworthy.build.sources.keras import model as keras_model
from roadworthy.build.sources.keras import reader as keras_reader
from roadworthy.build.sources.keras.model import Live
from roadworthy.build.sources.parsers import keras_config_scan
from roadworthy.build.sources.samples import ranges
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.types import BYTES, Signature, TensorSpec
from roadworthy.frameworks.tensorflow import entry, framework
from roadworthy.frameworks.tensorflow import keras_model as tensorflow_keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasModel, Reader

ARCHIVE, EXPORTED = "model.keras", "exported"


def save(model: Any, said: tuple[TensorSpec, ...], out: Path) -> Path:
    """The file or SavedModel directory that ``model`` became in ``out``; ``said`` are its inputs, as far as the caller stated them.

    What was saved is read back here and compared; where it does not come back the same (a get_config that forgets an argument,
    say) it is exported as a SavedModel instead. Raises SourceError for a model that is not
    built, and one that can be neither saved nor exported.
    """
    reader: Reader = "keras" if _is_of(model, "keras") else "tf_keras"
    keras = sys.modules[reader]
    if not isinstance(model, keras.Model):
        raise UsageError(f"{type(model).__name__} is a Keras layer, not a model; wrap it: keras.Sequential([layer])")
    if not model.built:
        raise SourceError(f"{type(model).__name__} {model.name!r} is not built, so it has no weights yet; call it on a batch first")
    objects = custom_objects.own(keras, model)
    _, own = call_signature.of(model)
    try:
        _write(model, objects, out / ARCHIVE)
        # With another backend than TensorFlow it cannot be read here; its reader proves that every weight arrived.
        if reader == "tf_keras" or keras.backend.backend() == "tensorflow":
            _read_back(model, reader, objects, own or said, out)
        return out / ARCHIVE
    except Exception as problem:
        (out / ARCHIVE).unlink(missing_ok=True)
        why = keras_reader.reason(problem)
    if not (own or said):
        raise SourceError(f"the model cannot be saved and read again ({why}), and to be exported it needs example_inputs")
    try:
        return _export(Live(model, reader, trusted=True), own or said, out)
    except SourceError:
        raise
    except Exception as problem:
        words = f"the model can be neither saved ({why}) nor exported ({framework.first_line(problem)})"
        raise SourceError(words, detail=repr(problem)) from problem


def save_module(module: Any, said: tuple[TensorSpec, ...], out: Path) -> Path:
    """The SavedModel directory of a ``tf.Module`` or a ``tf.function``: itself on ``said``, or its only function with an input signature.

    Raises SourceError where nothing says what it takes.
    """
    tf = framework.framework()
    holder = tf.Module()
    holder.module = module
    if said:
        options = {"training": False} if "training" in _parameters(_body(module)) else {}
        names = parameters(module)

        def serve(*tensors: Any) -> dict[str, Any]:
            given, keywords = _arguments(names, dict(zip((spec.name for spec in said), tensors, strict=True)))
            return dict(tensorflow_keras_model.flatten(module(*given, **keywords, **options)))

        signature = tf.function(serve, input_signature=[tensorflow_keras_model.tensor_spec(spec) for spec in said])
    else:
        signature = _own_signature(module, tf)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # A function owns no variables: TensorFlow saves those that something holds.
            holder.held = list(signature.get_concrete_function().variables)
            tf.saved_model.save(holder, str(out / EXPORTED), signatures={tensorflow_keras_model.SIGNATURE_KEY: signature})
    except Exception as problem:
        words = f"{type(module).__name__} cannot be saved as a SavedModel: {framework.first_line(problem)}"
        raise SourceError(words, detail=repr(problem)) from problem
    return out / EXPORTED


def parameters(model: Any) -> tuple[str, ...]:
    """The names of a live model's inputs, in order."""
    if not hasattr(model, "_flatten_layers"):
        return tuple(name for name in _parameters(_body(model)) if name not in ("training", "mask"))
    call, _ = call_signature.of(model)
    return call.inputs if call else call_signature.parameters(model)


def _write(model: Any, objects: dict[str, Any], path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    if objects:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(keras_config_scan.EMBEDDED, tensorflow_keras_model.pickled(objects))


def _read_back(model: Any, reader: Reader, objects: dict[str, Any], specs: tuple[TensorSpec, ...], out: Path) -> None:
    """Raises where the saved model does not load, or gives other answers."""
    again = tensorflow_keras_model.read(out / ARCHIVE, reader, objects, trusted=True)
    if specs and not any(spec.dtype == BYTES or spec.open_sizes for spec in specs):
        live = Live(model, reader, trusted=True).bound(tuple(spec.name for spec in specs))
        feeds = ranges.accepted(live.answer, specs)
        # A model that answers differently each time is refused by the proofs of inference mode, which name the layer.
        if feeds and same_answers.difference(live.answer(feeds), live.answer(feeds)) <= same_answers.SAME:
            keras_model.same("the saved model", live, KerasModel(again, reader, live.call).answer, feeds)


def _export(live: Live, specs: tuple[TensorSpec, ...], out: Path) -> Path:
    folder = out / EXPORTED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if not any(spec.dtype == BYTES or spec.open_sizes for spec in specs):
        ranges.accepted(live.answer, specs)  # which shows how it is called
    bound = live.bound(tuple(spec.name for spec in specs))
    tensorflow_keras_model.export(bound, Signature(specs, _outputs(bound, specs)), folder)
    return folder / entry.SAVED_MODEL


def _outputs(model: KerasModel, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    answers = model.function(specs).get_concrete_function().structured_outputs
    return tuple(TensorSpec(name, tensor.dtype.name, ()) for name, tensor in answers.items())


def _body(module: Any) -> Any:
    """What a call of ``module`` runs: the Python function of a ``tf.function``, else its ``__call__``."""
    return module if hasattr(module, "python_function") else module.__call__


def _arguments(names: tuple[str, ...], given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """``given`` as a function with the parameters ``names`` takes it: by these names, as one mapping, or in its order."""
    if set(given) <= set(names):
        return (), given
    return ((given,) if len(names) == 1 and len(given) > 1 else tuple(given.values())), {}


def _own_signature(module: Any, tf: Any) -> Any:
    polymorphic = tf.types.experimental.PolymorphicFunction
    if isinstance(module, polymorphic) and module.input_signature is not None:
        return module
    methods = {name: getattr(module, name) for name, kind in inspect.getmembers_static(type(module)) if isinstance(kind, polymorphic)}
    typed = {name: method for name, method in methods.items() if method.input_signature is not None}
    chosen = typed.get("__call__") or (next(iter(typed.values())) if len(typed) == 1 else None)
    if chosen is None:
        raise SourceError(
            f"{type(module).__name__} does not say what it takes; pass example_inputs, or give one of its tf.functions an input_signature"
        )
    return chosen


def _parameters(function: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(getattr(function, "python_function", function)).parameters)


def _is_of(model: Any, package: str) -> bool:
    return any(base.__module__.partition(".")[0] == package for base in type(model).__mro__)
