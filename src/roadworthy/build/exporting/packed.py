"""What an export starts from: the graphs in a finished bundle, its evidence, and its golden samples with the original's answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadworthy.build import verify
from roadworthy.build.exported import target
from roadworthy.build.exporting.job import ExportJob
from roadworthy.build.search import Trial
from roadworthy.build.workspace import Workspace
from roadworthy.bundle import golden as goldens
from roadworthy.bundle import store
from roadworthy.bundle.certificate import Certificate
from roadworthy.bundle.manifest import Manifest
from roadworthy.core import samples as sample_sets
from roadworthy.core.errors import UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph


@dataclass(frozen=True)
class PackedModel:
    """The bundle at ``root``, the ``graphs`` that it holds, and its ``golden`` samples, to which ``reference`` has the answers."""

    root: Path
    manifest: Manifest
    certificate: Certificate
    graphs: tuple[Graph, ...]
    golden: SampleSet
    reference: verify.Reference


def read(job: ExportJob, workspace: Workspace) -> PackedModel:
    """The bundle of ``job``, of which every byte is as it was sealed.

    Raises BundleError where one is not, UsageError where the bundle holds no graph that the target starts from.
    """
    # The steps work in directories of their own.
    root = job.bundle.absolute()
    manifest = store.read(root, whole=True)
    graphs = _graphs(job, root, manifest)
    golden = goldens.read(root / manifest.golden.path, manifest.signature)
    samples = sample_sets.write(workspace.folder("golden/samples"), golden.inputs)
    quantized = any(graph.quantized for graph in graphs)
    answers = workspace.folder("golden/answers")
    reference = verify.given(golden.outputs, manifest.signature, manifest.tolerance, answers, quantized=quantized)
    return PackedModel(root, manifest, store.read_certificate(root), graphs, samples, reference)


def golden_trial(packed: PackedModel) -> Trial:
    """A trial on the golden samples alone; they are too few to prove a lossy plan on."""
    manifest, reference = packed.manifest, packed.reference
    metric = verify.AGREEMENT if reference.classes > 1 else verify.ERROR
    return Trial(None, packed.golden, reference, manifest.signature, metric, 0.0, 0.0, manifest.contract.answer, keep=True)


def _graphs(job: ExportJob, root: Path, manifest: Manifest) -> tuple[Graph, ...]:
    graphs = tuple(
        Graph(one.format, root / one.path, one.signature, "packed", precision=one.precision)
        for one in manifest.graphs
        if (root / one.path).exists()
    )
    wanted = target(job.target).ACCEPTS
    if any(graph.format in wanted for graph in graphs):
        return graphs
    held = f"it holds it as {', '.join(graph.format for graph in graphs)}" if graphs else "it was packed without graphs"
    raise UsageError(
        f"{job.bundle} cannot be exported to {job.target}, which starts from the model as {' or '.join(wanted)}: {held}. Deploy the model "
        f"again with this version and without --no-graphs, or with --export {job.target}"
    )
