"""A SavedModel directory of any TensorFlow version, called by one of its signatures; the directory itself is kept."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from roadworthy.build.sources import inputs
from roadworthy.build.sources.model import Model, SameAnswer
from roadworthy.build.sources.tensorflow import composite, session_model, training_flags
from roadworthy.build.sources.tensorflow.endpoints import Endpoints
from roadworthy.build.sources.tensorflow.specs import spec_of
from roadworthy.core.errors import SourceError, SourceUnreadable, StepFailed, UsageError
from roadworthy.core.stages import Graph, Source
from roadworthy.core.types import BYTES, Arrays, BoundInput, Signature, TensorSpec
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework, graph_session, saved_model
from roadworthy.frameworks.tensorflow import graph as tensorflow_graph
from roadworthy.frameworks.tensorflow.entry import CALL, Constant, GraphEntry, Port
from roadworthy.frameworks.tensorflow.function import Function

FORMAT = "saved_model"
SERVING = "serving_default"
PARTS = ("saved_model.pb", "variables", "assets", "fingerprint.pb")
"""What TensorFlow reads of the directory, and all that is kept of it."""
PROOF = "a SavedModel has no training mode: its functions were traced when it was saved, and what they do was tested"


def read(source: Source) -> Model:
    """The SavedModel of ``source``, restored, called by the signature that the user named, or the one for serving, or the only one.

    Raises UsageError, listing the signatures, where that leaves a choice, SourceError where TensorFlow does not restore it or
    where it takes or gives what is not an array, BackendMissing where that needs tf-keras.
    """
    meta = _meta_graph(source.path)
    key = _key(tuple(sorted(key for key in meta.signature_def if not key.startswith("__"))), source)
    if any(node.op in graph_session.LOOPS for node in meta.graph_def.node):
        return _in_session(source, meta, key)
    composite.refuse(meta, key, source.path, chosen=bool(source.outputs))
    function = _restored(source.path, key, key in meta.signature_def)
    key = function.key
    arguments = _tensor_specs(saved_model.arguments_of(function), source.path)
    found = _called(arguments, _chosen(saved_model.named(function.structured_outputs), source), source.path, key)
    return _model(
        function, GraphEntry(found.inputs, found.outputs, key, found.constants), found.specs, source.path, _notes(meta, key, found.specs)
    )


def _model(function: Any, entry: GraphEntry, specs: tuple[TensorSpec, ...], path: Path, notes: tuple[str, ...]) -> Model:
    def bind(bound: tuple[BoundInput, ...]) -> Model:
        constants = tensorflow_entry.fixed(entry.inputs, bound)
        names = {one.name for one in bound}
        rest = tuple(port for port in entry.inputs if port.name not in names)
        own = replace(entry, inputs=rest, constants=(*entry.constants, *constants))
        return _model(function, own, tuple(spec for spec in specs if spec.name not in names), path, notes)

    return Model(
        Function(saved_model.calling(function, entry), entry),
        specs,
        _keeper(path, entry),
        _parameters(function),
        lambda seed: framework.framework().random.set_seed(seed),
        _Operations(function, entry).locate,
        (PROOF, *training_flags.said(entry.constants)),
        notes,
        bind=bind,
        states=lambda: {f"the variable {one.name!r}": one.numpy() for one in _variables(function) if one.dtype.name != "resource"},
    )


def _in_session(source: Source, meta: Any, key: str) -> Model:
    """The signature in a session, where the graph has loops as TensorFlow 1 wrote them; it is kept frozen."""
    tf = framework.framework()
    graph = tf.Graph()
    with graph.as_default(), framework.explained(source.path, SourceError):
        session = graph_session.session_of(graph)
        tf.compat.v1.saved_model.load(session, list(meta.meta_info_def.tags), str(source.path))
        tensor = tf.compat.v1.saved_model.get_tensor_from_tensor_info
        sides = (meta.signature_def[key].inputs, meta.signature_def[key].outputs)
        fed, given = ({name: tensor(side[name], graph) for name in sorted(side)} for side in sides)
    found = _called(_tensor_specs(fed, source.path), _chosen(given, source), source.path, key, inside=True)
    found = replace(found, notes=_notes(meta, key, found.specs))
    proof = "its variables and tables were restored by TensorFlow's own loader"
    return session_model.model(session, found, session_model.freezing(session, found), source.path, (proof,))


def _called(arguments: Mapping[str, Any], results: Mapping[str, Any], path: Path, key: str, *, inside: bool = False) -> Endpoints:
    """How the signature ``key`` is called, whose tensors are these by name. In a session (``inside``) each has the graph's name for it."""
    constants = {name: one for name, spec in arguments.items() if (one := _switch(name, spec))}
    taken = {name: spec for name, spec in arguments.items() if name not in constants}
    if not taken:
        raise SourceError(f"the signature {key!r} of {path} takes no input; name another: --signature")
    alone = all(spec.shape.rank == 0 for spec in taken.values())
    specs = tuple(spec_of(name, spec.dtype, spec.shape, alone=alone) for name, spec in taken.items())
    for spec in specs:
        inputs.refuse_type(spec, path)

    def tensor(name: str, spec: Any) -> str:
        return str(spec.name) if inside else name

    return Endpoints(
        tuple(Port(name, tensor(name, spec), scalar=alone) for name, spec in taken.items()),
        specs,
        tuple(Port(name, tensor(name, spec), scalar=alone and spec.shape.rank == 0) for name, spec in results.items()),
        tuple(replace(one, tensor=tensor(name, arguments[name])) for name, one in constants.items()),
    )


def _meta_graph(path: Path) -> Any:
    """The graph for serving, or the only one; what it holds is read before anything is restored."""
    framework.framework()
    from tensorflow.python.saved_model import loader_impl

    try:
        found = list(loader_impl.parse_saved_model(str(path)).meta_graphs)
    except Exception as problem:
        raise SourceUnreadable(
            f"{path} is cut short or damaged: {framework.first_line(problem)}; fetch it again", detail=str(problem)
        ) from problem
    if not found:
        raise SourceUnreadable(f"{path} holds no graph; save the model again")
    serving = [graph for graph in found if "serve" in graph.meta_info_def.tags]
    if len(found) > 1 and not serving:
        tags = "; ".join(" ".join(graph.meta_info_def.tags) for graph in found)
        raise SourceError(f"{path} holds graphs tagged {tags}, and none of them for serving; save the model with the tag serve")
    return (serving or found)[0]


def _key(keys: tuple[str, ...], source: Source) -> str:
    if source.signature and (not keys or source.signature in keys):
        return source.signature
    if source.signature:
        raise UsageError(f"{source.path} has no signature {source.signature!r}; it has {', '.join(keys)}")
    if SERVING in keys:
        return SERVING
    if len(keys) > 1:
        raise UsageError(f"{source.path} has the signatures {', '.join(keys)}; name one: --signature {keys[0]}")
    return keys[0] if keys else CALL


def _restored(path: Path, key: str, signed: bool) -> Any:
    """The function behind the signature ``key`` or, in a model without signatures, of that name."""
    try:
        loaded = saved_model.load_saved(path)
        found = {key: (loaded.signatures[key],)} if signed else saved_model.functions(loaded)
    except StepFailed as problem:
        raise SourceError(problem.message, detail=problem.detail) from problem
    if key == CALL and key not in found:
        if len(found) > 1:
            known = sorted(found)
            raise UsageError(f"{path} has no signature; it has the functions {', '.join(known)}; name one: --signature {known[0]}")
        key = next(iter(found), CALL)
    if len(ways := found.get(key, ())) != 1:
        listed = "; ".join(map(saved_model.taken, ways))
        raise SourceError(
            f"{path} has no signature, and {f'{len(ways)} ways to call {key}: {listed}' if ways else 'no function to call'}; save it again "
            "with one: tf.saved_model.save(model, path, signatures=model.call.get_concrete_function(...)), or model.export(path)"
        )
    ways[0].model, ways[0].key = loaded, key  # without a reference to the model its variables are deleted
    return ways[0]


def _chosen(results: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """The outputs by name: those that the user named, in that order, or all of them, output_2 before output_10."""
    if missing := [name for name in source.outputs if name not in results]:
        known = sorted(results, key=_natural)
        raise UsageError(f"{source.path} has no output {missing[0]!r}; it has {', '.join(known)}: --outputs {','.join(known[:2])}")
    return _tensor_specs({name: results[name] for name in source.outputs or sorted(results, key=_natural)}, source.path)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _tensor_specs(specs: dict[str, Any], path: Path) -> dict[str, Any]:
    tf = framework.framework()
    for name, spec in specs.items():
        if not isinstance(spec, tf.TensorSpec | tf.Tensor):
            raise SourceError(
                f"{path}: {name!r} is {type(spec).__name__.removesuffix('Spec')}, not an array; export the model with dense tensors"
            )
    return specs


def _switch(name: str, spec: Any) -> Constant | None:
    return training_flags.constant(name, spec.dtype.name, None if spec.shape.rank is None else tuple(spec.shape.as_list()))


def _keeper(path: Path, entry: GraphEntry) -> Callable[[Signature, Path], Graph]:
    def keep(signature: Signature, out: Path) -> Graph:
        model = out / tensorflow_entry.SAVED_MODEL
        model.mkdir()
        for part in PARTS:
            if (path / part).is_dir():
                shutil.copytree(path / part, model / part)
            elif (path / part).is_file():
                shutil.copyfile(path / part, model / part)
        tensorflow_entry.write_entry(out, entry)
        return Graph(FORMAT, out, signature, route="the original")

    return keep


def _variables(function: Any) -> list[Any]:
    return list({id(variable): variable for variable in function.variables or getattr(function.model, "variables", None) or ()}.values())


def _parameters(function: Any) -> int:
    """How many numbers its variables hold; those of a model that was saved without any are in its constants."""
    held = [variable.shape.as_list() for variable in _variables(function) if variable.shape.is_fully_defined()]
    return sum(math.prod(shape) for shape in held) or session_model.parameters(function.graph)


@dataclass(frozen=True)
class _Operations:
    """The operations of the function as one graph: inside the SavedModel they are hidden in calls of functions."""

    function: Any
    entry: GraphEntry

    def locate(self, first: Arrays, second: Arrays, same: SameAnswer) -> str:
        """The operation whose answers begin to differ; LookupError where the function cannot be made one graph."""
        try:
            graph, flat = tensorflow_graph.frozen(saved_model.traced(self.function, self.entry))
            session = graph_session.session_of(session_model.imported(graph, Path(self.entry.signature)))
        except (StepFailed, SourceError) as problem:
            raise LookupError("the function cannot be made one graph") from problem
        outputs = [session.graph.get_tensor_by_name(port.tensor) for port in flat.outputs]
        tensors = {port.name: own.tensor for own, port in zip(flat.inputs, self.entry.inputs, strict=True)}
        feeds = [{tensors[name]: array for name, array in given.items()} for given in (first, second)]
        return session_model.locate(session, outputs, feeds[0], feeds[1], same)


def _notes(meta: Any, key: str, specs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    keys = sorted(one for one in meta.signature_def if not one.startswith("__"))
    notes = [f"called by its signature {key}"]
    if not keys:
        notes = [f"it has no signature and was called {'itself' if key == CALL else f'by its function {key}'}"]
    if others := [one for one in keys if one != key]:
        notes[0] += f"; it also has {', '.join(others)}: --signature"
    operations = {node.op for node in meta.graph_def.node} | {
        node.op for function in meta.graph_def.library.function for node in function.node_def
    }
    if any(spec.dtype == BYTES for spec in specs) and any(op.startswith(("ParseExample", "ParseSingleExample")) for op in operations):
        takes = ", ".join(spec.name for spec in specs if spec.dtype == BYTES)
        notes.append(
            f"{takes} takes serialised tf.train.Example messages, as byte strings; another signature may take the features themselves"
        )
    return tuple(notes)
