"""What serves never holds a training framework or the build side: seen in a fresh process that answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROBE = """
import sys
{plant}
from roadworthy.serving.engine.local import LocalEngine
import roadworthy.serving.server
with LocalEngine(__import__("pathlib").Path(sys.argv[1])) as model:
    pass
heavy = [name for name in ("torch", "tensorflow", "roadworthy.build", "rich") if name in sys.modules]
print(",".join(heavy))
"""


def heavy_modules(bundle: Path, plant: str = "") -> str:
    """The heavy modules that a process holds after it opened ``bundle``."""
    script = [sys.executable, "-c", PROBE.format(plant=plant), str(bundle)]
    return subprocess.run(script, check=True, capture_output=True, text=True).stdout.strip()


def test_serving_the_null_runtime_holds_no_framework(null_bundle: Path) -> None:
    assert heavy_modules(null_bundle) == ""


def test_a_planted_import_is_seen(null_bundle: Path) -> None:
    assert heavy_modules(null_bundle, "import roadworthy.build") == "roadworthy.build"
