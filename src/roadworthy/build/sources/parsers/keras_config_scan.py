"""A Keras model's configuration as JSON, read without Keras: its inputs, the classes it needs, and what in it would run code.

Keras later loads the file in its safe mode; this check comes first, also for readers that have no such mode.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from roadworthy.build.sources.parsers import tf_operators
from roadworthy.build.sources.parsers.keras_classes import CLASSES
from roadworthy.build.sources.parsers.untrusted import listed, shown
from roadworthy.build.sources.static_facts import Refusal, StaticFacts
from roadworthy.core.types import BATCH, BYTES, Signature, TensorSpec

CODE = {
    "Lambda": "holds Python code", "__lambda__": "holds Python code", "TFSMLayer": "runs a SavedModel from another place",
    "TorchModuleWrapper": "holds a pickle", "JaxLayer": "holds Python code", "FlaxLayer": "holds Python code",
}  # fmt: skip
MODELING = frozenset({
    "layers", "models", "initializers", "regularizers", "constraints", "activations", "losses", "metrics", "optimizers", "dtype_policies",
    "quantizers", "random", "ops", "nn", "legacy", "engine", "mixed_precision",
})  # fmt: skip
"""Parts of Keras that a model is made of. The others (utils, saving, config, preprocessing, ...) read files and change settings."""
NOT_MODELING = ("load_", "save_", "model_from_", "deserialize", "serialize")
"""How the names of functions begin that read or write files in these parts."""
APPLICATIONS = frozenset({"convnext.LayerScale", "convnext.StochasticDepth", "inception_resnet_v2.CustomScaleLayer"})
"""The layers that keras.applications defines for its own networks; all of them only compute."""
TOP = frozenset({"DTypePolicy", "FloatDTypePolicy", "QuantizedDTypePolicy", "Sequential", "Model", "Functional", "Layer", "InputSpec"})
KERAS = ("keras", "tf_keras")
EMBEDDED = "roadworthy.pkl"
"""The member of an archive, written by Roadworthy, that holds a live model's own classes by value; read from trusted files alone."""
LOOKUPS = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
COMPUTES = (
    "math.", "nn.", "image.", "linalg.", "strings.", "signal.", "sparse.", "ragged.", "sets.", "bitwise.", "audio.", "random.",
    "quantization.", "dtypes.", "keras.activations.", "keras.backend.", "__operators__.", "compat.v1.math.", "compat.v1.nn.",
    "compat.v1.transpose", "io.decode_",
)  # fmt: skip
"""How TensorFlow's functions that compute begin, as Keras 2 files name them."""
DOES_MORE = frozenset({"py_function", "numpy_function", "load_library", "load_op_library", "print", "function", "import_graph_def"})
COMPUTING_BUILTINS = frozenset({"sum", "abs", "min", "max", "round", "pow"})


@dataclass(frozen=True)
class KerasConfigScan:
    """``inputs`` by the model's own names, ``needs`` custom classes and functions by registered name, ``executes`` what runs code."""

    inputs: tuple[TensorSpec, ...]
    needs: tuple[str, ...]
    executes: tuple[str, ...]
    quantised: bool


def walk(config: Any) -> KerasConfigScan:
    """What the decoded JSON ``config`` of a model states."""
    executes: dict[str, None] = {}
    needs: dict[str, None] = {}
    quantised = False
    for node, layer, training in objects(config):
        executes.update(dict.fromkeys(_code(node, layer)))
        if (name := _custom(node)) and not training:
            needs[name] = None
        quantised = quantised or node["class_name"] == "QuantizedDTypePolicy"
    # A Lambda layer holds a lambda: one of the two is enough.
    distinct = tuple(
        one for one in executes if one.replace("__lambda__", "Lambda") == one or one.replace("__lambda__", "Lambda") not in executes
    )
    return KerasConfigScan(_inputs(config), tuple(needs), distinct, quantised)


def facts(found: KerasConfigScan, tensors: tuple[TensorSpec, ...], version: str) -> StaticFacts:
    """What ``inspect`` says of a file with this configuration, these weights and this version of Keras (empty where unknown)."""
    notes = written_by(version)
    if found.needs:
        notes += (f"classes that are not Keras's own: {', '.join(found.needs)}",)
    if found.quantised:
        notes += ("its weights came quantised",)
    why = f"does more than compute when it is loaded or called: {listed(found.executes)}"
    instead = "replace these layers by ones that Keras brings or by classes of your own (--arch)"
    return StaticFacts(
        tensors,
        Signature(found.inputs, ()) if found.inputs else None,
        found.executes,
        notes,
        needs=found.needs,
        refusal=Refusal(why, instead) if found.executes else None,
        takes_arch=True,
    )


def written_by(version: str) -> tuple[str, ...]:
    """A note on the Keras that wrote a file, where its version is known."""
    return (f"written by Keras {shown(version)}",) if version else ()


def objects(config: Any) -> Iterator[tuple[dict[str, Any], str, bool]]:
    """Every serialised object, with the name of the layer it belongs to, and whether only training uses it."""
    waiting: list[tuple[Any, str, bool]] = [(config, "", False)]
    while waiting:
        value, layer, training = waiting.pop()
        if isinstance(value, list):
            waiting += [(item, layer, training) for item in reversed(value)]
        elif isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                layer = _layer_name(value) or layer
                yield value, layer, training
            waiting += [
                (item, layer, training or key in ("compile_config", "training_config")) for key, item in reversed(list(value.items()))
            ]


def _layer_name(node: dict[str, Any]) -> str:
    """The user's name of a layer. Metrics and policies have names too, but no ``trainable``."""
    inner = _inner(node)
    known = isinstance(inner.get("name"), str) and ("trainable" in inner or "layers" in inner or node["class_name"] in CODE)
    return str(inner["name"]) if known else ""


def _inner(node: dict[str, Any]) -> dict[str, Any]:
    inner = node.get("config")
    return inner if isinstance(inner, dict) else {}


def _code(node: dict[str, Any], layer: str) -> Iterator[str]:
    kind, module, inner = str(node["class_name"]), node.get("module"), _inner(node)
    where = f" in the layer {shown(layer)!r}" if layer else ""
    bare = kind.rpartition(">")[2]
    if bare in CODE:
        yield f"{bare}{where}, which {CODE[bare]}"
    elif isinstance(module, str) and (found := _foreign(module, kind, node)):
        yield f"{found[0]}{where}, which {found[1]}"
    if bare in LOOKUPS and isinstance(inner.get("vocabulary"), str):
        yield f"{bare}{where}, which reads the file {shown(inner['vocabulary'])!r}"
    if bare in ("TFOpLambda", "SlicingOpLambda") and not _computes(str(inner.get("function"))):
        yield f"tf.{shown(str(inner.get('function')))}{where}, which does more than compute"
    if bare == "TensorFlowOpLayer" and (does := _node_op(inner.get("node_def"))):
        yield f"{does}{where}"


def _foreign(module: str, kind: str, node: dict[str, Any]) -> tuple[str, str] | None:
    """A class or function that is not part of a model (of another part of Keras, or of Python's library), and why it is refused."""
    function = kind == "function"
    name = str(node.get("config")) if function else kind
    package, *rest = module.split(".")
    rest = rest[1:] if rest[:1] == ["src"] else rest
    full = shown(f"{module}.{name}")
    if package in KERAS:
        modeling = (rest[0] in MODELING and not name.startswith(NOT_MODELING)) if rest else name in TOP
        modeling = modeling or (rest[:1] == ["applications"] and ".".join((*rest[1:], name)) in APPLICATIONS)
        return None if modeling else (full, "is not a part of a model")
    if module == "builtins" and function:
        # Keras writes this module for its own functions, and for the user's.
        harmless = not hasattr(builtins, name) or name in COMPUTING_BUILTINS
        return None if harmless else (full, "is Python's own and not a part of a model")
    if package in sys.stdlib_module_names and package != "__main__":
        return full, "is Python's own and not a part of a model"
    return None


def _custom(node: dict[str, Any]) -> str:
    """The name under which Keras would look for a class or function that is not its own; empty where it is."""
    kind, registered, module = str(node["class_name"]), node.get("registered_name"), node.get("module")
    if kind.startswith("__") or kind in CODE:
        return ""
    if kind == "function":
        name = str(node.get("config"))
        return shown(name) if ">" in name else ""
    if isinstance(registered, str) and ">" in registered and registered.partition(">")[0].lower() != "keras":
        return shown(registered)
    if isinstance(module, str):
        package = module.partition(".")[0]
        # Names of Python's own library are refused, not asked for.
        known = package in KERAS or (package in sys.stdlib_module_names and package != "__main__")
        return "" if known else shown(registered if isinstance(registered, str) else kind)
    return "" if kind.removeprefix("Keras>") in CLASSES else shown(kind)


def _computes(function: str) -> bool:
    if function.startswith("raw_ops."):
        return not tf_operators.does(function.removeprefix("raw_ops."))
    return function.startswith(COMPUTES) or ("." not in function and function not in DOES_MORE)


def _node_op(node: Any) -> str:
    """The operator of a TensorFlowOpLayer's node (JSON in JSON), in words, where it does more than compute."""
    if isinstance(node, str):
        try:
            node = msgspec.json.decode(node)
        except (msgspec.DecodeError, RecursionError):
            return "an operator that cannot be read"
    op = str(node.get("op")) if isinstance(node, dict) else ""
    return f"{op}, which {tf_operators.does(op)}" if tf_operators.does(op) else ""


def _inputs(config: Any) -> tuple[TensorSpec, ...]:
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    if not isinstance(layers, list):
        return ()
    found = tuple(spec for layer in layers if (spec := _input(layer)))
    if found or not layers or not isinstance(layers[0], dict):
        return found
    if layers[0].get("class_name") in ("Functional", "Sequential", "Model"):
        # A Sequential without an input of its own has that of the model that comes first in it.
        return _inputs(layers[0])
    # A Sequential of Keras 2 may have its input's shape in its first layer.
    spec = _input({**layers[0], "class_name": "InputLayer"})
    return (spec,) if spec else ()


def _input(layer: Any) -> TensorSpec | None:
    inner = _inner(layer) if isinstance(layer, dict) and layer.get("class_name") == "InputLayer" else {}
    shape, dtype = inner.get("batch_shape") or inner.get("batch_input_shape"), inner.get("dtype")
    if not isinstance(shape, list) or not all(size is None or (isinstance(size, int) and size >= 0) for size in shape):
        return None
    sizes = tuple(size if size is not None else BATCH if axis == 0 else "?" for axis, size in enumerate(shape))
    name = shown(str(inner.get("name", "input")))
    return TensorSpec(name, BYTES if dtype == "string" else dtype if isinstance(dtype, str) else "float32", sizes)
