"""The fault table, injected: ``python tests/dependability/run.py`` runs every row, in its short form and in that of ``make soak``;
``--long`` adds an hour of mixed load (``--seconds`` for another time). Afterwards ``docs/dependability.md`` is written from the records.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE / "plugin"))

from dependability import table  # noqa: E402
from dependability.bounds import breaches  # noqa: E402
from dependability.harness import records  # noqa: E402
from dependability.swaps import Address, write_version  # noqa: E402
from dependability.test_mixed import judge  # noqa: E402
from support.servers.serving import Server  # noqa: E402


def main() -> int:
    """Run, write the page, hold the figures to their bounds; the exit code is that of the tests, or 1 for a figure beyond its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="an hour of mixed load after the tests")
    parser.add_argument("--seconds", type=float, default=3600, help="how long the mixed load of --long lasts")
    parser.add_argument("--only-long", action="store_true", help="leave the tests out")
    options = parser.parse_args()
    code = 0 if options.only_long else subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "", str(HERE)], check=False).returncode
    if options.long or options.only_long:
        mixed_load(options.seconds)
    table.main()
    beyond = list(breaches(records()))
    print(*(f"beyond its bound: {one}" for one in beyond), sep="\n")
    return code or int(bool(beyond))


def mixed_load(seconds: float) -> None:
    """The long form of the last row: an hour on one server."""
    with tempfile.TemporaryDirectory() as place:
        models = Path(place)
        write_version(models, 1)
        write_version(models, 2)
        server = Server(models, grpc_port=0)
        try:
            at = Address(server.wait_ready(), server.grpc_address)
            judge(at, models, server.process.pid, seconds, room=100 * 2**20, long=True)
            assert server.stop() == 0
        finally:
            server.kill()


if __name__ == "__main__":
    sys.exit(main())
