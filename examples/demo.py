"""From training to an answer over HTTP: train a digits CNN, deploy it, race the candidates, serve the winner, ask it."""

from __future__ import annotations

import sys

from _walk import HERE, OUT, ROADWORTHY, finish, run


def main() -> None:
    run(sys.executable, HERE / "digits" / "train.py", OUT)
    bundle = OUT / "digits.bundle"
    run(
        ROADWORTHY, "deploy", OUT / "digits.pt", "--arch", f"{HERE / 'digits' / 'net.py'}:DigitsNet", "--data", OUT / "images",
        "--preprocess", HERE / "digits" / "preprocess.toml", "--name", "digits", "-o", bundle,
    )  # fmt: skip
    finish(bundle, OUT / "images")


if __name__ == "__main__":
    main()
