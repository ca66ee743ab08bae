"""An ONNX file as a C++ program: the network's calls, and all weights in one file."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from roadworthy.build.cpp import integers, layers, memory, pointwise, pooling, shapes, values
from roadworthy.build.cpp.network import Handler, Network
from roadworthy.build.cpp.steps import LAYERS, Step, real, structure, written
from roadworthy.build.cpp.values import Storage, Value
from roadworthy.build.onnx_graph import OnnxGraph, read
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Signature, output_names

HANDLERS: dict[str, Handler] = {
    **layers.HANDLERS, **pooling.HANDLERS, **pointwise.HANDLERS, **shapes.HANDLERS, **integers.HANDLERS,
}  # fmt: skip
"""What can be translated, by the operator's name in ONNX."""
FOLDED = ("Cast", "Constant", "ConstantOfShape", "Gather", "Range", "Shape", "Size")
"""Operators that exporters write to compute shapes: nothing of them is left in most graphs."""
KERNELS = Path(__file__).parent / "kernels"
NETWORK, SIZES, WEIGHTS, MODEL = "network.cpp", "sizes.h", "weights.bin", "model.cpp"
NEAR = 64 * 1024
"""Numbers that may be under way at once: they fit the second cache."""
TOGETHER = 16
"""Most samples that go through the network at once."""
WORTH_A_THREAD = 1_000_000
"""Products for which a second thread is worth its waking: about 50 microseconds."""
LINE = 64
"""Bytes of a line of the cache, where each of the weights begins."""
POINTERS = {"float32": "", "int8": "(const signed char *)", "int32": "(const int *)"}
"""What brings the address of weights of each dtype into its type."""


@dataclass(frozen=True)
class Generated:
    """A directory with the C++ files of one model, and what they need: bytes of weights and, for each thread, of memory.

    ``together`` samples at most go through the network at once, by ``calls`` of kernels.
    """

    folder: Path
    weights: int
    memory: int
    together: int
    calls: int


def lacking(operators: Iterable[str]) -> list[str]:
    """Those of the operators that generated code has not, and that are not computed before by their nature."""
    return sorted(set(operators) - set(HANDLERS) - set(FOLDED))


def operators(path: Path) -> frozenset[str]:
    """The operators of the ONNX file at ``path``, those of its functions included."""
    model = onnx.load(path, load_external_data=False)
    found = {node.op_type for nodes in (model.graph.node, *(function.node for function in model.functions)) for node in nodes}
    return frozenset(found - {function.name for function in model.functions})


def unfit(signature: Signature) -> str:
    """In words, why no code can be generated for a model of ``signature``; empty where it can."""
    specs = (*signature.inputs, *signature.outputs)
    if other := next((spec for spec in specs if spec.dtype != "float32"), None):
        return f"{other.name!r} is {other.dtype}, and generated code takes and gives float32"
    if apart := next((spec for spec in specs if spec.sample_axis != 0 or not spec.shape), None):
        return f"{apart.name!r} does not count its samples by its first axis"
    if free := next((spec for spec in specs if spec.open_sizes), None):
        return f"{free.name!r} has the free size {free.open_sizes[0]!r}, and generated code has fixed sizes"
    if signature.dynamic and not all(spec.batched for spec in specs):
        return "some inputs or outputs count the samples and others have a fixed number"
    return ""


def generate(path: Path, signature: Signature, out: Path) -> Generated:
    """Write the C++ files for the ONNX graph at ``path`` into the existing directory ``out``.

    Raises StepFailed, which names operator and node, for a graph that generated code cannot compute.
    """
    if words := unfit(signature):
        raise StepFailed(f"no code can be generated for this model: {words}")
    graph = read(path, signature)
    if unknown := [str(node) for node in graph.nodes if node.op not in HANDLERS]:
        raise StepFailed(f"generated code has no operator for {', '.join(unknown)}")
    graph.refuse_unknown()
    network = _translated(graph, signature)
    places, size = memory.planned(network.steps)
    together = max(1, min(TOGETHER, NEAR // max(size, 1)))
    weights: list[bytes] = []
    lines = list(_lines(network.steps, places, together, weights))
    (out / NETWORK).write_text(_network(lines))
    (out / SIZES).write_text(_sizes(signature, together, max(size, memory.ALIGNED) * together, _work(network.steps)))
    data = b"".join(weights) or bytes(LINE)
    (out / WEIGHTS).write_bytes(data)
    for file in KERNELS.iterdir():
        if file.is_file():
            shutil.copyfile(file, out / file.name)
    return Generated(out, len(data), max(size, memory.ALIGNED) * together * 4, together, len(lines))


def _translated(graph: OnnxGraph, signature: Signature) -> Network:
    network = Network(graph, None if signature.dynamic else signature.call_size(1))
    for number, spec in enumerate(signature.inputs):
        sizes = tuple(int(size) for size in spec.shape[1:])
        network.put(spec.name, values.plain(sizes, f"inputs[{number}]"))
    for node in graph.nodes:
        HANDLERS[node.op](network, node)
    for number, name in enumerate(output_names(signature, graph.outputs)):
        source = network.output(name)
        network.move(source, values.plain(source.sizes, f"outputs[{number}]"))
    return network


def _lines(steps: list[Step], places: dict[Storage, int], together: int, weights: list[bytes]) -> list[str]:
    """The call of each step; its weights go to the end of ``weights``."""
    lines, made = [], set()
    length = 0

    def at(value: Value) -> str:
        owner = value.storage.owner
        place = owner.pointer or f"memory + {places[owner] * together}"
        return f"(short *)({place})" if owner.integers else place

    for step in steps:
        fields = dict(step.fields())
        arguments = [structure(step.structure, fields)] if step.structure else [_argument(one) for one in fields.values()]
        arguments += ["samples", *map(at, step.reads)]
        if step.adds:
            arguments.append(at(step.added) if step.added else "nullptr")
        for constant in step.pack(step.constants):
            array = constant if constant.dtype.name in POINTERS else constant.astype(np.float32)
            arguments.append(f"{POINTERS[array.dtype.name]}(weights + {length // 4})")
            weights.append(array.tobytes() + bytes(-array.nbytes % LINE))
            length += len(weights[-1])
        arguments.append(at(step.output))
        lines.append(f"{step.kernel}({', '.join(arguments)});")
        storage = step.output.storage
        if storage not in made and (storage.image.border_h or storage.image.border_w):
            lines.append(f"clear_border(Image{written('', step.output.image)}, samples, {at(step.output)});")
        made.add(storage)
    return lines


def _work(steps: list[Step]) -> int:
    """About how many products one sample takes: every weight once for each output position."""
    return sum(step.constants[0].size * step.output.image.height * step.output.image.width for step in steps if step.kernel in LAYERS)


def _argument(value: object) -> str:
    return real(value) if isinstance(value, float) else str(value)


def _network(lines: list[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return (
        '#include "network.h"\n\nextern "C" void NETWORK(const float *const *inputs, float *const *outputs, int samples, float *memory, '
        f"const float *weights) {{\n{body}\n}}\n"
    )


def _sizes(signature: Signature, together: int, size: int, work: int) -> str:
    """Constants that ``model.cpp`` includes."""
    numbers = {
        "MODEL_INPUTS": len(signature.inputs), "MODEL_OUTPUTS": len(signature.outputs), "MODEL_TOGETHER": together,
        "MODEL_MEMORY": size * 4, "MODEL_WORK": work, "WORTH_A_THREAD": WORTH_A_THREAD,
    }  # fmt: skip
    lines = [f"constexpr unsigned long {name} = {number};" for name, number in numbers.items()]
    for name, specs in (("MODEL_INPUT_SIZES", signature.inputs), ("MODEL_OUTPUT_SIZES", signature.outputs)):
        each = ", ".join(str(math.prod(int(size) for size in spec.shape[1:])) for spec in specs)
        lines.append(f"constexpr int {name}[] = {{{each}}};")
    return "#pragma once\n" + "\n".join(lines) + "\n"
