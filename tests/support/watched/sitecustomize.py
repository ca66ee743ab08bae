"""Python runs this file at the start of each child process of a test: it tells the test run which frameworks the process imports."""

from __future__ import annotations

import os
import socket
import sys

FRAMEWORKS = {"torch", "tensorflow", "keras", "tf_keras"}


class _Recorder:
    """Finds no module itself; it sees each import that ``sys.modules`` does not answer.

    It sends the name to an abstract socket: a confined child may write no file outside its own folders.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name in FRAMEWORKS and (address := os.environ.get("ROADWORTHY_TESTS_IMPORTS")):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
                told.setblocking(False)
                try:
                    told.sendto(f"{os.getpid()} {name}".encode(), b"\0" + address.encode())
                except OSError:
                    pass  # the run has ended, or has as much to read as it takes


sys.meta_path.insert(0, _Recorder)  # type: ignore[arg-type]
