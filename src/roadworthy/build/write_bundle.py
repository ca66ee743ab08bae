"""The bundle of a deployment: the chosen candidates with all the evidence, opened by a server before it is in its place."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from roadworthy.build import lower, package
from roadworthy.build.certificate import Findings, reproductions
from roadworthy.build.job import Job
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.bundle.acceptance import Acceptance, AcceptanceRequest
from roadworthy.bundle.certificate import Certificate
from roadworthy.core.isolation import isolate
from roadworthy.preprocess.contract import Contract


def write_bundle(findings: Findings, certificate: Certificate, contract: Contract, job: Job, workspace: Workspace) -> None:
    """Write the bundle to ``job.output``. Raises BundleError where a server in a fresh process refuses to open it."""
    workspace.begin("pack")
    contract = replace(contract, answer=findings.trial.answer)
    plans = (findings.choice.winner, findings.choice.fallback)
    by_name = {one.verified.candidate.plan.name: one.verified for one in findings.race.measured}
    request = package.PackRequest(
        certificate=certificate,
        contract=contract,
        version=job.version,
        variants=tuple(by_name[name] for name in plans if name),
        golden=findings.data.evaluation,
        answers=findings.trial.reference.open(),
        reproduce=reproductions(job, findings.rejected),
        graphs=lower.for_exports(findings.graphs) if job.graphs else (),
    )
    package.pack(request, job.output, partial(_opened_by_a_server, workspace))
    workspace.notify(Progress("pack", 1, 1))


def _opened_by_a_server(workspace: Workspace, root: Path) -> Acceptance:
    """The new bundle at ``root``, opened in a fresh process. That is the server's own code, which nothing here imports."""
    log = workspace.folder("logs/accept.log")
    with workspace.clock.step("accept"):
        return isolate.call_named(
            "roadworthy.serving.engine.acceptance:accept", AcceptanceRequest(root), Acceptance, limits=workspace.limits, log=log
        )
