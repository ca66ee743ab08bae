"""Models with one class more than there are names: a background class is recognised, and the user is told how to say which it is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.data.class_names import is_background
from roadworthy.build.data.labels import labels_file
from roadworthy.core.errors import DataError

NAME = "background"
LAST_LINE = "'$d'"
IMAGENET = 1001
"""The outputs of ImageNet's models with a background class in front, as TensorFlow's are."""


def of_labels(labels: Sequence[str], outputs: int, path: Path | None) -> str:
    """What to do where ``labels``, of the file ``path`` if it is known, are one more or one less than ``outputs``; empty otherwise."""
    names = tuple(labels)
    if len(names) == outputs + 1:
        place = next((place for place in (0, -1) if is_background(names[place])), None)
        if place is None:
            return ""
        rest = names[1:] if place == 0 else names[:-1]
        return f"this model has no class {names[place]!r}: leave that name out{_by(_commands(path, place, None), path, 'without', rest)}"
    if len(names) + 1 != outputs or any(map(is_background, names)):
        return ""
    front = _by(_commands(path, 0, NAME), path, "with", (NAME, *names))
    behind = _by(_commands(path, -1, NAME), path, "with", (*names, NAME))
    return (
        f"one output more than names; if the first output is a background class, as in many of TensorFlow's models, put {NAME!r} in front "
        f"of the names{front}; if it is the last, behind them{behind}"
    )


def of_folders(folders: Sequence[str], outputs: int, data: str) -> str:
    """What to do where class folders are one more or one less than ``outputs``, or the model is ImageNet's; empty otherwise."""
    extra = [folder for folder in folders if is_background(folder)]
    if len(folders) == outputs + 1 and extra:
        return f"this model has no class for {extra[0]}/: leave that folder out of --data"
    listed, file = f"LC_ALL=C ls {shlex.quote(data)}", "labels.txt"
    if len(folders) + 1 == outputs and not extra:
        return (
            f"one output more than folders; if the first output is a background class and the others are the folders in sorted order, "
            f"say so by {{ echo {NAME}; {listed}; }} > {file} and --labels {file}; if it is the last, by "
            f"{{ {listed}; echo {NAME}; }} > {file}"
        )
    if outputs == IMAGENET:
        return (
            f"{outputs:,} outputs are usually a background class and then ImageNet's 1,000 classes: give --labels a file with {NAME!r} in "
            "its first line and then one line for each class, with its WordNet id where the folders have that, as in 'n01440764 tench'"
        )
    return ""


@dataclass(frozen=True)
class _Edit:
    """A shell command that prints the changed file, and what it prints."""

    command: str
    content: str


def _commands(path: Path | None, place: int, name: str | None) -> Iterator[_Edit]:
    """Ways to put ``name`` into the file at ``place``, the first or the last, or with ``None`` to take out what is there."""
    if path is None:
        return
    quoted, lines = shlex.quote(str(path)), path.read_text(encoding="utf-8-sig").splitlines()
    if name is None:
        yield _Edit(f"sed {'1d' if place == 0 else LAST_LINE} {quoted}", "\n".join(lines[1:] if place == 0 else lines[:-1]))
        change = "names[1:]" if place == 0 else "names[:-1]"
    else:
        # The last line of the file may have no end of its own, and a blank line does not count.
        command = f"{{ echo {name}; cat {quoted}; }}" if place == 0 else f"{{ cat {quoted}; echo; echo {name}; }}"
        yield _Edit(command, "\n".join((name, *lines) if place == 0 else (*lines, name)))
        change = f"['{name}', *names]" if place == 0 else f"[*names, '{name}']"
    with suppress(ValueError):
        names = json.loads("\n".join(lines))
        if isinstance(names, list):
            changed = (names[1:] if place == 0 else names[:-1]) if name is None else [name, *names] if place == 0 else [*names, name]
            script = f"import json, sys; names = json.loads(sys.stdin.buffer.read()); print(json.dumps({change}))"
            yield _Edit(f'python3 -c "{script}" < {quoted}', json.dumps(changed))


def _by(edits: Iterable[_Edit], path: Path | None, word: str, wanted: tuple[str, ...]) -> str:
    """The first of ``edits`` after which the file is read as the names ``wanted``, in words; empty where there is none."""
    if path is None:
        return ""
    for edit in edits:
        with suppress(DataError):
            if labels_file.parse(edit.content, path.suffix.lower(), str(path)).labels == wanted:
                target = shlex.quote(f"{path.stem}-{word}-{NAME}{path.suffix}")
                return f", by {edit.command} > {target} and --labels {target}"
    return ""
