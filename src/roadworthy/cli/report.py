"""``roadworthy report``: show the evidence of a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from roadworthy.cli.options import EXISTING, json_option


@click.command("report")
@click.argument("bundle", type=EXISTING)
@json_option
def command(bundle: Path, as_json: bool) -> None:
    """Show the evidence of a bundle as a table, and where its report is."""
    from roadworthy.bundle import store
    from roadworthy.cli.console.deployment import show_deployment

    store.read(bundle)
    show_deployment(bundle, store.read_certificate(bundle), as_json=as_json)
