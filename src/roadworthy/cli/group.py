"""The group of commands; each command is a module beside this one."""

from __future__ import annotations

import click

from roadworthy.cli import check, compare, compress, deploy, doctor, export, inspect, predict, report, serve
from roadworthy.cli.signals import end_on_signals
from roadworthy.core.version import __version__

EPILOG = """\b
Exit codes: 0 done; 1 a fault of Roadworthy's own; 2 wrong usage; 3 the source was refused or cannot be used;
4 data, labels or preprocessing; 5 no candidate within the budget; 6 a damaged bundle; 7 this machine lacks
something; 8 a step crashed, hung or ran out of memory; 130 interrupted; 129 and 143 ended by SIGHUP and SIGTERM."""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="roadworthy")
@click.pass_context
def commands(context: click.Context) -> None:
    """Put a trained model on a CPU server: the same answers, the fastest honest way to get them, and the proof."""
    # A server first finishes the requests that it has accepted, and has its own handlers for that.
    if context.invoked_subcommand != "serve":
        end_on_signals()


for module in (check, compare, compress, deploy, doctor, export, inspect, predict, report, serve):
    commands.add_command(module.command)
