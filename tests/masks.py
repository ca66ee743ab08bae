"""The part of the suite that depends on the CPU, under each mask that this CPU has, and planned for one that it is not: ``make masks``.

A mask hides features from Roadworthy and from the libraries that can be told (see ``core/cpu_mask.py``). What the CPU lacks cannot be
added; there, what is planned is pretended, and what is carried out is chosen by its precision.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from roadworthy.core import cpu_mask  # noqa: E402
from roadworthy.core.host import NOTABLE  # noqa: E402
from support import hosts  # noqa: E402

SERVERS = ("avx2", "avx512_vnni", "avx512_bf16", "amx")
"""The steps at which another precision or another kernel is planned."""
MASKED = ("conformance/test_sessions.py", "lies", "build/lower", "runtimes/test_openvino.py", "runtimes/test_onnxruntime.py",
          "build/verify", "build/capture/test_quantised.py", "core/test_cpu_mask.py")  # fmt: skip
PRETENDED = ("lies/test_onnx_side.py", "build/lower", "build/package/test_pack.py", "runtimes/test_torch_compile.py")
"""Without the conformance tests: they carry out what the CPU itself plans, and ``build/lower/test_hosts.py`` says that a pretended one
plans the same in float32."""


def main() -> int:
    """Run them; the exit code is that of the worst."""
    worst = 0
    here = {feature for feature in NOTABLE if hosts.has(feature)}
    for level in SERVERS:
        wanted = set(cpu_mask.LEVELS[level].features) - {"avx_vnni", "avx512_fp16"}
        if lacking := sorted(wanted - here):
            print(f"masks: {level} is not available: this CPU lacks {', '.join(lacking)}")
        elif here <= cpu_mask.LEVELS[level].features:
            print(f"masks: {level} is this CPU as it is: the suite itself")
        else:
            worst = max(worst, _pytest(f"masked to {level}", MASKED, **{cpu_mask.MASK: level}))
    if not hosts.has("amx_bf16"):
        worst = max(worst, _pytest("pretending amx", PRETENDED, "--pretend", "amx"))
    return worst


def _pytest(what: str, folders: tuple[str, ...], *options: str, **variables: str) -> int:
    begun = time.monotonic()
    side_by_side = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
    command = [sys.executable, "-m", "pytest", "-q", *side_by_side, *options, *(str(ROOT / "tests" / folder) for folder in folders)]
    code = subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=False).returncode
    print(f"masks: {what}: {'green' if code == 0 else f'exit {code}'} after {time.monotonic() - begun:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
