"""A Keras model as a directory of our own (format "keras"): the model's file, how it is called, and the classes it needs.

The directory is ours, written from a source that was inspected or trusted before: ``objects.pkl`` runs code when it is
read, so it never comes from anywhere else. What ``load`` gives takes tensors by input name, gives tensors by output name,
and calls the model with ``training=False``, eagerly or inside a ``tf.function``. This holds for Keras 3 and tf-keras models.
"""

from __future__ import annotations

import importlib
import io
import pickle
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from roadworthy.core import codec
from roadworthy.core.errors import BackendMissing, RoadworthyError, SourceError, StepFailed
from roadworthy.core.types import BYTES, Array, Arrays, BoundInput, Signature, TensorSpec
from roadworthy.frameworks.answers import leaves
from roadworthy.frameworks.pickling import ByValuePickler, by_value
from roadworthy.frameworks.tensorflow import entry, framework
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port

Reader: TypeAlias = Literal["keras", "tf_keras"]
Form: TypeAlias = Literal["graph", "arguments", "list", "mapping"]

ORIGINAL, OBJECTS = "original.json", "objects.pkl"
MODEL = {"zip": "model.keras", "hdf5": "model.h5"}
SIGNATURE_KEY = "serving_default"


@dataclass(frozen=True)
class KerasCall:
    """How a model is called, and what its answer's tensors are named.

    ``inputs`` are names in the order of the model's own inputs. By ``form`` they go in as the structure that a Functional
    or Sequential model was built of ("graph"), as arguments (the first by position, the others as keywords of their names), as
    one list, or as one mapping with ``keys``. ``outputs`` name the tensors of the answer in order; where it is empty they have
    the names that ``flatten`` gives them. Inputs in ``fixed`` have the same value in every call.
    """

    form: Form
    inputs: tuple[str, ...]
    keys: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    fixed: tuple[BoundInput, ...] = ()


@dataclass(frozen=True)
class Original:
    """The record beside the model's file: which package reads it, how it is called, and whether code in the file may run."""

    reader: Reader
    file: str
    call: KerasCall
    trusted: bool = False


class KerasModel:
    """A Keras model, in inference mode unless a call says otherwise. ``model`` is the live object, ``call`` the way it is called."""

    def __init__(self, model: Any, reader: Reader, call: KerasCall) -> None:
        self.model, self.reader, self.call = model, reader, call
        # Keras 3 takes the word off calls that do not know it; tf-keras hands it to them.
        self._moded = reader == "keras" or model._call_spec.expects_training_arg
        call_all = self.__call__
        self._called = framework.framework().function(call_all, jit_compile=True) if channels_first(model) else call_all

    def __call__(self, tensors: Mapping[str, Any], *, training: bool = False) -> dict[str, Any]:
        """Tensors by output name, for tensors or arrays by input name; SourceError for an answer that is none of tensors."""
        fixed = {one.name: framework.framework().convert_to_tensor(one.array) for one in self.call.fixed}
        arguments, keywords = self._arguments([fixed[name] if name in fixed else tensors[name] for name in self.call.inputs])
        mode = {"training": training} if self._moded else {}
        found = list(flatten(self.model(*arguments, **keywords, **mode)))
        names = self.call.outputs or tuple(name for name, _ in found)
        if not found:
            raise SourceError("the model's answer holds no tensor")
        if len(names) != len(found) or len(set(names)) != len(names):
            raise SourceError(f"the model gives {', '.join(name for name, _ in found)} where {', '.join(names)} were expected")
        return dict(zip(names, (tensor for _, tensor in found), strict=True))

    def answer(self, feeds: Arrays) -> dict[str, Array]:
        """Arrays for arrays, in memory of their own: eagerly or, where only XLA has the kernels on a CPU, compiled.

        StepFailed, in one line, where the model fails on them.
        """
        tf = framework.framework()
        try:
            answers = self._called({name: tf.convert_to_tensor(array) for name, array in feeds.items()})
            return {name: np.asarray(tensor.numpy()) for name, tensor in answers.items()}
        except RoadworthyError:
            raise
        except Exception as problem:
            raise StepFailed(f"the model failed on this input: {framework.first_line(problem)}", detail=str(problem)) from problem

    def function(self, specs: tuple[TensorSpec, ...]) -> Any:
        """A ``tf.function`` for ``specs``: tensors in their order in, a dict by output name out; every symbolic size is free."""
        tf = framework.framework()
        names = tuple(spec.name for spec in specs)

        def inference(*tensors: Any) -> dict[str, Any]:
            return self(dict(zip(names, tensors, strict=True)))

        return tf.function(inference, input_signature=[tensor_spec(spec) for spec in specs], autograph=False)

    def _arguments(self, values: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        match self.call.form:
            case "graph":
                return [structured(self.model, values)], {}
            case "list":
                return [values], {}
            case "mapping":
                return [dict(zip(self.call.keys, values, strict=True))], {}
            case "arguments":
                return values[:1], dict(zip(self.call.inputs[1:], values[1:], strict=True))


def channels_first(model: Any) -> bool:
    """Whether ``model`` convolves or pools with the channels before the pixels, for which TensorFlow's own CPU kernels are missing.

    Keras compiles such a model with XLA in ``predict``.
    """
    return any(
        getattr(layer, "data_format", None) == "channels_first" and re.search(r"Conv|Pool", type(layer).__name__)
        for layer in model._flatten_layers()
    )


def structured(model: Any, values: list[Any]) -> Any:
    """``values`` in the structure that a Functional model was built of; a Sequential one takes a single tensor."""
    if not is_functional(model):
        return values[0]
    by_tensor = {id(tensor): value for tensor, value in zip(model.inputs, values, strict=True)}

    def filled(part: Any) -> Any:
        if isinstance(part, Mapping):
            return {key: filled(value) for key, value in part.items()}
        if isinstance(part, list | tuple):
            return [filled(value) for value in part]
        return by_tensor[id(part)]

    return filled(model.input)


def is_functional(model: Any) -> bool:
    """Whether ``model`` is a graph of layers, and no Sequential one or class of the user's own making alone."""
    return any(base.__name__ == "Functional" for base in type(model).__mro__) and not is_sequential(model)


def is_sequential(model: Any) -> bool:
    """Whether ``model`` is a Sequential one, of either Keras."""
    return any(base.__name__ == "Sequential" and base.__module__.partition(".")[0] in ("keras", "tf_keras") for base in type(model).__mro__)


def flatten(answer: Any) -> Iterator[tuple[str, Any]]:
    """Every tensor in an answer, under the names of ``leaves``; SourceError for a ragged or sparse one."""
    for name, leaf in leaves(answer):
        if type(leaf).__name__ in ("RaggedTensor", "SparseTensor", "IndexedSlices"):
            raise SourceError(f"the model gives a {type(leaf).__name__}, which is not a dense tensor; make it dense in its last layer")
        if hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
            yield name, leaf


def tensor_spec(spec: TensorSpec) -> Any:
    """The same as a ``tf.TensorSpec``; symbols are None."""
    tf = framework.framework()
    dtype = tf.string if spec.dtype == BYTES else tf.as_dtype(spec.dtype)
    return tf.TensorSpec([size if isinstance(size, int) else None for size in spec.shape], dtype, name=_plain(spec.name))


def package(reader: Reader) -> Any:
    """The package ``keras`` or ``tf_keras``, on TensorFlow; BackendMissing, with the remedy, where it is not installed."""
    framework.framework()
    if reader == "tf_keras":
        framework.old_keras()
    try:
        found = importlib.import_module(reader)
    except ImportError as problem:
        remedy = "install it with: pip install 'roadworthy[tensorflow]'"
        raise BackendMissing(f"this model needs Keras, which is not installed ({problem}); {remedy}") from problem
    if reader == "keras" and found.backend.backend() != "tensorflow":
        raise BackendMissing(f"Keras runs on {found.backend.backend()} in this process; deploy in one with KERAS_BACKEND=tensorflow")
    return found


def read(path: Path, reader: Reader, objects: Mapping[str, Any], *, trusted: bool) -> Any:
    """The live model in a ``.keras`` or HDF5 file; in safe mode unless ``trusted``. An exception of the reader passes through."""
    keras = package(reader)
    # tf-keras has a safe mode for its own archives only.
    safe = {} if reader == "tf_keras" and path.suffix != ".keras" else {"safe_mode": not trusted}
    with _quiet():
        return keras.models.load_model(path, custom_objects=dict(objects), compile=False, **safe)


def save(directory: Path, original: Original, objects: Mapping[str, Any], write: Callable[[Path], object]) -> None:
    """Put a model into the existing ``directory``: ``write`` makes its file at the path it is given.

    ``objects`` are the classes and functions it needs by the names it has for them; they are written by value. Raises
    SourceError where one of them cannot be.
    """
    write(directory / original.file)
    (directory / ORIGINAL).write_bytes(codec.to_json(original))
    if objects:
        (directory / OBJECTS).write_bytes(pickled(objects))


def pickled(objects: Mapping[str, Any]) -> bytes:
    """``objects`` by value; SourceError where one of them holds something that only lives in its own process."""
    try:
        file = io.BytesIO()
        with by_value():
            ByValuePickler(file).dump(dict(objects))
    except Exception as problem:
        raise SourceError(
            f"the custom classes {', '.join(objects)} cannot be written to a file: {framework.first_line(problem)}", detail=repr(problem)
        ) from problem
    return file.getvalue()


def load(directory: Path) -> KerasModel:
    """The model of a directory that ``save`` wrote; StepFailed where it does not load."""
    try:
        original = record(directory)
        package(original.reader)
        model = read(directory / original.file, original.reader, objects(directory), trusted=original.trusted)
    except BackendMissing:
        raise
    except Exception as problem:
        words = f"{directory} does not load as a Keras model: {framework.first_line(problem)}"
        raise StepFailed(words, detail=repr(problem)) from problem
    return KerasModel(model, original.reader, original.call)


def record(directory: Path) -> Original:
    """What ``save`` wrote beside the model's file in ``directory``."""
    return codec.from_json(Original, (directory / ORIGINAL).read_bytes())


def objects(directory: Path) -> dict[str, Any]:
    """The classes and functions that the model in ``directory`` needs; their package must be imported before."""
    return dict(pickle.loads((directory / OBJECTS).read_bytes())) if (directory / OBJECTS).is_file() else {}


def save_again(directory: Path, model: Any, out: Path) -> None:
    """``model``, which takes the place of that in ``directory``, as a directory ``out`` of its own: called in the same way.

    Keras 3 writes it as ``.keras``, whatever it was read from, tf-keras in the form that it was read from.
    """
    original = record(directory)
    kept = replace(original, file=MODEL["zip"] if original.reader == "keras" else original.file)
    out.mkdir(parents=True, exist_ok=True)
    with _quiet():
        save(out, kept, {}, model.save)
    if (directory / OBJECTS).is_file():
        shutil.copyfile(directory / OBJECTS, out / OBJECTS)


def export(model: KerasModel, signature: Signature, directory: Path) -> None:
    """``model`` as a "saved_model" graph in the existing ``directory``, called with ``training=False``, under the signature's names.

    An exception of the tracing or of the writing passes through.
    """
    # Keras's own archive tracks what it keeps out of TensorFlow's sight: random generators, tables of words.
    archive = package(model.reader).export.ExportArchive()
    archive.track(model.model)
    specs = signature.inputs
    outputs = tuple(Port(spec.name, _plain(spec.name)) for spec in signature.outputs)

    def serve(*tensors: Any) -> dict[str, Any]:
        answers = model({spec.name: tensor for spec, tensor in zip(specs, tensors, strict=True)})
        return {port.tensor: answers[port.name] for port in outputs}

    archive.add_endpoint(SIGNATURE_KEY, serve, input_signature=[tensor_spec(spec) for spec in specs])
    with _quiet(), redirect_stdout(io.StringIO()):
        archive.write_out(str(directory / entry.SAVED_MODEL))
    inputs = tuple(Port(spec.name, _plain(spec.name)) for spec in specs)
    entry.write_entry(directory, GraphEntry(inputs, outputs, SIGNATURE_KEY))


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _plain(name: str) -> str:
    """``name`` as TensorFlow takes one: a letter first, then letters, digits and underscores."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter == "_") else "_" for letter in name)
    return plain if plain[:1].isalpha() else f"input_{plain}"
