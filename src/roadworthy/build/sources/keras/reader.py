"""A Keras file with its architecture, read by the Keras version in which its names mean what its writer meant; its code never runs."""

from __future__ import annotations

import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.build.sources import user_code
from roadworthy.build.sources.keras import changed_meanings, keras_2, tensors, writer_version
from roadworthy.build.sources.keras import config as keras_config
from roadworthy.build.sources.keras import custom_objects as keras_custom_objects
from roadworthy.build.sources.keras import model as keras_model
from roadworthy.build.sources.keras.keras_2 import Translation
from roadworthy.build.sources.keras.model import Live
from roadworthy.build.sources.keras.writer_version import KerasWriter
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import keras_config_scan
from roadworthy.build.sources.parsers.keras_classes import CLASSES
from roadworthy.core.errors import BackendMissing, RoadworthyError, SourceError, SourceRefused
from roadworthy.core.stages import Source
from roadworthy.frameworks.tensorflow import keras_model as tensorflow_keras_model
from roadworthy.frameworks.tensorflow.keras_model import Reader

NAMES: dict[Reader, str] = {"keras": "Keras 3", "tf_keras": "tf-keras"}
UNKNOWN = re.compile(r"(?:Could not locate (?:class|function)|Unknown (?:layer|object|\w+ function)|Unknown layer):? '?\"?([\w>.]+)")
UNSAFE = re.compile(r"unsafe deserialization|safe_mode|not a modeling function|is disallowed|not allowed|potentially unsafe", re.IGNORECASE)


def read(source: Source) -> Model:
    """The model at ``source.path``, by the Keras version in which its names mean what they meant when it was written.

    Raises SourceRefused for a file that would run code without ``trust``, SourceError naming a custom class that ``arch`` does
    not bring or, where no reader takes the file, each one's reason, and BackendMissing where tf-keras is needed and not installed.
    """
    config = keras_config.of(source.path)
    writer = writer_version.of(config)
    writer_version.refuse_keras_1(writer, source.path)
    plan = _plan(config.model, writer, source.path)
    halves = keras_config.half(config.model)
    notes = []
    if halves:
        notes.append(f"the model computes in {', '.join(halves)}; its reference computes in float32, which its dtype policies were set to")
    if count := keras_config.quantised(config.model):
        notes.append(f"Keras quantised {count} of the model's layers; the reference is the quantised model as it is")
    model = keras_config.to_float32(plan.old.model) if halves else plan.old.model

    def write(target: Path) -> None:
        if model != config.model:
            keras_config.write(source.path, model, target)
        else:
            shutil.copyfile(source.path, target)
        if plan.old.mirrored:
            keras_2.mirror(target, plan.old.mirrored)

    found = _first(source, plan, config.model, write)
    live = Live(found.model, found.reader, source.trust)
    return keras_model.of_file(live, source.path, write, found.objects, (found.proof,), (*notes, found.note, *plan.old.notes))


@dataclass(frozen=True)
class _Plan:
    """The readers of a file: Keras 3 for what Keras 3 wrote; tf-keras for what Keras 2 wrote, and Keras 3 where no meaning ``changed``."""

    writer: KerasWriter
    changed: tuple[str, ...]
    old: Translation

    @property
    def readers(self) -> tuple[Reader, ...]:
        return ("keras",) if self.writer.generation == 3 else ("tf_keras", "keras")

    def note(self, reader: Reader, reasons: list[str]) -> str:
        if self.writer.generation == 3:
            return f"written by {self.writer}, read by Keras 3"
        if reader == "tf_keras":
            return f"written by {self.writer}, read by tf-keras, to which its names mean the same"
        return f"written by {self.writer}, read by Keras 3, to which all names in it mean the same, since {'; '.join(reasons)}"

    def other_meaning(self, path: Path, reasons: list[str], *, missing: bool) -> RoadworthyError:
        """Why Keras 3 is not used: it would read the file and compute something else."""
        words = (
            f"{path} was written by {self.writer}, and Keras 3 computes differently what it holds: "
            f"{tensors.listed(list(self.changed))}; tf-keras computes it as Keras 2 did, but {'; '.join(reasons)}"
        )
        return BackendMissing(words) if missing else SourceError(words)


@dataclass(frozen=True)
class _ReadModel:
    """The live model, its reader, the classes it needed, the proof that its weights are there, and a sentence on its reader."""

    model: Any
    reader: Reader
    objects: Mapping[str, Any]
    proof: str
    note: str


def _plan(model: Any, writer: KerasWriter, path: Path) -> _Plan:
    if writer.generation == 3:
        if not zipfile.is_zipfile(path) and (lost := changed_meanings.lost_axes(model)):
            raise SourceError(f"{path} is an HDF5 file, of which Keras 3 does not read all it wrote: {lost}; save the model as .keras")
        return _Plan(writer, (), Translation(model))
    return _Plan(writer, changed_meanings.of(model, writer), keras_2.translate(model, writer, path))


def _first(source: Source, plan: _Plan, config: Any, write: Callable[[Path], object]) -> _ReadModel:
    """The model by the first reader that takes it."""
    reasons: list[str] = []
    last: RoadworthyError | None = None
    missing = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("model.keras" if zipfile.is_zipfile(source.path) else "model.h5")
        write(path)
        for reader in plan.readers:
            if reader == "keras" and plan.changed:
                raise last if isinstance(last, SourceError) else plan.other_meaning(source.path, reasons, missing=missing)
            try:
                objects = custom_objects(source, reader)
                if reader == "tf_keras":
                    objects = {**keras_2.objects(plan.old.classes), **objects}
                    if not source.trust:
                        keras_config.refuse_code(config, source.path)
                model = tensorflow_keras_model.read(path, reader, objects, trusted=source.trust)
                break
            except BackendMissing as problem:
                # A custom class is missing in every reader; a class of Keras 2 is missing in Keras 3 alone, and tf-keras has it.
                last, missing = last or problem, True
                reasons.append(problem.message)
            except SourceRefused:
                raise
            except Exception as problem:
                last = _in_words(problem, source) or last
                reasons.append(f"{NAMES[reader]} refuses it: {reason(problem)}")
        else:
            raise _failed(source.path, last, reasons)
        return _ReadModel(model, reader, objects, tensors.all_there(model, path, source.path), plan.note(reader, reasons))


def _failed(path: Path, last: RoadworthyError | None, reasons: list[str]) -> RoadworthyError:
    if isinstance(last, BackendMissing):
        return BackendMissing("; ".join(reasons))
    return last or SourceError(f"{path} cannot be read as a Keras model: {'; '.join(reasons)}")


def custom_objects(source: Source, reader: Reader) -> dict[str, Any]:
    """The user's own classes and functions by every name that a file may have for them: the bare one, and the registered one."""
    return keras_custom_objects.named(
        tensorflow_keras_model.package(reader), user_code.objects(source.arch) if source.arch else _embedded(source)
    )


def reason(problem: Exception) -> str:
    """A reader's error in one line, without the configurations that Keras prints with it."""
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
        if keras_config_scan.EMBEDDED not in archive.namelist():
            return {}
        found: dict[str, Any] = pickle.loads(archive.read(keras_config_scan.EMBEDDED))
        return found


def _in_words(problem: Exception, source: Source) -> SourceError | None:
    """The error that names a custom class or function, where one is missing; SourceRefused where safe mode stopped the reader."""
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
    return SourceError(f"{source.path} uses {found[1]!r}, which is not part of Keras; {remedy}", detail=str(problem))
