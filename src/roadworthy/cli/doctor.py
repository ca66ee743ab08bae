"""``roadworthy doctor``: show what this host can do."""

from __future__ import annotations

import click

from roadworthy.cli.options import json_option


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Show this CPU's features, threads and limits, and which runtimes work here."""
    from roadworthy.cli.console.doctor import show_doctor
    from roadworthy.cli.examination import examine

    show_doctor(examine(), as_json=as_json)
