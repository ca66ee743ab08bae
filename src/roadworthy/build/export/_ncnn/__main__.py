"""``python -m roadworthy.build.export._ncnn`` builds the static library now, so that its form takes part in every race from then on."""

from __future__ import annotations

import sys

from roadworthy.build.export._ncnn import library
from roadworthy.core.errors import RoadworthyError

if __name__ == "__main__":
    try:
        print(library.make())
    except RoadworthyError as problem:
        print(f"error: {problem.message}", file=sys.stderr)
        sys.exit(problem.exit_code)
