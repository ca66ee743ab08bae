"""The original: what the source is, the model loaded from it and proven, and the samples under its input names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from roadworthy.build import classes, imports, preprocessing, sources, supplied, user_object, verify
from roadworthy.build.certificate import Data
from roadworthy.build.data import dataset
from roadworthy.build.data.labels import labels_file
from roadworthy.build.data.raw_data import ExpectedInputs
from roadworthy.build.job import Job
from roadworthy.build.preprocessing import Found
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.evidence import Note
from roadworthy.core.isolation import unchanged, user_imports
from roadworthy.core.samples import renamed, with_target
from roadworthy.core.stages import Source
from roadworthy.core.types import BYTES, Fixed
from roadworthy.preprocess import spec
from roadworthy.preprocess.contract import Contract

CALIBRATION_SAMPLES = 200


def identify(job: Job, workspace: Workspace) -> Source:
    """What the source is, found in a child process, because a damaged file may crash a parser.

    Raises EnvironmentFault where the user's own code needs a package that is not installed, before anything else is read.
    """
    user_imports.refuse_missing(job.code_files)
    unpacked = workspace.folder(f"source/{len(list(workspace.path.glob('source/*')))}")
    request = sources.IdentifyRequest(job.source, job.arch, job.trust, job.signature, job.outputs, job.weights, unpacked)
    return replace(workspace, confinement=workspace.confinement.at_home()).step(sources.identify_step, request, "identify")


def refuse_wrong_metric(job: Job, workspace: Workspace) -> None:
    """Raise UsageError or DataError where there is no such metric, or where it, the budget and the data do not fit each other.

    The user's own metric is imported for this, in a child process; without a metric the labels choose it later.
    """
    if job.metric is None:
        return
    request = verify.BudgetRequest(job.metric, job.budget, labels=job.data is not None)
    if verify.is_code(job.metric):
        workspace.step(verify.check_budget, request, "metric")
    else:
        verify.check_budget(request)


def contract_of(job: Job, source: Source, workspace: Workspace) -> Found:
    """How inputs are made and answers are read, as the user says or else as the model brings it: ``read_contract``, completed."""
    return completed(read_contract(job, source, workspace), job, source)


def read_contract(job: Job, source: Source, workspace: Workspace) -> Found:
    """The preprocessing that the job names, or else what the model brings; empty where there is none.

    Where the layout is left open, it is that of the source's framework. Code of the user's or of a library is read in a child process.
    """
    asked = job.named_preprocess
    own = asked is not None and spec.is_spec(asked)
    if asked is not None and not own and Path(asked).exists():
        # The child's working directory is another one.
        asked = str(Path(asked).absolute())
    request = preprocessing.ReadRequest(asked, source, sources.layout(source))
    # Code that is named imports the framework, in all likelihood.
    slow = imports.of_framework(source.framework) if asked and user_object.named_in(asked) else ""
    read = preprocessing.read_step(request) if own else workspace.step(preprocessing.read_step, request, "preprocessing", slow)
    return read or Found(Contract(), "")


def completed(found: Found, job: Job, source: Source) -> Found:
    """``found`` held against what the model does to pixels itself, with the steps inside the model and the names that the job asks for.

    Raises DataError where it would normalise pixels twice, and where the job wants a model of pixels and the steps do not allow it.
    """
    found = preprocessing.held_against(found, source, job.named_preprocess, twice=job.twice)
    dtypes = tuple(spec.dtype for spec in job.inputs) or source.dtypes
    contract = found.contract.keeping_pixels_for(dtypes)
    if job.pixels:
        contract = contract.with_pixels()
    # Names in the user's own file come first, those that came with a library's preprocessing last.
    own = job.named_preprocess is not None and spec.is_spec(job.named_preprocess) and contract.answer.labels
    labels = job.labels or (() if own else source.labels)
    return replace(found, contract=labels_file.with_labels(contract, labels) if labels else contract)


def load_original(
    source: Source,
    job: Job,
    contract: Contract,
    workspace: Workspace,
    *,
    given: dataset.Dataset | None = None,
    calibrate: int = CALIBRATION_SAMPLES,
    scored: bool = True,
) -> tuple[sources.Loaded, Data]:
    """The model, proven to be in inference mode on real samples where there are some, and the samples under its input names.

    ``given`` are samples that are there already, in place of the job's data; at most ``calibrate`` are put aside to calibrate with.
    Where the answers need not be ``scored``, labels that fit no output are no error. A contract with steps inside the model gives the
    original with these steps in front, and samples of pixels: the model itself is loaded and proven on what the steps make of them.
    """
    free, bound = sources.bound_inputs(job.inputs, job.stated)
    contract, names = classes.suggested(contract, job)
    contract.whole().check_input(free)
    workspace.begin("data")
    # It imports while the data is read.
    workspace.template(imports.of_framework(source.framework))
    before = workspace.confinement.listing()
    gathered = given or gather_samples(source, job, contract, workspace, names)
    read = gathered.samples if gathered else supplied.pictures(contract, free, job, workspace)
    samples = supplied.for_model(contract, read, workspace)
    if gathered and samples:
        supplied.check_stated(samples, tuple(one for one in job.stated if one.name in samples.inputs))
        samples = sources.with_fixed(samples, job.inputs, job.stated)
    workspace.notify(Progress("data", 1, 1, f"{gathered.samples.count} samples" if gathered else "none given"))
    workspace.begin("load")
    making = sources.Making(job.samples or sources.MADE, job.stated, workspace.folder("data/made"))
    request = sources.LoadRequest(source, job.inputs, samples, workspace.folder("original"), job.allow_training, making, job.examples)
    loaded = _loaded(request, workspace)
    loaded = replace(loaded, notes=(*loaded.notes, *workspace.confinement.written(before)))
    inputs = loaded.signature.inputs
    contract.whole().check_input(inputs)
    if samples is None:
        read = supplied.pictures(contract, inputs, job, workspace)
    samples = loaded.samples if samples else supplied.for_model(contract, read, workspace) or loaded.samples
    samples = renamed(supplied.required(samples), tuple(one.name for one in inputs))
    dataset.check_inputs(samples, loaded.signature)
    supplied.check_stated(samples, tuple(one for one in job.stated if one.name not in {gone.name for gone in bound}))
    contract, named = classes.with_suggested(contract, names, gathered, loaded.signature)
    if contract.front:
        loaded, samples = supplied.with_front(contract.front, loaded, read, workspace)
    paired = classes.paired(job, contract, replace(gathered, samples=samples) if gathered else None, loaded.signature, scored=scored)
    if paired is not None and paired.targets is not None:
        samples = with_target(samples, paired.targets)
    data = supplied.data(samples, gathered, loaded, calibrate, workspace)
    supplied.refuse_unproven(job, source, data, loaded.graph.precision)
    workspace.notify(Progress("load", 1, 1, f"{loaded.parameters:,} parameters"))
    answer = classes.named(contract, gathered, paired)
    twice = preprocessing.disagreement(contract.whole(), loaded.inner)
    notes = (
        *data.notes,
        *((Note(twice, warning=True),) if twice else ()),
        *(gathered.notes if gathered else ()),
        *classes.notes_on_names(answer.labels),
        *classes.notes_on_texts(contract, paired),
        *named,
    )
    kept = gathered.pictures if gathered else None
    data = replace(data, notes=notes, answer=answer, pictures=kept, all=samples if kept else None)
    return loaded, replace(data, metric=paired.metric, reading=paired.reading) if paired else data


def gather_samples(
    source: Source, job: Job, contract: Contract, workspace: Workspace, names: tuple[str, ...] = ()
) -> dataset.Dataset | None:
    """The job's samples, if it has any; ``names`` are class names that the preprocessing suggests.

    The user's own code that gives them runs in a child and may take as long as the deployment.
    """
    if job.data is None:
        return None
    expected, out = _expected(source, job, contract, names), workspace.folder("data/all")
    if not dataset.is_code(job.data):
        return dataset.gather(job.data, expected, out, lambda done, count: workspace.notify(Progress("data", done, count)))
    request = dataset.GatherRequest(job.data, expected, out)
    patient = replace(workspace, limits=replace(workspace.limits, seconds=max(job.seconds, workspace.limits.seconds)))
    gathered = patient.step(dataset.gather_step, request, "data")
    unchanged.refuse_changed(source, workspace.user_code.notes)
    return gathered


def _expected(source: Source, job: Job, contract: Contract, suggested: tuple[str, ...]) -> ExpectedInputs:
    """What is known of the model before it is loaded."""
    fixed = {stated.name for stated in job.stated if isinstance(stated, Fixed)}
    specs = tuple(spec for spec in job.inputs if spec.name not in fixed)
    dtypes = tuple(spec.dtype for spec in specs) or source.dtypes
    numbers = source.framework == "torch" or (bool(dtypes) and BYTES not in dtypes)
    ids = labels_file.read(job.labels).ids if job.labels else ()
    names = tuple(spec.name for spec in specs)
    hint = preprocessing.suggested(source)
    return ExpectedInputs(names, contract, ids, numbers, sources.layout(source) == "CHW", job.targets, job.samples, suggested, hint)


def _loaded(request: sources.LoadRequest, workspace: Workspace) -> sources.Loaded:
    """The original, from a source that did not change since it was identified."""
    try:
        loaded = workspace.step(sources.load, request, "load", imports.of_framework(request.source.framework))
    except RoadworthyError:
        # A file that changed meanwhile can fail in any way; the change is the reason to report.
        unchanged.refuse_changed(request.source, workspace.user_code.notes)
        raise
    unchanged.refuse_changed(request.source, workspace.user_code.notes)
    return loaded
