"""A bundle's model for one other target: made, verified, timed, finished, tried as it lies there, and then put in its place whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from roadworthy.build import imports
from roadworthy.build.data import dataset
from roadworthy.build.exported import target
from roadworthy.build.exporting import placed
from roadworthy.build.exporting.candidates import Chosen, TargetForm, chosen_form
from roadworthy.build.exporting.data_trial import data_trial
from roadworthy.build.exporting.finished import FinishRequest, TriedExport, TryRequest, finish, try_finished
from roadworthy.build.exporting.golden_trial import golden_answers, golden_trial
from roadworthy.build.exporting.job import Exported, ExportJob
from roadworthy.build.package import gate
from roadworthy.build.search import Trial
from roadworthy.build.workspace import STEP_SECONDS, Notify, Progress, Workspace, open_workspace
from roadworthy.bundle import export_evidence, store
from roadworthy.bundle.certificate import NOT_ON_TARGET, ON_TARGET, Certificate, CertifiedExport
from roadworthy.bundle.export_evidence import ComparedSamples, ExportEvidence
from roadworthy.bundle.manifest import Manifest
from roadworthy.core import registry
from roadworthy.core.errors import EnvironmentFault, NoCandidate, UsageError
from roadworthy.core.isolation import usercode
from roadworthy.core.isolation.confinement import Confinement
from roadworthy.core.stages import Graph

__all__ = ["ExportJob", "Exported", "export", "export_on", "refuse_unknown"]


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

    Raises UsageError for an unknown target, BundleError for a damaged bundle, EnvironmentFault where this machine lacks something,
    NoCandidate where nothing that was made gives the answers. Nothing is written then.
    """
    refuse_unknown((job.target,))
    if job.output is not None:
        store.refuse_other_content(job.output, export_evidence.NAME)
    manifest = store.read(job.bundle, whole=True)
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
        graphs = packed_graphs(job, manifest)
        if job.data is None:
            return export_on(job, golden_trial(job.bundle, manifest, graphs, here), here, evaluated=0)
        framework = store.read_certificate(job.bundle).origin.framework
        trial = data_trial(job.data, manifest, graphs, framework, here)
        return export_on(job, trial, here, evaluated=trial.samples.count)


def _code_folders(data: str | None) -> tuple[Path, ...]:
    """The folder that the code of ``data`` comes from, where it names some."""
    if data is None or Path(data).exists() or not dataset.is_code(data):
        return ()
    file = Path(data.partition(":")[0])
    return (usercode.package_root(file.resolve()) if file.suffix == ".py" else Path.cwd(),)


def export_on(job: ExportJob, trial: Trial, workspace: Workspace, *, evaluated: int) -> Exported:
    """Export the bundle of ``job``, verified on the samples of ``trial``, of which ``evaluated`` are not golden ones.

    The golden samples are answered by the finished export too.
    """
    # The steps work in directories of their own.
    job = replace(job, bundle=job.bundle.absolute())
    # Nothing of the user's runs here, and the programs of a target write where they like.
    workspace = replace(workspace, confinement=Confinement(Path.cwd(), None), path=workspace.folder(f"export/{job.target}"))
    workspace.path.mkdir(parents=True)
    manifest, certificate = store.read(job.bundle), store.read_certificate(job.bundle)
    graphs = packed_graphs(job, manifest)
    golden, reference = golden_answers(job.bundle, manifest, graphs, workspace)
    chosen = chosen_form(job, manifest, certificate, graphs, trial, workspace)

    plan, made = chosen.best.verified.candidate.plan, workspace.folder("finished")
    allowed = gate(chosen.best.verified, manifest.tolerance)
    workspace.begin("finish", 2)
    request = FinishRequest(job.bundle, job.target, plan, chosen.best.verified.candidate.path, allowed, graphs, made)
    text = workspace.step(finish, request, "finish", imports.to_run(plan)).text
    workspace.notify(Progress("finish", 1, 2))
    asked = TryRequest(made, plan, manifest.signature, golden, reference)
    tried = workspace.step(try_finished, asked, "try", imports.to_run(plan))
    if tried.parity.max_rel > allowed:
        raise NoCandidate(f"the finished export is off by {tried.parity.max_rel:.3g} of the output's scale, and {allowed:.3g} is allowed")
    if job.on_target and not tried.on_target:
        raise EnvironmentFault(f"{job.target} did not run on its target here; leave --run out to make it without that")
    evidence = _evidence(job, manifest, certificate, chosen, tried, allowed, made, workspace, evaluated)
    export_evidence.write(made / export_evidence.NAME, evidence)
    (made / export_evidence.README).write_text(placed.readme(evidence, text, chosen.reasons), encoding="utf-8")
    path = placed.alone(made, job.output) if job.output else placed.in_bundle(job.bundle, made, _entries(job, chosen, tried))
    workspace.notify(Progress("finish", 2, 2))
    return Exported(path, evidence, chosen.reasons, chosen.rejected)


def packed_graphs(job: ExportJob, manifest: Manifest) -> tuple[Graph, ...]:
    """The graphs in the bundle; UsageError where it holds none, or none that the target starts from."""
    graphs = tuple(
        Graph(one.format, (job.bundle / one.path).absolute(), one.signature, "packed", precision=one.precision)
        for one in manifest.graphs
        if (job.bundle / one.path).exists()
    )
    wanted = target(job.target).ACCEPTS
    if any(graph.format in wanted for graph in graphs):
        return graphs
    held = f"it holds it as {', '.join(graph.format for graph in graphs)}" if graphs else "it was packed without graphs"
    raise UsageError(
        f"{job.bundle} cannot be exported to {job.target}, which starts from the model as {' or '.join(wanted)}: {held}. Deploy the model "
        f"again with this version and without --no-graphs, or with --export {job.target}"
    )


def _evidence(
    job: ExportJob, manifest: Manifest, certificate: Certificate, chosen: Chosen, tried: TriedExport, allowed: float, made: Path,
    workspace: Workspace, evaluated: int,
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
        host=workspace.host,
        device=tried.device,
        tools=tried.tools,
        samples=ComparedSamples(manifest.golden.samples, evaluated, certificate.samples.kind == "generated"),
        max_rel=max(verified.parity.max_rel, tried.parity.max_rel),
        max_abs=max(verified.parity.max_abs, tried.parity.max_abs),
        gate=allowed,
        passed=True,
        ms=timing.latency_ms.value if timing else None,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _entries(job: ExportJob, chosen: Chosen, tried: TriedExport) -> tuple[CertifiedExport, ...]:
    """What the certificate says of the form that is packed, and of the others that passed."""
    place = f"exports/{job.target}"

    def entry(form: TargetForm, path: str, reasons: tuple[str, ...]) -> CertifiedExport:
        moved = replace(form.verified, candidate=replace(form.verified.candidate, path=Path(path or "not-packed")))
        return CertifiedExport(job.target, path, ON_TARGET if tried.on_target else NOT_ON_TARGET, moved, form.timing, reasons)

    return (entry(chosen.best, place, chosen.reasons), *(entry(form, "", ()) for form in chosen.others))
