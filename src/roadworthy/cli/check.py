"""``roadworthy check``: check a bundle on this host."""

from __future__ import annotations

from pathlib import Path

import click

from roadworthy.cli.options import EXISTING, json_option


@click.command("check")
@click.argument("bundle", type=EXISTING)
@json_option
def command(bundle: Path, as_json: bool) -> None:
    """Check a bundle on this host: its files, its golden samples, and today's latency beside the certificate's."""
    from roadworthy.cli.checkup import checkup
    from roadworthy.cli.console.checkup import show_checkup

    show_checkup(checkup(bundle), as_json=as_json)
