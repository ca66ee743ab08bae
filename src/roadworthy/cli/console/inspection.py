"""What a model file is and what it could run."""

from __future__ import annotations

from rich.markup import escape

from roadworthy.build.sources.inspect import Inspection
from roadworthy.cli.console import terminal


def show_inspection(found: Inspection, *, as_json: bool) -> None:
    """What the file is, what it could execute, and its tensors."""
    if as_json:
        terminal.show_json(found)
        return
    terminal.output.print(f"{escape(str(found.path))}: {found.kind} ({found.framework}), {found.size:,} bytes", soft_wrap=True)
    terminal.output.print(f"sha256    {found.sha256}")
    if found.unsupported:
        terminal.output.print(f"[yellow]{escape(found.unsupported)}[/]")
    if found.signature:
        terminal.output.print(f"inputs    {escape(', '.join(map(str, found.signature.inputs)))}", soft_wrap=True)
        # A Keras file states the inputs of its model, and not the outputs.
        if found.signature.outputs:
            terminal.output.print(f"outputs   {escape(', '.join(map(str, found.signature.outputs)))}", soft_wrap=True)
    could = escape(", ".join(found.executes)) if found.executes else "nothing"
    terminal.output.print(f"its usual reader could run: {could}", soft_wrap=True)
    for note in found.notes:
        terminal.output.print(f"note      {escape(note)}", soft_wrap=True)
    if found.tensors:
        terminal.output.print(f"{len(found.tensors)} tensors, {found.values:,} values")
        terminal.output.print(
            terminal.rows(("tensor", "dtype", "shape"), [(one.name, one.dtype, str(list(one.shape))) for one in found.tensors])
        )
