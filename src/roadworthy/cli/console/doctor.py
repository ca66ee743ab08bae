"""What this host can do."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from roadworthy.build.reuse.store import CacheState
from roadworthy.bundle.peak import HostPeak
from roadworthy.cli.console import terminal
from roadworthy.cli.examination import Examination


def show_doctor(examination: Examination, *, as_json: bool) -> None:
    """The host, then each runtime: that it works, or what to do."""
    if as_json:
        terminal.show_json(examination)
        return
    host = examination.host
    terminal.output.print(f"CPU       {escape(host.cpu)} ({host.architecture})")
    terminal.output.print(f"features  {' '.join(host.features)}")
    terminal.output.print(f"cores     {host.cores} usable of {host.machine_cores} (affinity and cgroup quota counted)")
    terminal.output.print(f"memory    {host.memory_mb} MiB usable")
    terminal.output.print(f"system    {host.system}, Python {host.python}")
    serving = examination.serving
    threads = "1 thread" if serving.threads == 1 else f"{serving.threads} threads"
    terminal.output.print(f"serving   {serving.workers} workers of {threads}, before a model is measured")
    terminal.output.print(f"cache     {_cache(examination.cache)}\n", soft_wrap=True)
    table = Table("runtime", "state", "packages or remedy")
    for health in examination.runtimes:
        state = "[green]works[/]" if health.works else "[yellow]missing[/]"
        table.add_row(health.runtime, state, escape(", ".join(health.versions) if health.works else health.remedy))
    terminal.output.print(table)
    targets = Table("export to", "state", "remedy")
    for target in examination.targets:
        targets.add_row(target.target, "[green]can be made[/]" if target.works else "[yellow]missing[/]", escape(target.remedy))
    terminal.output.print(targets)
    if examination.peak is not None:
        _show_peak(examination.peak)


def _show_peak(peak: HostPeak) -> None:
    """Two operations are a multiplication and an addition; the fastest call is what the host can do at least."""
    table = Table("matrix multiplication", "threads", "Gop/s, fastest call", "median", "95 % interval", "kernel")
    for one in peak.matrices:
        span = f"{one.gops.low:,.0f} to {one.gops.high:,.0f}"
        table.add_row(one.precision, str(one.threads), f"{one.best:,.0f}", f"{one.gops.value:,.0f}", span, escape(one.kernel))
    terminal.output.print(table)
    for reason in peak.unmeasured:
        terminal.output.print(f"not measured: {escape(reason)}")
    if peak.copied:
        span = f"{peak.copied.low:.3g} to {peak.copied.high:.3g}"
        terminal.output.print(f"memory    {peak.copied.value:.3g} GB/s copied by one thread ({span}), reads and writes counted")


def _cache(state: CacheState) -> str:
    """What earlier deployments made, and where; why it is not used, where that is so."""
    if state.fault:
        return f"not used: {escape(state.fault)}"
    held = f"{state.entries} results of earlier deployments, {terminal.size(state.size)} of at most {terminal.size(state.limit)}"
    return f"{escape(str(state.folder))}: {held}"
