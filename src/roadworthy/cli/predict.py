"""``roadworthy predict``: answer files with a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from roadworthy.cli.options import EXISTING, json_option


@click.command("predict")
@click.argument("bundle", type=EXISTING)
@click.argument("files", nargs=-1, required=True, type=EXISTING)
@json_option
def command(bundle: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Answer images, .npy or .npz files, or, for a model that takes bytes, any files."""
    from roadworthy.cli.console.predictions import show_predictions
    from roadworthy.serving.engine.local import LocalEngine
    from roadworthy.serving.engine.predict import predict_file

    with LocalEngine(bundle) as model:
        show_predictions([predict_file(model, file) for file in files], as_json=as_json)
