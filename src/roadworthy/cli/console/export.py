"""What a person sees of an export: where it lies, how far its answers are from the original's, and what was refused."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from roadworthy.build.exporting.job import Exported
from roadworthy.build.exporting.merged import proof_of
from roadworthy.bundle.export_evidence import ExportEvidence
from roadworthy.cli.console import terminal


def show_export(one: Exported) -> None:
    """Print where an export lies, and what was found of it."""
    found = one.evidence
    timed = f", {found.ms:.3g} ms a call" if found.ms is not None else ""
    said = (
        f"{found.target}: {found.plan.name}, largest error {found.max_rel:.2g} of the output's scale ({found.gate:.2g} is allowed){timed}"
    )
    terminal.output.print(escape(f"{said}; {found.verification}."), soft_wrap=True)
    for reason in one.reasons:
        terminal.output.print(escape(f"  {reason}"), soft_wrap=True)
    for refused in one.rejected:
        terminal.output.print(escape(f"  not {refused.plan.name}: {refused.reason}"), soft_wrap=True)
    terminal.output.print(f"Export  {escape(str(one.path))}, see README.md there\n", soft_wrap=True)


def show_merged(bundle: Path, evidence: ExportEvidence, *, as_json: bool) -> None:
    """What the target showed, now in the bundle."""
    if as_json:
        terminal.show_json(evidence)
        return
    terminal.output.print(escape(f"{evidence.target}: {evidence.verification}: {proof_of(evidence).words}."), soft_wrap=True)
    terminal.output.print(
        escape(f"{bundle} says so now. The file is the claim of the person who brought it: nothing of it was run here."), soft_wrap=True
    )
