"""``roadworthy compress``: a smaller model that is faster, in the format of its own framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from roadworthy.cli.options import EXISTING, duration, json_option, names


@click.command("compress")
@click.argument("source", type=EXISTING)
@click.option("-o", "--output", type=EXISTING, required=True, help="The directory to write the model to.")
@click.option(
    "--by", "ways", multiple=True, callback=names, default=("prune,distil",), show_default=True, help="Ways: prune, distil, quantise."
)
@click.option("--train-data", required=True, help="Samples to train on, in the forms of deploy's --data.")
@click.option(
    "--train-minutes", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="How long it may be trained."
)
@click.option("--train-flip", is_flag=True, help="Mirror training images left to right at random.")
@click.option("--train-crop", type=click.IntRange(min=0), default=0, show_default=True, help="Shift them by up to so many pixels.")
@click.option("--student", help="FILE.py:CALLABLE that builds your own smaller network, for the original to teach.")
@click.option("--arch", help="FILE.py:CALLABLE or package.module:callable that builds the original's network.")
@click.option("--weights", default="", help="Which set of weights in a checkpoint; the trained one by default.")
@click.option("--input", "inputs", multiple=True, help="An input such as 'x:float32[batch,3,32,32]', where it cannot be inferred.")
@click.option("--labels", type=EXISTING, help="Class names in the order of the model's outputs.")
@click.option("--preprocess", help="How an image becomes an input, as deploy takes it.")
@click.option("--max-drop", help="How much the smaller model may lose: a part of the original's score (1%, the default) or in its units.")
@click.option("--max-rise", help="The same for metrics where lower is better, such as mae.")
@click.option("--runtimes", multiple=True, callback=names, help="The runtimes that it has to be faster on; all that are here by default.")
@click.option(
    "--time-budget", "seconds", default="30m", show_default=True, callback=duration, help="For everything but the training, e.g. 10m."
)
@click.option("--trust", is_flag=True, help="The source may run code from its file, in a process with limits.")
@json_option
def command(
    source: Path,
    output: Path,
    ways: tuple[str, ...],
    train_data: str,
    train_minutes: float,
    train_flip: bool,
    train_crop: int,
    student: str | None,
    inputs: tuple[str, ...],
    max_drop: str | None,
    max_rise: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a trained model smaller where that makes it faster, and give it back in its own framework's format.

    Channels are cut and the original teaches what is left. docs/compressing.md says how, and when not to.
    """
    from roadworthy.build.compressing.given_back import compress_source
    from roadworthy.build.job import Job, read_budget, read_compression
    from roadworthy.build.sources.input_syntax import parse_all
    from roadworthy.cli.console.compression import show_compressed
    from roadworthy.cli.console.progress import progress

    specs, stated = parse_all(inputs)
    asked = read_compression(ways, train_data, train_minutes, student, flip=train_flip, crop=train_crop)
    job = Job(source, output, inputs=specs, stated=stated, budget=read_budget(max_drop, max_rise), compress=asked, **options)
    with progress(quiet=as_json) as notify:
        made = compress_source(job, notify)
    show_compressed(made.path, made.proof, as_json=as_json)
