"""``roadworthy export``: a bundle's model for another place than a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from roadworthy.cli.options import EXISTING, duration, json_option, names
from roadworthy.core import registry


@click.command("export")
@click.argument("bundle", type=EXISTING)
@click.option(
    "--to",
    "targets",
    multiple=True,
    required=True,
    callback=names,
    help=f"Where it is to run: {', '.join(registry.targets())}; several, comma-separated, one after the other.",
)
@click.option(
    "-o", "--output", type=EXISTING, help="A directory for the export; by default it becomes part of the bundle, in exports/TARGET."
)
@click.option("--data", help="Samples to compare the answers on beside the golden ones, in any form that deploy takes; docs/data.md.")
@click.option("--precisions", multiple=True, callback=names, help="Try these precisions only: fp32, fp16, int8.")
@click.option("--forms", multiple=True, callback=names, help="Try these forms of the target only (docs/targets.md).")
@click.option("--run", "on_target", is_flag=True, help="Refuse an export that could not be run on its target on this machine.")
@click.option("--time-budget", "seconds", default="30m", show_default=True, callback=duration, help="For each target, e.g. 90s, 10m.")
@click.option("--no-cache", "cache", is_flag=True, flag_value=False, default=True, help="Make files anew that an earlier export made.")
@json_option
def command(bundle: Path, targets: tuple[str, ...], output: Path | None, as_json: bool, **options: Any) -> None:
    """Export the model of a bundle to another place: a browser, one executable, another server, an accelerator.

    What is made is verified like the bundle itself, in the real thing where that can be run here. docs/targets.md lists the targets.
    """
    from roadworthy.build import exporting
    from roadworthy.build.exporting import ExportJob
    from roadworthy.cli.console import terminal
    from roadworthy.cli.console.export import show_export
    from roadworthy.cli.console.progress import progress

    exporting.refuse_unknown(targets)
    made = []
    for target in targets:
        place = output / target if output is not None and len(targets) > 1 else output
        with progress(quiet=as_json) as notify:
            made.append(exporting.export(ExportJob(bundle, target, place, **options), notify))
        if not as_json:
            show_export(made[-1])
    if as_json:
        terminal.show_json(made)
