"""The demo's bundle in two other places: a page in a browser, photographed, and one executable. The demo makes the bundle."""

from __future__ import annotations

import shutil
import sys
from contextlib import closing
from pathlib import Path

from _walk import HERE, OUT, ROADWORTHY, run

BUNDLE, IMAGES = OUT / "digits.bundle", OUT / "images"


def main() -> None:
    if not BUNDLE.is_dir():
        run(sys.executable, HERE / "demo.py")
    image = min((IMAGES / "7").glob("*.png"))
    run(ROADWORTHY, "export", BUNDLE, "--to", "native")
    run(BUNDLE / "exports" / "native" / "program", image)
    if shutil.which("npm") is None:
        print("\nThe export for browsers needs npm, for the runtime's files: apt-get install nodejs npm")
        return
    run(ROADWORTHY, "export", BUNDLE, "--to", "browser")
    photograph(BUNDLE / "exports" / "browser", image, OUT / "browser.png")


def photograph(export: Path, image: Path, photo: Path) -> None:
    """Open the page in a Chromium without a window, give it ``image``, and keep what it shows as ``photo``."""
    from roadworthy.runtimes.exported._browser.chromium import ChromiumPage
    from roadworthy.runtimes.exported._browser.shown import ShownPage

    with closing(ChromiumPage()) as browser, ShownPage(browser, export) as page:
        print(f"\nThe page in {export}, given {image.name}: {page.give(image)}")
        page.photograph(photo)
    print(f"It looks like {photo}")


if __name__ == "__main__":
    main()
