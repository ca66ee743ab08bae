"""``roadworthy report``: show the evidence of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from roadworthy.cli.options import EXISTING, json_option

if TYPE_CHECKING:
    from roadworthy.bundle.certificate import Certificate


@click.command("report")
@click.argument("bundle", type=EXISTING)
@json_option
def command(bundle: Path, as_json: bool) -> None:
    """Show the evidence of a bundle as a table, and where its report is."""
    from roadworthy.cli.console.deployment import show_deployment

    show_deployment(bundle, read_report(bundle), as_json=as_json)


def read_report(bundle: Path | str) -> Certificate:
    """The certificate of ``bundle``, whose files are checked first. Raises BundleError where one is damaged."""
    from roadworthy.bundle import store

    store.read(Path(bundle))
    return store.read_certificate(Path(bundle))
