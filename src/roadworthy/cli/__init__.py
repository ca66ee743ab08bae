"""The ``roadworthy`` command: its group of commands, and how errors and signals end it. Each command is a module beside this one."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

import click

from roadworthy.cli import check, compare, deploy, doctor, inspect, predict, report, serve, signals
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.host import library_caps
from roadworthy.core.version import __version__

INTERRUPTED = 130

EPILOG = """\b
Exit codes: 0 done; 1 a fault of Roadworthy's own; 2 wrong usage; 3 the source was refused or cannot be used;
4 data, labels or preprocessing; 5 no candidate within the budget; 6 a damaged bundle; 7 this machine lacks
something; 8 a step crashed, hung or ran out of memory; 130 interrupted; 129 and 143 ended by SIGHUP and SIGTERM."""


def main() -> NoReturn:
    """The ``roadworthy`` command; every error becomes one sentence and its exit code."""
    try:
        _run(as_json="--json" in sys.argv)
    finally:
        _clean_up()


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="roadworthy")
@click.pass_context
def commands(context: click.Context) -> None:
    """Put a trained model on a CPU server: the same answers, the fastest honest way to get them, and the proof."""
    # A server first finishes the requests that it has accepted, and has its own handlers for that.
    if context.invoked_subcommand != "serve":
        signals.end_on_signals()


for module in (check, compare, deploy, doctor, inspect, predict, report, serve):
    commands.add_command(module.command)


def _run(*, as_json: bool) -> NoReturn:
    try:
        # Set before any library is loaded that reads them.
        os.environ.update(library_caps())
        sys.exit(commands.main(standalone_mode=False) or 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail("interrupted; nothing was written", INTERRUPTED, as_json)
    except signals.EndedBySignal as end:
        _fail(f"ended by {signal.Signals(end.number).name}; nothing was written", 128 + end.number, as_json)
    except click.ClickException as problem:
        _fail(problem.format_message(), 2, as_json)
    except RoadworthyError as problem:
        _fail(problem.message, problem.exit_code, as_json)
    except BrokenPipeError:
        sys.exit(0)


def _fail(message: str, code: int, as_json: bool) -> NoReturn:
    signals.ignore_signals()
    if as_json:
        from roadworthy.core import codec

        click.echo(codec.to_json({"error": message, "exit_code": code}).decode())
    else:
        click.echo(f"error: {message}", err=True)
    sys.exit(code)


def _clean_up() -> None:
    """Stop every child process and remove every scratch directory; a second signal does not interrupt this."""
    if "roadworthy.core.isolation.isolate" not in sys.modules and "roadworthy.core.isolation.scratch" not in sys.modules:
        return
    from roadworthy.core.isolation import isolate, scratch

    signals.ignore_signals()
    isolate.stop_all()
    scratch.remove_all()
