"""A deployment: every candidate, the choice and its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from roadworthy.bundle.certificate import Certificate, StepTime, by_reason, plan_names
from roadworthy.bundle.pixels import ConventionTrial
from roadworthy.bundle.shares import ShareProof
from roadworthy.cli.console import terminal
from roadworthy.cli.console.compression import show_steps
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Measured, Verified

SHOWN_CONVENTIONS = 3
"""The best conventions that are named."""


def show_deployment(bundle: Path, certificate: Certificate, *, as_json: bool) -> None:
    """The table of every candidate, the choice and its reasons, and where the bundle is."""
    if as_json:
        terminal.show_json({"bundle": bundle, "certificate": certificate})
        return
    if certificate.claim:
        terminal.output.print(escape(certificate.claim), soft_wrap=True)
    show_notes(certificate.notes)
    terminal.output.print(_table(certificate))
    for group in by_reason(certificate.rejected):
        names = plan_names(entry.plan for entry in group)
        label = "[dim]left out[/]" if group[0].left_out else "[red]rejected[/]"
        terminal.output.print(f"{label} {escape(names)} [dim]({group[0].stage})[/]: {escape(group[0].reason)}")
    for reason in certificate.unavailable:
        terminal.output.print(f"[dim]not tried: {escape(reason)}[/]")
    terminal.output.print()
    if certificate.original is not None:
        terminal.output.print(f"{escape(certificate.goal.metric)}: {certificate.original.kind}; {_budget(certificate)}.", soft_wrap=True)
    if certificate.preprocessing:
        read = f" (read from {certificate.preprocessing_proof.origin})" if certificate.preprocessing_proof.origin else ""
        terminal.output.print(escape(f"Each sample is {'; '.join(certificate.preprocessing)}{read}."), soft_wrap=True)
    if certificate.preprocessing_proof.conventions:
        _show_conventions(certificate.preprocessing_proof.conventions)
    if certificate.compression:
        show_steps(certificate.compression)
    for reason in certificate.choice.reasons:
        terminal.output.print(escape(reason))
    if certificate.undecided:
        terminal.output.print(escape(f"{certificate.undecided}."), soft_wrap=True)
    for proof in certificate.shares:
        if proof.variant == certificate.choice.winner:
            terminal.output.print(escape(_served(proof)))
    for export in certificate.exports:
        if export.path:
            name = escape(export.verified.candidate.plan.name)
            terminal.output.print(f"For the target {escape(export.target)}: {name} in {escape(export.path)}, {export.verification}.")
    terminal.output.print(f"\nBundle  {bundle}\nReport  {bundle / 'report.html'}", soft_wrap=True)


def _show_conventions(found: ConventionTrial) -> None:
    """The best of the usual conventions beside the one that is used."""
    if not found.tried:
        terminal.output.print(escape(f"Other conventions were not tried: {found.left_out}."), soft_wrap=True)
        return
    shown = [one for place, one in enumerate(found.tried) if one.given or place < SHOWN_CONVENTIONS]
    said = "; ".join(f"{found.shown(one.value)} {'as it is' if one.given else one.name}" for one in shown)
    left = f" ({found.left_out})" if found.left_out else ""
    terminal.output.print(escape(f"The usual conventions on {found.samples:,} images, {found.metric}: {said}{left}."), soft_wrap=True)


def show_times(certificate: Certificate) -> None:
    """The seconds of every stage, which add up to the total, and those of the child processes within each, the longest first."""
    table = Table(title="where the time went", title_justify="left", box=SIMPLE)
    table.add_column("stage", no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("of which (several may run at once)")
    table.add_column("seconds", justify="right")
    for stage in certificate.stages:
        longest = sorted(stage.steps, key=lambda step: -step.seconds)
        names, seconds = ("\n".join(column) for column in ([_named(step) for step in longest], [f"{step.seconds:.1f}" for step in longest]))
        table.add_row(escape(stage.name), f"{stage.seconds:.1f}", escape(names), seconds)
    table.add_section()
    table.add_row("all", f"{certificate.seconds:.1f}", "", "")
    terminal.output.print(table)


def _named(step: StepTime) -> str:
    return f"{step.name} (made {step.reused})" if step.reused else step.name


def _served(proof: ShareProof) -> str:
    """How a server's worker runs the winner on one share of the cores."""
    share = proof.share
    where = f"A worker that has {share.cores} core{'s' if share.cores != 1 else ''}"
    if share.plan is None:
        return f"{where} does not run it: {share.fault}"
    took = f": {terminal.short(proof.latency_ms.value)} ms a request, one at a time" if proof.latency_ms else ""
    busy = f"; {proof.workers} busy: {proof.per_second.value:.0f} samples/s at batch {proof.batch}" if proof.per_second else ""
    return f"{where} runs it on {share.plan.threads} thread{'s' if share.plan.threads != 1 else ''}{took}{busy}."


def _budget(certificate: Certificate) -> str:
    goal, score = certificate.goal, certificate.original
    allowed = score.shown(goal.max_drop) if score else ""
    part = f", {goal.budget} of the original's score" if goal.budget.endswith("%") and score and score.original else ""
    return f"a lossy candidate may be worse by {allowed}{part}"


def show_notes(notes: Sequence[Note]) -> None:
    """One line for each note; a warning says so."""
    for note in notes:
        label = "[bold yellow]warning[/]" if note.warning else "[dim]note[/]"
        terminal.output.print(f"{label} {escape(note.text)}", soft_wrap=True)


def _table(certificate: Certificate) -> Table:
    host = certificate.host
    title = f"{certificate.name} on {host.cpu}, {host.cores} cores, {certificate.samples.evaluated:,} {certificate.samples.words}"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    table.add_column("candidate", no_wrap=True)
    counted = ("samples",) if certificate.samples.kept else ()
    for heading in (certificate.goal.metric, *counted, "median ms", "p99 ms", "x original", "samples/s", "RAM MB", "cold s", "disk MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    ranked = sorted(certificate.measured, key=lambda entry: entry.timing.latency_ms.value)
    for entry in (certificate.baseline, *ranked):
        name = entry.verified.candidate.plan.name
        # A log file has no colours, so the roles are in words too.
        roles = {certificate.choice.winner: " (winner)", certificate.choice.fallback: " (fallback)"}
        label = f"{name} (original)" if entry is certificate.baseline else f"{name}{roles.get(name, '')}"
        score, *others = _figures(entry)
        table.add_row(
            label,
            score,
            *((_samples(entry.verified),) if counted else ()),
            *others,
            style="bold green" if name == certificate.choice.winner else None,
        )
    captions = []
    if not all(map(_certain, (certificate.baseline, *certificate.measured))):
        captions.append("? too few undisturbed rounds, or rounds that do not agree; a ratio with ? counts disturbed rounds too")
    if counted:
        captions.append(
            f"{certificate.samples.kept:,} samples were kept for what was chosen; < stopped early, when the verdict was certain"
        )
    table.caption = "\n".join(captions) or None
    return table


def _certain(entry: Measured) -> bool:
    timing = entry.timing
    return timing.trusted and timing.paired and (timing.rate is None or timing.rate.trusted)


def _figures(entry: Measured) -> tuple[str, ...]:
    timing, rate = entry.timing, entry.timing.rate
    mark = terminal.mark(timing.trusted)
    return (
        _score(entry.verified),
        f"{mark}{terminal.short(timing.latency_ms.value)}",
        f"{mark}{terminal.short(timing.p99_ms)}",
        f"{terminal.mark(timing.paired)}{timing.speedup.value:.2f} [{timing.speedup.low:.2f}, {timing.speedup.high:.2f}]",
        f"{terminal.mark(rate.trusted)}{rate.per_second.value:.0f} at {rate.batch}" if rate else "-",
        f"{timing.memory_mb:.0f}",
        f"{timing.cold_ms / 1000:.2f}",
        terminal.short(timing.size_mb),
    )


def _samples(verified: Verified) -> str:
    """How many samples the figure is of."""
    score = verified.score
    return f"{verified.parity.samples:,}" if score is None else f"{'< ' if score.stopped else ''}{score.samples:,}"


def _score(verified: Verified) -> str:
    if verified.score is None:
        return f"error {verified.parity.max_rel:.1e}"
    score, value = verified.score, verified.score.value
    if not score.percent:
        return f"{value.value:.4g} [{value.low:.4g}, {value.high:.4g}]"
    return f"{100 * value.value:.2f} % [{100 * value.low:.1f}, {100 * value.high:.1f}]"
