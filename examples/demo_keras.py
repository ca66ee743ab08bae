"""The same for a Keras model: train a digits CNN, deploy its ``.keras`` file, race the candidates, serve the winner, ask it."""

from __future__ import annotations

import sys

from _walk import HERE, OUT, ROADWORTHY, finish, run


def main() -> None:
    run(sys.executable, HERE / "keras_digits" / "train.py", OUT)
    bundle = OUT / "keras_digits.bundle"
    run(
        ROADWORTHY, "deploy", OUT / "digits.keras", "--data", OUT / "images",
        "--preprocess", HERE / "keras_digits" / "preprocess.toml", "--name", "keras_digits", "-o", bundle,
    )  # fmt: skip
    finish(bundle, OUT / "images")


if __name__ == "__main__":
    main()
