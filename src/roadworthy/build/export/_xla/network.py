"""A frozen graph compiled by XLA to objects and a header of C++, for one level of x86-64."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from roadworthy.build.export._tensorflow import frozen, saved
from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port

NAME, CLASS = "network", "Network"
"""The names of the files and of the class in C++."""
OBJECTS = (f"{NAME}.o", f"{NAME}_constants.o", f"{NAME}_metadata.o")
TRIPLE = "x86_64-none-linux"


def fixed(signature: Signature) -> Signature:
    """``signature`` for the number of samples that the code is compiled for: one, or the only one that there is."""
    return signature.fixed(1) if signature.dynamic else signature


def write(graph: Graph, plan: Plan, level: str, out: Path) -> None:
    """Write the header and the objects into ``out``.

    Inputs are called ``in0``, ``in1``, ... and outputs ``out0``, ``out1``, ...: names become names of C++. Raises StepFailed where
    TensorFlow has no counterpart of an operator, or XLA has none, by its name.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "frozen").mkdir()
        constant, entry = frozen.frozen(replace(graph, signature=fixed(graph.signature)), plan, folder / "frozen")
        saved.write(constant, GraphEntry(_numbered("in", entry.inputs), _numbered("out", entry.outputs)), folder / "saved")
        _compile(folder / "saved", level, folder)
        for name in (f"{NAME}.h", *OBJECTS):
            (folder / name).rename(out / name)


def _compile(directory: Path, level: str, out: Path) -> None:
    framework.framework()
    from tensorflow.python.tools import saved_model_aot_compile

    here = Path.cwd()
    try:
        # The header's guard has the path that the files are written to in its name.
        os.chdir(out)
        saved_model_aot_compile.aot_compile_cpu_meta_graph_def(
            checkpoint_path=None, meta_graph_def=saved.meta_graph(directory), output_prefix=NAME, signature_def_key=saved.SERVING,
            cpp_class=CLASS, target_triple=TRIPLE, target_cpu=f"x86-64-{level}",
        )  # fmt: skip
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(f"XLA cannot compile the graph: {framework.first_line(problem)}", detail=str(problem)) from problem
    finally:
        os.chdir(here)


def _numbered(word: str, ports: tuple[Port, ...]) -> tuple[Port, ...]:
    return tuple(replace(port, name=f"{word}{number}") for number, port in enumerate(ports))
