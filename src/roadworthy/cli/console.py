"""What a person sees in the terminal: live progress, the race table, and plain JSON for whoever asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from roadworthy.build.workspace import Notify, Progress
from roadworthy.bundle.certificate import Certificate, by_reason, plan_names
from roadworthy.cli.doctor import Examination
from roadworthy.core import codec
from roadworthy.core.comparison import Comparison, Form, Side
from roadworthy.core.evidence import Interval, Note
from roadworthy.core.stages import Measured, Verified

if TYPE_CHECKING:
    from roadworthy.build.sources.inspect import Inspection
    from roadworthy.cli.check import Checkup
    from roadworthy.serving.engine.predict import FilePrediction

WIDE = 160
"""Columns where the output goes to a file or a pipe, which have no width of their own."""

output = Console(highlight=False)
if not output.is_terminal:
    output = Console(highlight=False, width=WIDE)
status = Console(stderr=True, highlight=False)


def show_json(value: object) -> None:
    """``value`` on standard output, indented."""
    print(codec.to_json(value, indent=2).decode())


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Notify]:
    """A live display on standard error; one plain line a stage where that is no terminal."""
    if quiet:
        yield lambda event: None
        return
    if not status.is_terminal:
        seen: list[str] = []

        def line(event: Progress) -> None:
            if event.said:
                status.print(event.said, markup=False, soft_wrap=True)
            elif event.stage not in seen:
                seen.append(event.stage)
                status.print(f"{event.stage} ...")

        yield line
        return
    columns = (SpinnerColumn(), TextColumn("{task.description:<12}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
    # Redrawn seldom: a busy display would be a neighbour that the race has to wait for.
    with Bars(*columns, TextColumn("[dim]{task.fields[text]}"), console=status, refresh_per_second=2) as bars:
        tasks: dict[str, object] = {}

        def update(event: Progress) -> None:
            if event.said:
                bars.console.print(event.said, markup=False, soft_wrap=True)
                return
            if event.stage not in tasks:
                tasks[event.stage] = bars.add_task(event.stage, text="")
            bars.update(tasks[event.stage], completed=event.done, total=event.total, text=escape(event.text))  # type: ignore[arg-type]

        yield update


def show_deployment(bundle: Path, certificate: Certificate, *, as_json: bool) -> None:
    """The table of every candidate, the choice and why, and where the bundle is."""
    if as_json:
        show_json({"bundle": bundle, "certificate": certificate})
        return
    show_notes(certificate.notes)
    output.print(_race(certificate))
    for group in by_reason(certificate.rejected):
        names = plan_names(entry.plan for entry in group)
        output.print(f"[red]rejected[/] {escape(names)} [dim]({group[0].stage})[/]: {escape(group[0].reason)}")
    for export in certificate.exports:
        plan = export.measured.verified.candidate.plan
        where = f"in {export.path}" if export.path else "not packed"
        output.print(f"for the target {escape(export.target)} ({export.verification}): {escape(plan.name)}, {escape(where)}")
    for reason in certificate.unavailable:
        output.print(f"[dim]not tried: {escape(reason)}[/]")
    output.print()
    for reason in certificate.choice.reasons:
        output.print(escape(reason))
    output.print(f"\nBundle  {bundle}\nReport  {bundle / 'report.html'}", soft_wrap=True)


def show_notes(notes: Sequence[Note]) -> None:
    """One line for each note; a warning says so."""
    for note in notes:
        label = "[bold yellow]warning[/]" if note.warning else "[dim]note[/]"
        output.print(f"{label} {escape(note.text)}", soft_wrap=True)


def _race(certificate: Certificate) -> Table:
    host = certificate.host
    title = f"{certificate.name} on {host.cpu}, {host.cores} cores, {certificate.samples.evaluated:,} {certificate.samples.words}"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    table.add_column("candidate", no_wrap=True)
    for heading in (certificate.goal.metric, "median ms", "p99 ms", "x original", "samples/s", "RAM MB", "cold s", "disk MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    ranked = sorted(certificate.measured, key=lambda entry: entry.timing.latency_ms.value)
    for entry in (certificate.baseline, *ranked):
        name = entry.verified.candidate.plan.name
        # Colours do not reach a log file: the roles are said in words too.
        roles = {certificate.choice.winner: " (winner)", certificate.choice.fallback: " (fallback)"}
        label = f"{name} (original)" if entry is certificate.baseline else f"{name}{roles.get(name, '')}"
        table.add_row(label, *_figures(entry), style="bold green" if name == certificate.choice.winner else None)
    if not all(map(_certain, (certificate.baseline, *certificate.measured))):
        table.caption = "? too few undisturbed rounds, or rounds that do not agree; a ratio with ? counts disturbed rounds too"
    return table


def _certain(entry: Measured) -> bool:
    timing = entry.timing
    return timing.trusted and timing.paired and (timing.rate is None or timing.rate.trusted)


def _figures(entry: Measured) -> tuple[str, ...]:
    timing, rate = entry.timing, entry.timing.rate
    doubt = _doubt(timing.trusted)
    return (
        _score(entry.verified),
        f"{doubt}{_short(timing.latency_ms.value)}",
        f"{doubt}{_short(timing.p99_ms)}",
        f"{_doubt(timing.paired)}{timing.speedup.value:.2f} [{timing.speedup.low:.2f}, {timing.speedup.high:.2f}]",
        f"{_doubt(rate.trusted)}{rate.per_second.value:.0f} at {rate.batch}" if rate else "-",
        f"{timing.memory_mb:.0f}",
        f"{timing.cold_ms / 1000:.2f}",
        _short(timing.size_mb),
    )


def _doubt(trusted: bool) -> str:
    return "" if trusted else "? "


def _short(value: float) -> str:
    """Three digits that count, and never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _score(verified: Verified) -> str:
    if verified.score is None:
        return f"error {verified.parity.max_rel:.1e}"
    value = verified.score.value
    return f"{100 * value.value:.2f} % [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def show_comparison(comparison: Comparison, page: Path | None, *, as_json: bool) -> None:
    """Whether they are one function, and why not; then every form of each with what it costs."""
    if as_json:
        show_json(comparison)
        return
    for pairing in comparison.pairings:
        colour = "green" if pairing.same else "red"
        output.print(f"[bold {colour}]{'the same function' if pairing.same else 'not the same function'}[/]  {escape(pairing.verdict)}")
        if not pairing.same and pairing.first:
            output.print(f"first to differ  {escape(pairing.first)}")
        for words in () if pairing.same else pairing.explanations:
            output.print(f"why              {escape(words)}")
        for words in pairing.notes:
            output.print(f"[dim]note             {escape(words)}[/]")
        output.print(f"[dim]layers           {len(pairing.layers)} pairs matched, {sum(pair.same for pair in pairing.layers)} agree[/]")
    for side in comparison.sides:
        if side.forms:
            output.print(_forms(side))
        for entry in side.failed:
            output.print(f"[red]failed[/] {escape(entry.plan.name)} [dim]({entry.stage})[/]: {escape(entry.reason)}")
        for words in side.notes:
            output.print(f"[dim]{escape(words)}[/]")
    if page is not None:
        output.print(f"\nPage  {page}", soft_wrap=True)


def _forms(side: Side) -> Table:
    table = Table(title=f"{side.name}, {side.framework}, {side.parameters:,} parameters", title_justify="left", box=SIMPLE)
    table.add_column("form", no_wrap=True)
    headings = ("1: ms", "x orig.", "8: ms", "32: ms", "samples/s", "import", "load", "first 1", "8", "32", "made s", "MB")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    original = side.forms[0]
    for form in side.forms:
        table.add_row(*_form(form, form is original), style="bold" if form is original else "cyan" if form.family == "shared" else None)
    if not all(one.trusted and one.paired for form in side.forms for one in form.steady):
        table.caption = "? too few undisturbed rounds, or rounds that do not agree"
    return table


def _form(form: Form, original: bool) -> tuple[str, ...]:
    firsts = {one.batch: one.ms for one in form.first_calls}
    single = form.at(1)

    def warm(batch: int) -> str:
        one = form.at(batch)
        return "-" if one is None else f"{_doubt(one.trusted)}{_short(one.ms.value)}"

    return (
        f"{form.plan.name}{' (orig.)' if original else ''}",
        warm(1),
        f"{_doubt(single.paired)}{_short(single.ratio.value)}" if single and single.ratio else "-",
        warm(8),
        warm(32),
        f"{_doubt(form.trusted)}{form.throughput:.0f} at {form.best_batch}",
        f"{form.import_ms / 1000:.2f}",
        f"{form.load_ms / 1000:.2f}",
        *(_short(firsts[batch]) if batch in firsts else "-" for batch in (1, 8, 32)),
        f"{form.made_s:.1f}",
        f"{form.memory_mb:.0f}",
    )


def show_doctor(examination: Examination, *, as_json: bool) -> None:
    """The host, then each runtime: works, or what to do."""
    if as_json:
        show_json(examination)
        return
    host = examination.host
    output.print(f"CPU       {escape(host.cpu)} ({host.architecture})")
    output.print(f"features  {' '.join(host.features)}")
    output.print(f"cores     {host.cores} usable of {host.machine_cores} (affinity and cgroup quota counted)")
    output.print(f"memory    {host.memory_mb} MiB usable")
    output.print(f"system    {host.system}, Python {host.python}")
    serving = examination.serving
    threads = "1 thread" if serving.threads == 1 else f"{serving.threads} threads"
    output.print(f"serving   {serving.workers} workers of {threads}, before a model is measured\n")
    table = Table("runtime", "state", "packages or remedy")
    for health in examination.runtimes:
        state = "[green]works[/]" if health.works else "[yellow]missing[/]"
        table.add_row(health.runtime, state, escape(", ".join(health.versions) if health.works else health.remedy))
    output.print(table)


def rows(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """A plain table of strings."""
    table = Table(*headings)
    for line in lines:
        table.add_row(*(escape(cell) for cell in line))
    return table


def show_checkup(found: Checkup, *, as_json: bool) -> None:
    """What held, then today's latency beside the certificate's."""
    if as_json:
        show_json(found)
        return
    golden = found.golden
    output.print(f"integrity  {found.files} files as they were packed")
    output.print(
        f"golden     {golden.samples} samples answered by {golden.variant}: error {golden.error:.2g}, at most {golden.gate:.2g} allowed"
    )
    for note in found.notes:
        output.print(f"note       {escape(note)}")
    table = Table("", "certificate", "here, today")
    table.add_row("CPU", escape(found.certified_on.cpu), escape(found.here.cpu))
    table.add_row("cores", str(found.certified_on.cores), str(found.here.cores))
    table.add_row("median ms, batch 1", _interval(found.certified_ms), _interval(found.today.latency_ms) + _restless(found))
    output.print(table)


def _restless(found: Checkup) -> str:
    today = found.today
    if today.trusted:
        return ""
    if today.noisy:
        return f" (not certain: other processes disturbed {today.noisy} of {today.rounds + today.noisy} rounds)"
    return f" (not certain: the {today.rounds} rounds do not agree)"


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def show_predictions(answers: Sequence[FilePrediction], *, as_json: bool) -> None:
    """For each file its samples, each with its labels and probabilities; outputs without classes as shapes."""
    if as_json:
        show_json([_prediction(answer) for answer in answers])
        return
    for answer in answers:
        for number, ranking in enumerate(answer.prediction.ranked):
            name = str(answer.file) if len(answer.prediction.ranked) == 1 else f"{answer.file}[{number}]"
            text = ", ".join(f"{one.label} {one.score:.4f}" for one in ranking)
            output.print(f"{escape(name)}: {escape(text)}", soft_wrap=True)
        if not any(answer.prediction.ranked):
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in answer.prediction.outputs.items())
            output.print(f"{escape(str(answer.file))}: {escape(shapes)} (--json prints the numbers)", soft_wrap=True)


def _prediction(answer: FilePrediction) -> dict[str, object]:
    outputs = {name: _readable(array.tolist()) for name, array in answer.prediction.outputs.items()}
    return {"file": answer.file, "samples": answer.prediction.ranked, "outputs": outputs}


def _readable(value: object) -> object:
    """Byte strings, nested as they may be, as the text that they mostly are."""
    if isinstance(value, list):
        return [_readable(one) for one in value]
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def show_inspection(found: Inspection, *, as_json: bool) -> None:
    """What the file is, what it could execute, and its tensors."""
    if as_json:
        show_json(found)
        return
    output.print(f"{escape(str(found.path))}: {found.kind} ({found.framework}), {found.size:,} bytes", soft_wrap=True)
    output.print(f"sha256    {found.sha256}")
    if found.unsupported:
        output.print(f"[yellow]{escape(found.unsupported)}[/]")
    if found.signature:
        output.print(f"inputs    {escape(', '.join(map(str, found.signature.inputs)))}", soft_wrap=True)
        # A Keras file states what its model takes, and not what it gives.
        if found.signature.outputs:
            output.print(f"outputs   {escape(', '.join(map(str, found.signature.outputs)))}", soft_wrap=True)
    could = escape(", ".join(found.executes)) if found.executes else "nothing"
    output.print(f"reading it the ordinary way could run: {could}", soft_wrap=True)
    for note in found.notes:
        output.print(f"note      {escape(note)}", soft_wrap=True)
    if found.tensors:
        output.print(f"{len(found.tensors)} tensors, {found.values:,} values")
        output.print(rows(("tensor", "dtype", "shape"), [(one.name, one.dtype, str(list(one.shape))) for one in found.tensors]))
