"""``roadworthy predict``: answer files or texts with a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from roadworthy.cli.options import EXISTING, json_option


@click.command("predict")
@click.argument("bundle", type=EXISTING)
@click.argument("files", nargs=-1, type=EXISTING)
@click.option("--text", "texts", multiple=True, help="A text to answer, for a bundle that takes texts; may be given several times.")
@json_option
def command(bundle: Path, files: tuple[Path, ...], texts: tuple[str, ...], as_json: bool) -> None:
    """Answer images, texts or sounds as the bundle takes them, .npy or .npz files, or, for a model that takes bytes, any files."""
    if not files and not texts:
        raise click.UsageError("give files to answer, or texts with --text")
    from roadworthy.cli.console.predictions import show_predictions
    from roadworthy.serving.engine.local import LocalEngine
    from roadworthy.serving.engine.predict import predict_file, predict_text

    with LocalEngine(bundle) as model:
        answers = [predict_file(model, file) for file in files] + [predict_text(model, text) for text in texts]
        show_predictions(answers, as_json=as_json)
