"""What an export is compared with where the user gives data: the answers of a graph that the bundle holds to samples of that data.

The original is not there any more. The graph was proven against it when the bundle was made, and the golden samples still hold the
original's own answers.
"""

from __future__ import annotations

from dataclasses import replace

from roadworthy.build import imports, sources, verify
from roadworthy.build.data import dataset
from roadworthy.build.data.raw_data import ExpectedInputs
from roadworthy.build.exporting.packed import PackedModel
from roadworthy.build.original import CALIBRATION_SAMPLES
from roadworthy.build.search import Trial, baseline_of
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Budget
from roadworthy.core.samples import renamed
from roadworthy.core.types import BYTES


def data_trial(data: str, model: PackedModel, workspace: Workspace) -> Trial:
    """The samples of ``data``, one fifth of them at most to calibrate with, and the first graph's answers to the others.

    No labels are read: the metric is agreement, or the error where no output ranks classes. Raises DataError for data that cannot be read
    or that the model does not take.
    """
    manifest, graph = model.manifest, model.graphs[0]
    inputs = manifest.signature.inputs
    expected = ExpectedInputs(
        tuple(spec.name for spec in inputs), manifest.contract, numbers=all(spec.dtype != BYTES for spec in inputs),
        channels_first=sources.layout_of(model.certificate.origin.framework) == "CHW", suggested=manifest.contract.answer.labels,
    )  # fmt: skip
    workspace.begin("data")
    request = dataset.GatherRequest(data, expected, workspace.folder("data/all"))
    gathered = workspace.step(dataset.gather_step, request, "data")
    samples = renamed(gathered.samples, expected.names)
    dataset.check_inputs(samples, manifest.signature)
    evaluation, calibration = dataset.split(samples, CALIBRATION_SAMPLES, workspace.folder("data/split"))
    if not evaluation.count:
        raise DataError(f"{data} holds no samples")
    workspace.notify(Progress("data", 1, 1, f"{gathered.samples.count} samples"))

    workspace.begin("original")
    slow = imports.to_run(baseline_of(graph, workspace))
    asked = verify.ReferenceRequest(graph, evaluation, workspace.host.cores, workspace.folder("reference"))
    reference = workspace.step(verify.establish, asked, "reference", slow)
    # The original's own distance from float64, where the bundle knows it, and not that of one of its graphs.
    reference = replace(reference, tolerance=manifest.tolerance)
    metric = verify.AGREEMENT if reference.classes > 1 else verify.ERROR
    score = workspace.step(verify.score_original, verify.ScoreRequest(evaluation, reference, metric, Budget()), "score")
    return Trial(calibration, evaluation, reference, manifest.signature, metric, score.budget, 0.0, manifest.contract.answer, keep=True)
