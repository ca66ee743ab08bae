"""The ``roadworthy`` command: how it starts, and how errors and signals end it.

Little is imported before ``main`` runs, so that an interrupt during the imports ends the command as any other does.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from roadworthy.cli import signals

INTERRUPTED = 130


def main() -> NoReturn:
    """The ``roadworthy`` command; every error becomes one sentence and its exit code."""
    as_json = "--json" in sys.argv
    try:
        _run(as_json)
    except KeyboardInterrupt:
        _fail("interrupted; nothing was written", INTERRUPTED, as_json)
    except signals.EndedBySignal as end:
        _fail(f"ended by {end.name}; nothing was written", 128 + end.number, as_json)
    finally:
        _clean_up()


def _run(as_json: bool) -> NoReturn:
    import click

    from roadworthy.cli.group import commands
    from roadworthy.core.errors import RoadworthyError
    from roadworthy.core.host import library_caps

    try:
        # Set before any library is loaded that reads them.
        os.environ.update(library_caps())
        sys.exit(commands.main(standalone_mode=False) or 0)
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as problem:
        _fail(problem.format_message(), 2, as_json)
    except RoadworthyError as problem:
        _fail(problem.message, problem.exit_code, as_json)
    except BrokenPipeError:
        sys.exit(0)


def _fail(message: str, code: int, as_json: bool) -> NoReturn:
    signals.ignore_signals()
    import click

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
