"""The usual conventions tried on labelled images, and what is said of the one that fits."""

from __future__ import annotations

from roadworthy.build import imports, verify
from roadworthy.build.certificate import Data
from roadworthy.build.job import Job
from roadworthy.build.preprocessing import image_input, proof
from roadworthy.build.search import Trial, baseline_of
from roadworthy.build.workspace import Workspace
from roadworthy.bundle.pixels import ConventionTrial, TriedConvention
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.evidence import Score
from roadworthy.core.stages import Graph
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.convention import Convention
from roadworthy.preprocess.decode import ImageDecoder
from roadworthy.preprocess.front import split
from roadworthy.preprocess.pictures import Pictures
from roadworthy.preprocess.steps import PILLOW_LIMIT

SECONDS, PART = 8.0, 0.05
"""The longest that all conventions take together, and the part of the time budget that they may take."""
FORMS = ("classes", "binary")
"""The targets by which the conventions are compared: the class of a sample."""
GIVEN = "as given"
SIZED = 8
"""The images whose size is asked."""


def trial(
    contract: Contract, trained: Graph, tried: Trial, original: Score | None, data: Data, job: Job, workspace: Workspace
) -> ConventionTrial | None:
    """The conventions beside the contract's own steps; ``None`` where the images, or the classes of a sample, are not known.

    Where the ``original`` is right nearly always with those steps, none is tried: no other can be far better. They never end a deployment.
    """
    usable = contract.takes_images and data.pictures is not None and len(trained.signature.inputs) == 1
    if not usable or tried.reading.form not in FORMS or data.evaluation.labels() is None:
        return None
    given, model = given_of(contract), trained.signature.inputs[0]
    asked = proof.usual(model, given, fits=fits(data.pictures, model))
    if asked is None:
        return None
    if original is not None and original.share and original.better == "higher" and original.value.value > 1 - verify.FAR:
        reached = f"{original.metric} of the original is {original.shown(original.value.value)}: no other can be far better"
        return ConventionTrial(tried.metric, 0, original.percent, left_out=reached)
    seconds = min(SECONDS, PART * job.seconds)
    try:
        return ask(asked, given, trained, tried.metric, tried.reading, data, seconds, workspace)
    except RoadworthyError as problem:
        return ConventionTrial(tried.metric, 0, True, left_out=f"the original did not answer: {problem.message}")


def given_of(contract: Contract) -> Convention:
    """The contract's own steps."""
    return Convention(GIVEN, *split(contract.image))


def fits(pictures: Pictures | None, model: TensorSpec) -> bool:
    """Whether the first images all have the model's own size."""
    return pictures is not None and size_of_all(pictures) == size_of_model(model)


def size_of_all(pictures: Pictures) -> tuple[int, int] | None:
    """The (height, width) of the first images, where they have one."""
    sizes = {_size(pictures, index) for index in range(min(SIZED, len(pictures.files)))}
    return sizes.pop() if len(sizes) == 1 else None


def size_of_model(model: TensorSpec) -> tuple[int, int] | None:
    """The (height, width) that a model takes, where it takes images of one size."""
    image = image_input.of_spec(model)
    return image.size if image else None


def ask(
    usual: proof.Usual,
    given: Convention | None,
    trained: Graph,
    metric: str,
    reading: verify.Reading,
    data: Data,
    seconds: float,
    workspace: Workspace,
) -> ConventionTrial:
    """The original on the first images by each convention in about ``seconds``, in a process of its own."""
    assert data.pictures is not None and data.all is not None
    request = verify.TrialRequest(
        trained, trained.signature, data.pictures, data.all, metric, reading, workspace.host.cores,
        seconds, usual.ranges, usual.geometries, given,
    )  # fmt: skip
    found = workspace.step(verify.try_conventions, request, "conventions", imports.to_run(baseline_of(trained, workspace)))
    if not found.scores:
        there = min(len(data.pictures.files), data.all.count)
        few = f"{there:,} images are too few to tell them apart"
        slow = "the original is too slow to try others in the time that there is"
        return ConventionTrial(metric, 0, found.percent, left_out=few if there < verify.FEWEST_PICTURES else slow)
    far = verify.far_better(found) if given else None
    entries = tuple(
        TriedConvention(
            one.convention.name,
            one.value,
            proof.of_steps(one.convention.steps),
            proof.preset_of(one.convention, usual.layout),
            one.convention == given,
            one.gain,
            one.sure,
        )
        for one in found.scores
    )
    left = f"there was no time for {found.left} more" if found.left else ""
    return ConventionTrial(metric, found.samples, found.percent, entries, found.scores.index(far) if far else None, left)


def warning(found: ConventionTrial) -> str:
    """That another convention scores far better, and how to ask for it."""
    assert found.better is not None
    best, given = found.tried[found.better], next(one for one in found.tried if one.given)
    return (
        f"on {found.samples:,} of your images the original gets {found.metric} {found.shown(given.value)} with the preprocessing as given, "
        f"and {found.shown(best.value)} with {best.name}: it was probably trained with that; to use it, {paste(best)}"
    )


def paste(one: TriedConvention) -> str:
    """How to ask for a convention: a preset, or the text of a TOML file on one line."""
    if one.preset:
        return f"--preprocess {one.preset}"
    return f"--preprocess FILE.toml with: {' '.join(one.toml.split())}"


def table(found: ConventionTrial, most: int = 4) -> str:
    """The best conventions, one a line, each with its figure and how to ask for it."""
    return "\n".join(f"  {found.metric} {found.shown(one.value)} with {one.name}: {paste(one)}" for one in found.tried[:most])


def _size(pictures: Pictures, index: int) -> tuple[int, int]:
    width, height = ImageDecoder("RGB", PILLOW_LIMIT).decode(pictures.open(index), pictures.names[index]).size
    return height, width
