"""``roadworthy compare``: compare two or more models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from roadworthy.cli.options import EXISTING, duration, json_option, names

SIDE = re.compile(r"([A-Z])=(.*)", re.DOTALL)


def _for_side(values: tuple[str, ...], index: int, option: str, sides: int) -> tuple[str, ...]:
    """Those of ``values`` that are for source ``index``: with its letter in front (``B=net.py:Net``), or without one, for every source."""
    letters = [chr(ord("A") + number) for number in range(sides)]
    chosen = []
    for value in values:
        match = SIDE.fullmatch(value)
        if match and match[1] not in letters:
            raise click.BadParameter(f"{option} {value}: there is no source {match[1]}; they are {', '.join(letters)}, in the order given")
        if not match:
            chosen.append(value)
        elif match[1] == letters[index]:
            chosen.append(match[2])
    return tuple(chosen)


def _one(values: tuple[str, ...], option: str) -> str | None:
    if len(values) > 1:
        raise click.BadParameter(f"{option} was given {len(values)} times for one source: {', '.join(values)}")
    return values[0] if values else None


@click.command("compare")
@click.argument("sources", nargs=-1, required=True, type=EXISTING)
@click.option("-o", "--output", "page", type=EXISTING, help="Where to write the comparison as an HTML page.")
@click.option("--arch", multiple=True, help="As for deploy; A=... or B=... for one source alone.")
@click.option("--input", "inputs", multiple=True, help="As for deploy; A=... for one source alone.")
@click.option("--signature", multiple=True, help="Which signature of a SavedModel; A=... for one source alone.")
@click.option("--outputs", multiple=True, help="The output tensors of a frozen graph; A=... for one source alone.")
@click.option("--preprocess", multiple=True, help="How an image becomes an input; A=... for one source alone.")
@click.option("--data", help="Samples, as for deploy; arrays are transposed for a source that takes its channels on another axis.")
@click.option("--labels", type=EXISTING, help="Class names in the order of the models' outputs: one a line, CSV or JSON.")
@click.option("--samples", type=click.IntRange(min=1), help="Use at most this many samples, classes balanced.")
@click.option("--runtimes", multiple=True, callback=names, help="Time only these runtimes beside the originals (comma-separated).")
@click.option("--only-parity", is_flag=True, help="Only whether they are the same function; nothing is timed.")
@click.option("--time-budget", "seconds", default="30m", show_default=True, callback=duration, help="For everything, e.g. 5m.")
@click.option("--trust", is_flag=True, help="The sources may run code from their files, in processes with limits.")
@json_option
def command(sources: tuple[Path, ...], page: Path | None, only_parity: bool, as_json: bool, **options: Any) -> None:
    """Compare two or more models: are they the same function, and what does each way to run them cost?

    Options that say how to read a source hold for all of them, or for one: A=... is for the first, B=... for the second.
    """
    from roadworthy.build.compare.files import compare_files
    from roadworthy.build.package.report import comparison
    from roadworthy.cli.console.comparison import show_comparison
    from roadworthy.cli.console.progress import progress

    def each(option: str) -> list[tuple[str, ...]]:
        values = options.pop(option)
        return [_for_side(values, index, f"--{option}", len(sources)) for index in range(len(sources))]

    with progress(quiet=as_json) as notify:
        found = compare_files(
            sources,
            arch=[_one(values, "--arch") for values in each("arch")],
            inputs=each("inputs"),
            signature=[_one(values, "--signature") or "" for values in each("signature")],
            outputs=[[name.strip() for value in values for name in value.split(",") if name.strip()] for values in each("outputs")],
            preprocess=[_one(values, "--preprocess") for values in each("preprocess")],
            timed=not only_parity,
            notify=notify,
            **options,
        )
    if page is not None:
        comparison.write(found, page)
    show_comparison(found, page, as_json=as_json)
