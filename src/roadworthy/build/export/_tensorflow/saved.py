"""SavedModels whose signatures have any names: those that TensorFlow's newer way of saving changes or refuses, ``x:0`` say, included.

Signatures are written as TensorFlow 1 wrote them, which is what TensorFlow Serving reads: a name stands for a tensor of the graph.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from roadworthy.build.lower import _graphdef
from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Graph
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port

SERVING = "serving_default"
FILE = "saved_model.pb"


def read(directory: Path) -> tuple[Any, GraphEntry]:
    """The graph of a SavedModel that ``_graphdef.as_saved_model`` wrote, and its entry."""
    meta = _meta(directory)[1]
    signature = meta.signature_def[SERVING]
    inputs, outputs = (
        tuple(Port(name, info.name) for name, info in sorted(ports.items())) for ports in (signature.inputs, signature.outputs)
    )
    return meta.graph_def, GraphEntry(inputs, outputs)


def meta_graph(directory: Path) -> Any:
    """The graph of a SavedModel and its signatures, as TensorFlow's tools take them."""
    return _meta(directory)[1]


def write_with_images(directory: Path, steps: Callable[[Any], Any], name: str) -> None:
    """Write the SavedModel in ``directory`` anew, with a second signature ``name`` that takes encoded images in an input of that name.

    The model's own input becomes a placeholder that ``steps`` fill where it is not fed: both signatures share the weights.
    """
    tf = framework.framework()
    v1 = tf.compat.v1
    graph, entry = read(directory)
    (port,) = entry.inputs
    fed = port.tensor.partition(":")[0]
    taken = next(node for node in graph.node if node.name == fed)
    kept = type(graph)()
    kept.CopyFrom(graph)
    del kept.node[:]
    kept.node.extend(node for node in graph.node if node.name != fed)
    with tf.Graph().as_default() as live:
        contents = v1.placeholder(tf.string, [None], f"roadworthy_{name}")
        sample = steps(contents)
        either = v1.placeholder_with_default(sample, tf.TensorShape(taken.attr["shape"].shape), f"roadworthy_{name}_or_sample")
        v1.import_graph_def(kept, {port.tensor: either}, name="")
        outputs = {out.name: live.get_tensor_by_name(out.tensor) for out in entry.outputs}
        definitions = {SERVING: _graphdef.definition({port.name: either}, outputs), name: _graphdef.definition({name: contents}, outputs)}
        shutil.rmtree(directory)
        _graphdef.save(live, definitions, directory)


def write_as_it_is(graph: Graph, directory: Path) -> None:
    """Copy the SavedModel of a "saved_model" graph, with its variables and tables, to ``directory`` under the graph's own names.

    Where these are others than the file's, only TensorFlow 1's part of the file is kept: the other part states the old ones again.
    Raises StepFailed where a signature alone is not how the model is called.
    """
    entry = tensorflow_entry.read_entry(graph.path)
    if entry.constants or any(port.scalar for port in entry.inputs + entry.outputs):
        raise StepFailed("the model is called with constants, or with single values, which a signature alone does not say")
    shutil.copytree(graph.path / tensorflow_entry.SAVED_MODEL, directory)
    saved, meta = _meta(directory)
    if entry.signature not in meta.signature_def:
        raise StepFailed(f"the SavedModel has no signature {entry.signature!r}: its function is called, which a server cannot do")
    if entry.signature == SERVING and all(port.name == port.tensor for port in entry.inputs + entry.outputs):
        return
    own = meta.signature_def[entry.signature]
    made = type(own)(method_name=own.method_name)
    for ports, old, new in ((entry.inputs, own.inputs, made.inputs), (entry.outputs, own.outputs, made.outputs)):
        for port in ports:
            new[port.name].CopyFrom(old[port.tensor])
    meta.signature_def[SERVING].CopyFrom(made)
    meta.ClearField("object_graph_def")
    (directory / FILE).write_bytes(saved.SerializeToString(deterministic=True))


def write(graph: Any, entry: GraphEntry, directory: Path) -> None:
    """Write the frozen ``graph`` as a SavedModel into the new ``directory``."""
    _graphdef.as_saved_model(graph, entry, directory)


def _meta(directory: Path) -> tuple[Any, Any]:
    """The file's content, and its graph for serving."""
    from tensorflow.python.saved_model import loader_impl

    saved = loader_impl.parse_saved_model(str(directory))
    found = [meta for meta in saved.meta_graphs if "serve" in meta.meta_info_def.tags] or list(saved.meta_graphs)
    return saved, found[0]
