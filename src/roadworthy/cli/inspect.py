"""``roadworthy inspect``: show what a model file is."""

from __future__ import annotations

from pathlib import Path

import click

from roadworthy.cli.options import EXISTING, json_option


@click.command("inspect")
@click.argument("file", type=EXISTING)
@json_option
def command(file: Path, as_json: bool) -> None:
    """Show what a model file is and what it could execute; nothing from it is run."""
    from roadworthy.build.sources.inspect import InspectRequest, inspect_step
    from roadworthy.cli.console.inspection import show_inspection
    from roadworthy.core.isolation import isolate

    show_inspection(isolate.call(inspect_step, InspectRequest(file)), as_json=as_json)
