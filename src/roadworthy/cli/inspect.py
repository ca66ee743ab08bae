"""``roadworthy inspect``: show what a model file is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from roadworthy.cli.options import EXISTING, json_option

if TYPE_CHECKING:
    from roadworthy.build.sources.inspect import Inspection


@click.command("inspect")
@click.argument("file", type=EXISTING)
@json_option
def command(file: Path, as_json: bool) -> None:
    """Show what a model file is and what it could execute; nothing from it is run."""
    from roadworthy.cli.console.inspection import show_inspection

    show_inspection(inspect_file(file), as_json=as_json)


def inspect_file(file: Path | str) -> Inspection:
    """What ``file`` is, read in a child process without running anything from it. Raises SourceError where it cannot be read."""
    from roadworthy.build.sources.inspect import InspectRequest, inspect_step
    from roadworthy.core.isolation import isolate

    return isolate.call(inspect_step, InspectRequest(Path(file)))
