"""Answers for files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from roadworthy.cli.console import terminal

if TYPE_CHECKING:
    from roadworthy.serving.engine.predict import FilePrediction


def show_predictions(answers: Sequence[FilePrediction], *, as_json: bool) -> None:
    """For each file its samples, each with its labels and probabilities; outputs without classes as shapes."""
    if as_json:
        terminal.show_json([_prediction(answer) for answer in answers])
        return
    for answer in answers:
        for number, ranking in enumerate(answer.prediction.ranked):
            name = answer.name if len(answer.prediction.ranked) == 1 else f"{answer.name}[{number}]"
            text = ", ".join(f"{one.label} {one.score:.4f}" for one in ranking)
            terminal.output.print(f"{escape(name)}: {escape(text)}", soft_wrap=True)
        if not any(answer.prediction.ranked):
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in answer.prediction.outputs.items())
            terminal.output.print(f"{escape(answer.name)}: {escape(shapes)} (--json prints the numbers)", soft_wrap=True)


def _prediction(answer: FilePrediction) -> dict[str, object]:
    outputs = {name: _readable(array.tolist()) for name, array in answer.prediction.outputs.items()}
    given = {"text": answer.text} if answer.file is None else {"file": answer.file}
    return {**given, "samples": answer.prediction.ranked, "outputs": outputs}


def _readable(value: object) -> object:
    """``value`` with byte strings, at any depth of lists, as text."""
    if isinstance(value, list):
        return [_readable(one) for one in value]
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
