"""A live Keras model, however it was read, as a ``Model``: how it is called, and how it is kept."""

from __future__ import annotations

import math
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from roadworthy.build.sources import inference_mode, inputs, same_answers
from roadworthy.build.sources.keras import call_signature, layer_hooks
from roadworthy.build.sources.layer_events import LayerEvent
from roadworthy.build.sources.model import Model, SameAnswer
from roadworthy.build.sources.samples import sampling
from roadworthy.build.sources.samples.table_rows import TableRows
from roadworthy.core.errors import RoadworthyError, SourceError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import BYTES, Array, Arrays, BoundInput, Signature, TensorSpec
from roadworthy.frameworks.tensorflow import framework, function, keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasCall, KerasModel, Original, Reader

ROUTE = "the original"
Specs: TypeAlias = tuple[TensorSpec, ...]
OF_TRAINING = ("seed_generator", "BatchNormalization")
"""In the names of variables that change in a call where a layer was left in training mode."""


class Live:
    """The model before its call is known: for one of the user's own class, the first inputs that it gets decide."""

    def __init__(self, model: Any, reader: Reader, trusted: bool) -> None:
        self.model, self.reader, self.trusted = model, reader, trusted
        self.call, self.inputs = call_signature.of(model)
        self._ways: dict[KerasCall, KerasModel] = {}
        self.fixed: tuple[BoundInput, ...] = ()
        self.largest: Arrays | None = None
        """The inputs of the largest call that it answered."""

    def bound(self, names: tuple[str, ...]) -> KerasModel:
        """The model with its calling convention."""
        return self._called(self.call or call_signature.arguments(self.model, self._with_fixed(names))[0])

    def answer(self, feeds: Arrays) -> dict[str, Array]:
        """The outputs by name; of several ways to call the model the first that it answers decides for all calls to come."""
        *others, last = (self.call,) if self.call else call_signature.arguments(self.model, self._with_fixed(tuple(feeds)))
        for way in others:
            try:
                answers = self._called(way).answer(feeds)
                self.call = way
                break
            except RoadworthyError:
                continue
        else:
            answers = self._called(last).answer(feeds)
            self.call = last if others else self.call
        if self.largest is None or _values(feeds) >= _values(self.largest):
            self.largest = feeds
        return answers

    def _with_fixed(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return (*names, *(one.name for one in self.fixed))

    def _called(self, way: KerasCall) -> KerasModel:
        """The model called in this way; always the same object, which may have been compiled."""
        way = replace(way, fixed=self.fixed)
        if way not in self._ways:
            self._ways[way] = KerasModel(self.model, self.reader, way)
        return self._ways[way]

    def locate(self, first: Arrays, second: Arrays, same: SameAnswer) -> str:
        return layer_hooks.locate(self.bound(tuple(first)), first, second, same)

    def tables(self, feeds: Arrays) -> dict[str, int]:
        """How many rows the embeddings have that an input chooses from."""
        rows = TableRows(feeds)

        def see(event: LayerEvent) -> None:
            if event.begins and event.kind == "Embedding" and event.arrays:
                rows.see(event.arrays[0], event.layer.input_dim)

        with layer_hooks.watched(self.model, see):
            self.bound(tuple(feeds)).answer(feeds)
        return rows.found

    def states(self) -> dict[str, Array]:
        """Every variable by a name that says which layer holds it; not what only training changes."""
        found: dict[int, tuple[str, Any]] = {}
        for layer in self.model._flatten_layers():
            # An inner layer comes after those that hold it.
            where = f"of {layer.name!r} ({type(layer).__name__})"
            found |= {id(one): (f"{one.name!r} {where}", one) for one in layer.variables}
            # A recurrent layer does not count its states among its variables.
            kept = [one for one in getattr(layer, "states", None) or () if one is not None]
            found |= {id(one): (f"the state {number} {where}", one) for number, one in enumerate(kept)}
        return {name: np.asarray(one) for name, one in found.values() if not any(word in name for word in OF_TRAINING)}

    def seed(self, seed: int) -> None:
        """Seed Python's, NumPy's and TensorFlow's random generators."""
        keras_model.package(self.reader).utils.set_random_seed(seed)


def of_file(
    live: Live, path: Path, write: Callable[[Path], object], objects: Mapping[str, Any], said: tuple[str, ...], notes: tuple[str, ...]
) -> Model:
    """The model of a file that can be read again: the file, as ``write`` writes it, is kept."""

    def keep(signature: Signature, out: Path) -> Graph:
        call = live.bound(tuple(spec.name for spec in signature.inputs)).call
        keras_model.save(out, Original(live.reader, _file_name(path), call, live.trusted), objects, write)
        return Graph("keras", out, signature, ROUTE)

    return _model(live, keep, said, notes)


def of_memory(live: Live, objects: Mapping[str, Any], said: tuple[str, ...], notes: tuple[str, ...]) -> Model:
    """A model that no file holds as a whole: it is saved, read again and compared; where that fails it is exported as a SavedModel."""

    def keep(signature: Signature, out: Path) -> Graph:
        bound = live.bound(tuple(spec.name for spec in signature.inputs))
        feeds = None if any(spec.dtype == BYTES for spec in signature.inputs) else live.largest
        original = Original(live.reader, keras_model.MODEL["zip"], bound.call, trusted=True)
        try:
            keras_model.save(out, original, objects, live.model.save)
            found = keras_model.load(out)
            return Graph("keras", out, signature, ROUTE, (same("the saved model", bound, found.answer, feeds),))
        except Exception as problem:
            for file in out.iterdir():
                shutil.rmtree(file) if file.is_dir() else file.unlink()
            why = f"the model cannot be saved and read again ({framework.first_line(problem)}), so it was exported as a SavedModel"
        keras_model.export(bound, signature, out)
        return Graph("saved_model", out, signature, ROUTE, (why, same("the SavedModel", bound, function.open_function(out), feeds)))

    return _model(live, keep, said, notes)


def same(what: str, model: KerasModel, other: Callable[[Arrays], dict[str, Array]], feeds: Arrays | None) -> str:
    """A sentence that ``other`` gives the model's own answers; SourceError where it does not."""
    if feeds is None:
        return f"whether {what} answers as the model did was not tested here: it takes byte strings"
    gap = same_answers.difference(model.answer(feeds), other(feeds))
    if not gap <= inference_mode.FLOOR:
        raise SourceError(f"{what} gives other answers than the model (by {gap:.1e} of the output's scale)")
    return f"{what} gives the answers of the model it was made from (they differ by {gap:.1e} of the output's scale)"


def _model(live: Live, keep: Callable[[Signature, Path], Graph], said: tuple[str, ...], notes: tuple[str, ...]) -> Model:
    parameters = sum(math.prod(weight.shape) for weight in live.model.weights)

    def bind(bound: tuple[BoundInput, ...]) -> Model:
        live.fixed = bound
        names = {one.name for one in bound}
        return replace(known, inputs=tuple(spec for spec in live.inputs if spec.name not in names))

    refine = partial(_with_modes, live)
    known = Model(
        live.answer, live.inputs, keep, parameters, live.seed, live.locate, said, notes,
        refine=refine, bind=bind, tables=live.tables, states=live.states,
    )  # fmt: skip
    return known


def _with_modes(live: Live, model: Model, specs: Specs, samples: SampleSet) -> tuple[Model, Specs]:
    """``model`` with what one call shows of the modes of its layers; the proofs that follow do not depend on it."""
    try:
        feeds = sampling.draw(specs, inputs.stated_samples(specs) or 2, samples)
        sentence, forced = layer_hooks.modes(live.bound(tuple(spec.name for spec in specs)), feeds)
    except Exception:
        # The proofs call the model too, and raise the error in words.
        sentence, forced = "the model is called with training=False", ()
    told = (f"the model calls {', '.join(forced)} with training=True, whatever it is told itself",) if forced else ()
    proofs = (*model.proofs, *((sentence,) if sentence else ()))
    return replace(model, proofs=proofs, notes=(*model.notes, *told)), specs


def _values(feeds: Arrays) -> int:
    return sum(array.size for array in feeds.values())


def _file_name(path: Path) -> str:
    return keras_model.MODEL["zip" if zipfile.is_zipfile(path) else "hdf5"]
