"""``roadworthy doctor``: show what this host can do."""

from __future__ import annotations

import click

from roadworthy.cli.options import json_option


@click.command("doctor")
@click.option("--peak", is_flag=True, help="Measure how fast this host multiplies matrices in float32, bf16 and int8; half a minute.")
@click.option("--clear-cache", is_flag=True, help="First remove what earlier deployments made, which later ones would use again.")
@json_option
def command(as_json: bool, peak: bool, clear_cache: bool) -> None:
    """Show this CPU's features, threads and limits, which runtimes work here, and the cache of earlier deployments."""
    from roadworthy.build.reuse import store
    from roadworthy.cli.console.doctor import show_doctor
    from roadworthy.cli.examination import examine

    if clear_cache:
        store.clear()
    show_doctor(examine(peak=peak), as_json=as_json)
