"""``roadworthy deploy``: turn a trained model into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from roadworthy.cli.options import EXISTING, duration, json_option, names


@click.command("deploy")
@click.argument("source", type=EXISTING)
@click.option("-o", "--output", type=EXISTING, required=True, help="The bundle's directory; an older bundle there is replaced.")
@click.option(
    "--arch", help="FILE.py:CALLABLE or package.module:callable that builds the network, with keyword arguments if it needs them."
)
@click.option("--weights", default="", help="Which set of weights in a checkpoint, such as ema_state_dict; the trained one by default.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    help="An input such as 'x:float32[batch,3,32,32]', where it cannot be inferred; its values too: '... in 0..255', '= ones', '~ normal'.",
)
@click.option("--signature", default="", help="Which signature of a SavedModel or TFLite file; the serving one by default.")
@click.option(
    "--outputs", multiple=True, callback=names, help="The tensors to answer with: needed where the file names none, a choice elsewhere."
)
@click.option(
    "--data",
    help="Samples: a folder (one folder a class), .npz, .npy, a table (.csv, .parquet, .jsonl), a .txt, or module:callable; docs/data.md.",
)
@click.option(
    "--targets",
    multiple=True,
    callback=names,
    help="The columns or arrays of the data that answers are compared with; by default those called y, label, labels, target or targets.",
)
@click.option("--labels", type=EXISTING, help="Class names in the order of the model's outputs: one a line, CSV, JSON or YAML.")
@click.option(
    "--preprocess",
    help="How an image becomes an input: imagenet, cifar10, mnist, unit, tf, caffe, raw (the last four also as tf:224), a TOML file, "
    "a library's file, or FILE.py:name or module:name of transforms; docs/preprocessing.md.",
)
@click.option(
    "--pixels",
    is_flag=True,
    help="The deployed model takes uint8 pixels [batch,height,width,channels]; normalisation and layout become part of it.",
)
@click.option(
    "--training-transform",
    help="FILE.py:CALLABLE, training's own transform of an image: run on your images, and its pixels are compared with --preprocess.",
)
@click.option("--metric", help="A name (see the README) or module:callable; by default what fits the labels, else agreement.")
@click.option("--max-drop", help="How much a lossy candidate may lose: a part of the original's score (1%, the default) or in its units.")
@click.option("--max-rise", help="The same for metrics where lower is better, such as mae.")
@click.option(
    "--objective",
    type=click.Choice(["latency", "throughput", "size", "memory"]),
    default="latency",
    show_default=True,
    help="What the best candidate is chosen by. latency: one request at a time, on all cores of its process. throughput: samples a second "
    "of one process at its best batch size; the report adds those of all workers at once. size: on disk. memory: the process's peak.",
)
@click.option("--runtimes", multiple=True, callback=names, help="Try these runtimes only (comma-separated).")
@click.option("--precisions", multiple=True, callback=names, help="Try these precisions only: fp32, bf16, fp16, int8.")
@click.option("--samples", type=click.IntRange(min=1), help="Use at most this many samples, classes balanced.")
@click.option(
    "--time-budget", "seconds", default="30m", show_default=True, callback=duration, help="For the whole deployment, e.g. 90s, 10m."
)
@click.option("--name", default="", help="The model's name when served; the file's by default.")
@click.option("--version", "model_version", default="1", show_default=True, help="The model's version when served.")
@click.option("--trust", is_flag=True, help="The source may run code from its file, in a process with limits.")
@click.option(
    "--allow-training-behaviour", "allow_training", is_flag=True, help="The model's random or batch-dependent answers are intended."
)
@click.option(
    "--allow-framework-at-serve", "allow_framework", is_flag=True, help="The winner may need the training framework on the server."
)
@click.option(
    "--no-cache",
    "cache",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Make graphs and candidates anew, also those that an earlier deployment made from the same content.",
)
@click.option(
    "--export",
    "exports",
    multiple=True,
    callback=names,
    help="Export the new bundle to these targets too (comma-separated), verified on all samples; docs/targets.md lists them.",
)
@click.option(
    "--no-graphs",
    "graphs",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Leave the captured graphs out of the bundle; it cannot be exported later then.",
)
@click.option(
    "--compress",
    multiple=True,
    callback=names,
    help="Look for a smaller model that is faster, by these ways (comma-separated): prune, distil, quantise; docs/compressing.md.",
)
@click.option("--train-data", help="Samples to train the smaller model on, in the forms of --data; the data in --data is never trained on.")
@click.option(
    "--train-minutes", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="How long it may be trained."
)
@click.option("--train-flip", is_flag=True, help="Mirror training images left to right at random.")
@click.option("--train-crop", type=click.IntRange(min=0), default=0, show_default=True, help="Shift them by up to so many pixels.")
@click.option("--student", help="FILE.py:CALLABLE that builds your own smaller network, for the original to teach.")
@click.option("-v", "--verbose", is_flag=True, help="Print at the end where the time went: each stage, and each process within it.")
@json_option
def command(
    source: Path,
    output: Path,
    inputs: tuple[str, ...],
    model_version: str,
    max_drop: str | None,
    max_rise: str | None,
    compress: tuple[str, ...],
    train_data: str | None,
    train_minutes: float,
    train_flip: bool,
    train_crop: int,
    student: str | None,
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn a trained model into a bundle: verified, fast, and ready to serve."""
    from roadworthy.build import deploy as build_deploy
    from roadworthy.build.job import Job, read_budget, read_compression
    from roadworthy.build.sources.input_syntax import parse_all
    from roadworthy.cli.console.deployment import show_deployment, show_times
    from roadworthy.cli.console.progress import progress

    specs, stated = parse_all(inputs)
    smaller = read_compression(compress, train_data, train_minutes, student, flip=train_flip, crop=train_crop)
    budget = read_budget(max_drop, max_rise)
    job = Job(source, output, inputs=specs, stated=stated, version=model_version, budget=budget, compress=smaller, **options)
    with progress(quiet=as_json) as notify:
        deployment = build_deploy.deploy(job, notify)
    show_deployment(deployment.bundle, deployment.certificate, as_json=as_json)
    if verbose and not as_json:
        show_times(deployment.certificate)
