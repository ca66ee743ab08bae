"""The README's picture: the first screen of a bundle's own report, as a headless Chromium shows it.

``python benchmarks/picture.py BUNDLE docs/race.png``
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WIDTH, HEIGHT = 1280, 1320


def main(bundle: Path, picture: Path) -> None:
    page = (bundle / "report.html").resolve().as_uri()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"]
    subprocess.run(["chromium", *options, f"--screenshot={picture.resolve()}", page], check=True, capture_output=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
