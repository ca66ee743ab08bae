"""``roadworthy check``: check a bundle on this host, or take evidence from another one into it."""

from __future__ import annotations

from pathlib import Path

import click

from roadworthy.cli.options import EXISTING, json_option


@click.command("check")
@click.argument("bundle", type=EXISTING)
@click.option(
    "--merge",
    "evidence",
    type=EXISTING,
    metavar="EVIDENCE.json",
    help="Take the evidence that verify.py of an export wrote on its target into the bundle, in place of the check.",
)
@json_option
def command(bundle: Path, evidence: Path | None, as_json: bool) -> None:
    """Check a bundle on this host: its files, its golden samples, and today's latency beside the certificate's.

    With --merge: what verify.py of an export found on its target becomes a part of the bundle and its certificate. It must be of the very
    files that the bundle holds, and within their gate. The file is the claim of the person who brings it, and no proof against malice.
    """
    if evidence is not None:
        from roadworthy.build.exporting.merged import merge_evidence
        from roadworthy.cli.console.export import show_merged

        show_merged(bundle, merge_evidence(bundle, evidence), as_json=as_json)
        return
    from roadworthy.cli.checkup import checkup
    from roadworthy.cli.console.checkup import show_checkup

    show_checkup(checkup(bundle), as_json=as_json)
