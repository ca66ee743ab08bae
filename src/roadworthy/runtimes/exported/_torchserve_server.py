"""TorchServe as a child process: on loopback ports, in a folder of its own, with a limit on every wait; closing it leaves no process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from roadworthy.core.errors import StepFailed
from roadworthy.core.text import LONGEST

PROGRAM = "torchserve"
START_S = 180.0
"""How long the server may take until its worker has loaded the model."""
LARGEST = 64 * 2**20
FAILED = "WORKER_ERROR"
"""What the server says when its worker has ended; it would start another, again and again."""
WORKER_ERROR = re.compile(r"MODEL_LOG - (\w*(?:Error|Exception)\b.*)")
CHATTER = ("ACCESS_LOG", "TS_METRICS")
PORTS = ("inference_address", "management_address", "metrics_address", "grpc_inference_port", "grpc_management_port")


def installed() -> bool:
    """Whether TorchServe's program and Java can be found."""
    java = Path(os.environ.get("JAVA_HOME", ""), "bin", "java")
    return shutil.which(PROGRAM) is not None and (shutil.which("java") is not None or java.is_file())


class Server:
    """A server of one archive of the folder ``store``, ready to answer; StepFailed where it does not become so."""

    def __init__(self, archive: Path, store: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="roadworthy-torchserve-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name, "log.txt")
        ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self._address, self._management = (f"http://127.0.0.1:{ports[name]}" for name in PORTS[:2])
        self._child = self._started(archive, store, ports)
        try:
            self._wait(archive.stem)
        except BaseException:
            self.close()
            raise

    def post(self, path: str, body: bytes, content_type: str, limit_s: float) -> Any:
        """The decoded answer; StepFailed for a refusal and for one that takes too long."""
        request = urllib.request.Request(self._address + path, body, {"Content-Type": content_type})
        try:
            with urllib.request.urlopen(request, timeout=limit_s) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as problem:
            said = problem.read(2000).decode(errors="replace")
            raise StepFailed(
                f"TorchServe refused a request ({problem.code}): {' '.join(said.split())[:LONGEST]}", detail=self._said()
            ) from problem
        except (OSError, ValueError) as problem:
            raise StepFailed(f"TorchServe gave no answer within {limit_s:g} s: {problem}", detail=self._said()) from problem

    @property
    def version(self) -> str:
        """The release of TorchServe, as it says itself."""
        request = urllib.request.Request(self._address, method="OPTIONS")
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return str(json.load(reply)["info"]["version"])
        except (OSError, ValueError, LookupError):
            return "unknown"

    def close(self) -> None:
        """Kill the server with all that it started, and remove its folder."""
        for process in _descendants(self._child.pid):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            # It ends with the server, and takes the server's exit.
            self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._folder.cleanup()

    def _started(self, archive: Path, store: Path, ports: dict[str, int]) -> subprocess.Popen[bytes]:
        program = shutil.which(PROGRAM)
        assert program is not None
        home = Path(self._folder.name)
        lines = {name: f"http://127.0.0.1:{port}" if name.endswith("address") else port for name, port in ports.items()}
        lines |= {
            "model_store": str(store.absolute()), "load_models": archive.name, "default_workers_per_model": 1, "max_request_size": LARGEST,
            "max_response_size": LARGEST, "default_response_timeout": int(START_S), "install_py_dep_per_model": "false",
        }  # fmt: skip
        (home / "config.properties").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        command = [program, "--start", "--foreground", "--ncs", "--ts-config", "config.properties", "--disable-token-auth"]
        # Its unpacked archive, sockets and logs go into its own folder, and its worker is the Python that the program is for.
        environment = os.environ | {"TEMP": str(home), "TMPDIR": str(home), "LOG_LOCATION": str(home), "METRICS_LOCATION": str(home)}
        with open(self._log, "wb") as log:
            return subprocess.Popen(command, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def _wait(self, name: str) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self._child.poll() is not None:
                raise StepFailed(
                    f"TorchServe ended with exit {self._child.returncode} while it started: {self._last()}", detail=self._said()
                )
            if self._state(name) == "READY":
                return
            if FAILED in self._said():
                raise StepFailed(f"the handler failed in TorchServe: {self._last()}", detail=self._said())
            time.sleep(0.2)
        raise StepFailed(f"TorchServe was not ready within {START_S:g} s: {self._last()}", detail=self._said())

    def _state(self, name: str) -> str:
        """The state of the model's worker, empty where there is none yet."""
        try:
            with urllib.request.urlopen(f"{self._management}/models/{name}", timeout=10) as reply:
                workers = json.load(reply)[0]["workers"]
        except (OSError, ValueError, LookupError):
            return ""
        return str(workers[0]["status"]) if workers else ""

    def _said(self) -> str:
        """What the server and its worker said, without a line for each request."""
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(line for line in lines if not any(word in line for word in CHATTER))

    def _last(self) -> str:
        """The worker's errors, or else the last line that there is."""
        said = self._said()
        errors = "; ".join(dict.fromkeys(WORKER_ERROR.findall(said)))
        return (errors or (said.splitlines() or ["it said nothing"])[-1])[:LONGEST]


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


def _descendants(process: int) -> list[int]:
    """The children of ``process`` and theirs, by /proc: they stay in its group, so that a limit on a step ends them too."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                # The name in parentheses may hold anything.
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    found, waiting = [], [process]
    for parent in waiting:
        children = [child for child, its in parents.items() if its == parent]
        found += children
        waiting += children
    return found
