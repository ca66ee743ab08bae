"""A network of ncnn as the object and the archives that a program is linked with."""

from __future__ import annotations

import shutil
from pathlib import Path

from roadworthy.build.export._ncnn import library
from roadworthy.build.export._ncnn.layers import KEPT
from roadworthy.build.lower import _ncnn_files
from roadworthy.build.program import compiler, sources, templates
from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Graph
from roadworthy.core.types import TensorSpec

TEMPLATE = Path(__file__).with_name("model.cpp.j2")
FLAVOUR, LICENCE = "ncnn", "ncnn.txt"


def make(graph: Graph, scratch: Path) -> tuple[Path, ...]:
    """The model's object and ncnn's archive, made in ``scratch``.

    Raises BackendMissing without the converter, ProgramMissing without a compiler, StepFailed for a layer that ncnn, or its static
    library, has not, and where a step fails.
    """
    _ncnn_files.convert(graph, scratch)
    if lacking := sorted(_kinds(scratch / _ncnn_files.PARAM) - KEPT):
        raise StepFailed(f"the static library of ncnn is built without the layers {', '.join(lacking)}, which this network needs")
    built = library.make()
    shapes = {"inputs": [_sizes(spec) for spec in graph.signature.inputs], "outputs": [_sizes(spec) for spec in graph.signature.outputs]}
    templates.render(TEMPLATE, scratch / "model.cpp", param=_ncnn_files.PARAM, weights=_ncnn_files.WEIGHTS, **shapes)
    options = [f"-I{sources.FILES}", f"-I{built / 'include'}", "-fopenmp", "-Wno-unused-parameter", "-c", "model.cpp", "-o", "model.o"]
    compiler.compile(options, scratch, what="the network of ncnn")
    return scratch / "model.o", built / "libncnn.a"


def write_licence(folder: Path) -> None:
    """ncnn's licence, which asks that it goes along."""
    shutil.copyfile(library.folder() / "LICENSE.txt", folder / LICENCE)


def _kinds(param: Path) -> set[str]:
    """The layers of a network; the first two lines are a number and two counts."""
    return {line.split()[0] for line in param.read_text().splitlines()[2:] if line.strip()}


def _sizes(spec: TensorSpec) -> list[int]:
    """The sizes of one sample, an axis of 1 where it has none: ncnn's matrices have one at least."""
    return [int(size) for size in spec.sample_shape] or [1]
