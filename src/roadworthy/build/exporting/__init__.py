"""A bundle's model for one other target: made, verified, timed, finished, tried as it lies there, and then put in its place whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from roadworthy.build import imports, lower
from roadworthy.build.data import dataset
from roadworthy.build.exported import target
from roadworthy.build.exporting import packed, placed
from roadworthy.build.exporting.candidates import Chosen, TargetForm, chosen_form
from roadworthy.build.exporting.data_trial import data_trial
from roadworthy.build.exporting.finished import FinishRequest, TriedExport, TryRequest, finish, try_finished
from roadworthy.build.exporting.job import Exported, ExportJob
from roadworthy.build.exporting.packed import PackedModel
from roadworthy.build.package import gate
from roadworthy.build.search import Trial
from roadworthy.build.workspace import STEP_SECONDS, Notify, Progress, Workspace, open_workspace
from roadworthy.bundle import export_evidence, store
from roadworthy.bundle import manifest as manifests
from roadworthy.bundle.certificate import NOT_ON_TARGET, ON_TARGET, CertifiedExport
from roadworthy.bundle.export_evidence import ComparedSamples, ExportEvidence
from roadworthy.bundle.manifest import Manifest
from roadworthy.core import registry
from roadworthy.core.errors import EnvironmentFault, NoCandidate, UsageError
from roadworthy.core.host import Host
from roadworthy.core.isolation import usercode
from roadworthy.core.isolation.confinement import Confinement

__all__ = ["ExportJob", "Exported", "export", "export_new", "refuse_unknown"]


def refuse_unknown(targets: tuple[str, ...]) -> None:
    """Raise UsageError for a target that does not exist, EnvironmentFault for one that this machine lacks something for."""
    for name in targets:
        module = target(name)
        registry.require(registry.backend_of(name))
        require = getattr(module, "require", None)
        if require is not None:
            require()


def export(job: ExportJob, notify: Notify = lambda progress: None) -> Exported:
    """Export the bundle of ``job``, verified on its golden samples, and on the samples of ``job.data`` where there are some.

    Raises UsageError for an unknown target or precision, BundleError for a damaged bundle, EnvironmentFault where this machine lacks
    something, NoCandidate where nothing that was made gives the answers. Nothing is written then.
    """
    refuse_unknown((job.target,))
    lower.refuse_unknown((), job.precisions)
    if job.on_target:
        _refuse_without_target(job.target)
    if job.output is not None:
        _refuse_output(job.output, job.bundle)
    workspace = open_workspace(
        seconds=job.seconds,
        step_seconds=STEP_SECONDS,
        memory_mb=job.memory_mb,
        notify=notify,
        reads=(job.bundle,),
        cache=job.cache,
        code=_code_folders(job.data),
    )
    with workspace as here:
        model = packed.read(job, here)
        trial = packed.golden_trial(model) if job.data is None else data_trial(job.data, model, here)
        return _exported(job, model, trial, _apart(job, here))


def export_new(job: ExportJob, trial: Trial, workspace: Workspace) -> Exported:
    """Export the bundle of ``job``, which was made just now, verified on the samples ``trial`` of its deployment too."""
    workspace = _apart(job, workspace)
    return _exported(job, packed.read(job, workspace), trial, workspace)


def _refuse_without_target(target: str) -> None:
    """Raise EnvironmentFault where it is known before that an export cannot run on its target here."""
    backend = registry.backend_of(target)
    lacking = getattr(registry.runtime(backend), "lacking", None)
    words = lacking() if lacking else "" if registry.facts(backend).on_target else "no session of this target runs the target itself"
    if words:
        raise EnvironmentFault(f"{target} cannot run on its target here: {words}; leave --run out to make it without that")


def _refuse_output(output: Path, bundle: Path) -> None:
    """Raise UsageError where an export must not be written to ``output``."""
    store.refuse_other_content(output, export_evidence.NAME)
    if output.resolve().is_relative_to(bundle.resolve()):
        raise UsageError(f"{output} is inside the bundle {bundle}: leave -o out to make the export a part of the bundle")


def _code_folders(data: str | None) -> tuple[Path, ...]:
    """The folder that the code of ``data`` comes from, where it names some."""
    if data is None or Path(data).exists() or not dataset.is_code(data):
        return ()
    file = Path(data.partition(":")[0])
    return (usercode.package_root(file.resolve()) if file.suffix == ".py" else Path.cwd(),)


def _apart(job: ExportJob, workspace: Workspace) -> Workspace:
    """A folder of the export's own. Nothing of the user's runs in its steps, and the programs of a target write where they like."""
    return replace(workspace.below(f"export/{job.target}"), confinement=Confinement(Path.cwd(), None))


def _exported(job: ExportJob, model: PackedModel, trial: Trial, workspace: Workspace) -> Exported:
    """The best form of the target on the samples of ``trial``, finished, tried on the golden samples, and put in its place."""
    manifest = model.manifest
    chosen = chosen_form(job, model, trial, workspace)

    plan, made = chosen.best.verified.candidate.plan, workspace.folder("finished")
    allowed = gate(chosen.best.verified, manifest.tolerance)
    workspace.begin("finish", 2)
    request = FinishRequest(model.root, manifest, job.target, plan, chosen.best.verified.candidate.path, allowed, model.graphs, made)
    text = workspace.step(finish, request, "finish", imports.to_run(plan)).text
    workspace.notify(Progress("finish", 1, 2))
    asked = TryRequest(made, plan, manifest.signature, model.golden, model.reference)
    tried = workspace.step(try_finished, asked, "try", imports.to_run(plan))
    if tried.parity.max_rel > allowed:
        raise NoCandidate(f"the finished export is off by {tried.parity.max_rel:.3g} of the output's scale, and {allowed:.3g} is allowed")
    if job.on_target and not tried.on_target:
        raise EnvironmentFault(f"{job.target} did not run on its target here; leave --run out to make it without that")
    samples = ComparedSamples(
        golden=model.golden.count,
        evaluated=0 if trial.samples is model.golden else trial.samples.count,
        generated=model.certificate.samples.kind == "generated" and job.data is None,
    )
    evidence = _evidence(job, manifest, chosen, tried, samples, allowed, made, workspace.host)
    export_evidence.write(made / export_evidence.NAME, evidence)
    (made / export_evidence.README).write_text(placed.readme(evidence, text, chosen.reasons), encoding="utf-8")
    path = placed.alone(made, job.output) if job.output else placed.in_bundle(model.root, made, _entries(job, chosen, tried))
    workspace.notify(Progress("finish", 2, 2))
    return Exported(path, evidence, chosen.reasons, chosen.rejected)


def _evidence(
    job: ExportJob, manifest: Manifest, chosen: Chosen, tried: TriedExport, samples: ComparedSamples, allowed: float, made: Path,
    host: Host,
) -> ExportEvidence:  # fmt: skip
    verified, timing = chosen.best.verified, chosen.best.timing
    files = {entry.path: entry.sha256 for entry in manifest.files}
    return ExportEvidence(
        target=job.target,
        model=manifest.name,
        version=manifest.version,
        golden=files[manifest.golden.path],
        plan=verified.candidate.plan,
        files=export_evidence.files_sum(made),
        verification=ON_TARGET if tried.on_target else NOT_ON_TARGET,
        host=host,
        device=tried.device,
        tools=tried.tools,
        samples=samples,
        max_rel=max(verified.parity.max_rel, tried.parity.max_rel),
        max_abs=max(verified.parity.max_abs, tried.parity.max_abs),
        gate=allowed,
        passed=True,
        ms=timing.latency_ms.value if timing else None,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _entries(job: ExportJob, chosen: Chosen, tried: TriedExport) -> tuple[CertifiedExport, ...]:
    """What the certificate says of the form that is packed, and of the others that passed."""
    place = f"{manifests.EXPORTS}/{job.target}"

    def entry(form: TargetForm, path: str, reasons: tuple[str, ...]) -> CertifiedExport:
        moved = replace(form.verified, candidate=replace(form.verified.candidate, path=Path(path or "not-packed")))
        return CertifiedExport(job.target, path, ON_TARGET if tried.on_target else NOT_ON_TARGET, moved, form.timing, reasons)

    return (entry(chosen.best, place, chosen.reasons), *(entry(form, "", ()) for form in chosen.others))
