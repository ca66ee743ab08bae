"""A Keras file that brings its own architecture, read by Keras 3 or, where that refuses, by tf-keras; never by running its code."""

from __future__ import annotations

import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from roadworthy.build.load import arch, keras_config, keras_files, keras_model, keras_objects, keras_tensors
from roadworthy.build.load.keras_model import Live
from roadworthy.build.load.keras_names import CLASSES
from roadworthy.build.load.opened import Model
from roadworthy.core.errors import BackendMissing, RoadworthyError, SourceError, SourceRefused
from roadworthy.core.stages import Source
from roadworthy.runtimes import _keras
from roadworthy.runtimes._keras import Reader

NAMES: dict[Reader, str] = {"keras": "Keras 3", "tf_keras": "tf-keras"}
UNKNOWN = re.compile(r"(?:Could not locate (?:class|function)|Unknown (?:layer|object|\w+ function)|Unknown layer):? '?\"?([\w>.]+)")
UNSAFE = re.compile(r"unsafe deserialization|safe_mode|not a modeling function|is disallowed|not allowed|potentially unsafe", re.IGNORECASE)


def read(source: Source, readers: tuple[Reader, ...]) -> Model:
    """The model at ``source.path``, by the first of ``readers`` that takes it.

    Raises SourceRefused for a file that would run code without ``trust``, SourceError naming a custom class that ``arch`` does
    not bring or, where no reader takes the file, each one's reason.
    """
    config = keras_config.of(source.path)
    halves = keras_config.half(config.model)
    notes = []
    if halves:
        notes.append(f"the model computes in {', '.join(halves)}; its reference computes in float32, which its dtype policies were set to")
    if count := keras_config.quantised(config.model):
        notes.append(f"Keras quantised {count} of the model's layers; the reference is the quantised model as it is")

    def write(target: Path) -> None:
        if halves:
            keras_config.write(source.path, keras_config.to_float32(config.model), target)
        else:
            shutil.copyfile(source.path, target)

    model, reader, objects, refused = _first(source, readers, config.model, write)
    if refused:
        notes.append(f"read by {NAMES[reader]}, since {refused}")
    proof = keras_tensors.all_there(model, source.path)
    live = Live(model, reader, source.trust)
    return keras_model.of_file(live, source.path, write, objects, (proof,), tuple(notes))


def _first(
    source: Source, readers: tuple[Reader, ...], config: Any, write: Callable[[Path], object]
) -> tuple[Any, Reader, Mapping[str, Any], str]:
    """The live model, who read it, the classes it needed, and why those before it did not."""
    reasons: list[str] = []
    last: RoadworthyError | None = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("model.keras" if zipfile.is_zipfile(source.path) else "model.h5")
        write(path)
        for reader in readers:
            try:
                objects = custom_objects(source, reader)
                if reader == "tf_keras" and not source.trust:
                    keras_config.refuse_code(config, source.path)
                return _keras.read(path, reader, objects, trusted=source.trust), reader, objects, "; ".join(reasons)
            except BackendMissing as problem:
                # A class of the user's own is missing everywhere; one of Keras 2 is what that reader is for.
                last = last or BackendMissing("; ".join([*reasons, problem.message]))
            except SourceRefused:
                raise
            except Exception as problem:
                last = _in_words(problem, source)
                reasons.append(f"{NAMES[reader]} refuses it: {reason(problem)}")
    raise last or SourceError(f"{source.path} cannot be read as a Keras model: {'; '.join(reasons)}")


def custom_objects(source: Source, reader: Reader) -> dict[str, Any]:
    """The user's own classes and functions by every name that a file may have for them: the bare one, and the registered one."""
    return keras_objects.named(_keras.package(reader), arch.objects(source.arch) if source.arch else _embedded(source))


def reason(problem: Exception) -> str:
    """What a reader says, in one line, without the configurations that Keras prints with it."""
    said = str(problem).strip() or type(problem).__name__
    if deep := re.findall(r"Exception encountered: (.+)", said):
        said = deep[-1]
    return re.sub(r"\s+", " ", re.split(r"\. (?:Full object config|Please ensure|Make sure|If you trust)|using config=", said)[0]).strip()[
        :300
    ]


def _embedded(source: Source) -> dict[str, Any]:
    if not source.trust or not zipfile.is_zipfile(source.path):
        return {}
    with zipfile.ZipFile(source.path) as archive:
        if keras_files.EMBEDDED not in archive.namelist():
            return {}
        found: dict[str, Any] = pickle.loads(archive.read(keras_files.EMBEDDED))
        return found


def _in_words(problem: Exception, source: Source) -> SourceError | None:
    """Where what is missing is a class or function of the user's own, its name; SourceRefused where safe mode stopped the reader."""
    if not source.trust and UNSAFE.search(str(problem)):
        raise SourceRefused(
            f"Keras refuses to read {source.path}, which would run code: {reason(problem)}; pass --trust if you know where it comes from",
            detail=str(problem),
        ) from problem
    found = UNKNOWN.search(str(problem))
    if found is None or found[1] in CLASSES:
        return None
    bare = found[1].rpartition(">")[2]
    remedy = f"--arch {source.arch} does not bring it" if source.arch else f"name the file that defines it: --arch FILE.py:{bare}"
    return SourceError(f"{source.path} uses {found[1]!r}, which is none of Keras's own; {remedy}", detail=str(problem))
