"""Protobuf messages from descriptor sets that a package brings along, in pools of their own.

A pool of its own, because a framework in the same process may register messages of the same names. No generated code is kept: a
package holds ``FAMILY.binpb``, compiled from the ``.proto`` files beside it. protobuf is imported on first use.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from roadworthy.core.errors import StepFailed


@cache
def pool(package: str, family: str, *imported: tuple[str, str]) -> Any:
    """The DescriptorPool of ``FAMILY.binpb`` in ``package``, a package's dotted name, with the sets that it imports from other packages.

    Raises ImportError without protobuf.
    """
    from google.protobuf import any_pb2, descriptor_pb2, empty_pb2, wrappers_pb2
    from google.protobuf.descriptor_pool import DescriptorPool

    found = DescriptorPool()
    for common in (any_pb2, empty_pb2, wrappers_pb2):
        found.AddSerializedFile(common.DESCRIPTOR.serialized_pb)
    for place, name in (*imported, (package, family)):
        compiled = descriptor_pb2.FileDescriptorSet.FromString(resources.files(place).joinpath(f"{name}.binpb").read_bytes())
        for file in compiled.file:
            found.AddSerializedFile(file.SerializeToString())
    return found


def compiled(folder: Path, files: tuple[str, ...], *imported: Path) -> bytes:
    """The descriptor set of ``files`` in ``folder``, each after those that it imports; StepFailed where protoc refuses them.

    ``imported`` are the folders of other files that they import, which are not part of the set.

    For developers: needs grpcio-tools.
    """
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "set"
        # In a process of its own: the compiler crashes beside another copy of protobuf, as frameworks bring one. It knows protobuf's
        # own files itself.
        command = [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            *(f"-I{one}" for one in (folder, *imported)),
            f"--descriptor_set_out={out}",
            *files,
        ]
        if subprocess.run(command).returncode:
            raise StepFailed(f"protoc does not compile {', '.join(files)}; its message is on standard error")
        return out.read_bytes()
