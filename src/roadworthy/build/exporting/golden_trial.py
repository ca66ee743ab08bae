"""What an export of a finished bundle is compared with: its golden samples, and the original's answers that lie beside them."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build import verify
from roadworthy.build.search import Trial
from roadworthy.build.workspace import Workspace
from roadworthy.bundle import golden as goldens
from roadworthy.bundle.manifest import Manifest
from roadworthy.core import samples as sample_sets
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph


def golden_trial(bundle: Path, manifest: Manifest, graphs: tuple[Graph, ...], workspace: Workspace) -> Trial:
    """A trial on the golden samples alone; they are too few to prove a lossy plan on."""
    samples, reference = golden_answers(bundle, manifest, graphs, workspace)
    metric = verify.AGREEMENT if reference.classes > 1 else verify.ERROR
    return Trial(None, samples, reference, manifest.signature, metric, 0.0, 0.0, manifest.contract.answer, keep=True)


def golden_answers(bundle: Path, manifest: Manifest, graphs: tuple[Graph, ...], workspace: Workspace) -> tuple[SampleSet, verify.Reference]:
    """The golden samples of the bundle, and the original's answers to them."""
    golden = goldens.read(bundle / manifest.golden.path, manifest.signature)
    samples = sample_sets.write(workspace.folder("golden/samples"), golden.inputs)
    quantized = any(graph.quantized for graph in graphs)
    answers = workspace.folder("golden/answers")
    return samples, verify.given(golden.outputs, manifest.signature, manifest.tolerance, answers, quantized=quantized)
