"""Compile the ``.proto`` files of this folder to descriptor sets: ``python -m roadworthy.serving.protocols.proto.compile``.

A developer's tool; it needs grpcio-tools.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from roadworthy.core.errors import StepFailed
from roadworthy.serving.protocols.proto import FAMILIES

HERE = Path(__file__).parent


def compiled(family: str) -> bytes:
    """The descriptor set of one family, without what protobuf itself brings along; raises StepFailed where protoc refuses."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "set"
        # In a process of its own: the compiler crashes beside another framework's copy of protobuf. It knows protobuf's own files itself.
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}", f"--descriptor_set_out={out}", *FAMILIES[family]]
        if subprocess.run(command).returncode:
            raise StepFailed(f"protoc does not compile {', '.join(FAMILIES[family])}; what it says is on standard error")
        return out.read_bytes()


if __name__ == "__main__":
    for family in FAMILIES:
        (HERE / f"{family}.binpb").write_bytes(compiled(family))
