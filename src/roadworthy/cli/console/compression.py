"""The search for a smaller model: every step, and what came of it."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from roadworthy.bundle.compression import CompressionProof
from roadworthy.cli.console import terminal


def show_steps(proof: CompressionProof) -> None:
    """One line for each smaller model, and what came of the search."""
    for step in proof.steps:
        score = f", {step.score.metric} {step.score.shown(step.score.value.value)} on validation samples" if step.score else ""
        ratio = f"{step.speedup.value:.2f} [{step.speedup.low:.2f}, {step.speedup.high:.2f}]"
        words = f"{step.name}: {ratio} times as fast as {step.beside}{score}; {'kept' if step.kept else 'left out'}: {step.reason}"
        terminal.output.print(escape(f"{words}."), soft_wrap=True)
    terminal.output.print(escape(f"A smaller model: {proof.outcome}."), soft_wrap=True)


def show_compressed(path: Path, proof: CompressionProof, *, as_json: bool) -> None:
    """The steps, and where the model is."""
    if as_json:
        terminal.show_json({"path": path, "compression": proof})
        return
    show_steps(proof)
    terminal.output.print(f"\nModel  {path}\nUsage  {path / 'README.md'}", soft_wrap=True)
