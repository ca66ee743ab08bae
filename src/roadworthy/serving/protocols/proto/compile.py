"""Compile the ``.proto`` files of this folder to descriptor sets: ``python -m roadworthy.serving.protocols.proto.compile``.

A developer's tool; it needs grpcio-tools.
"""

from __future__ import annotations

from pathlib import Path

from roadworthy.core import descriptors
from roadworthy.other_servers import proto as other_servers
from roadworthy.serving.protocols.proto import FAMILIES

HERE = Path(__file__).parent
MODEL_CONFIG = Path(other_servers.__file__).parent


def compiled(family: str) -> bytes:
    """The descriptor set of one family, without what protobuf itself brings along; raises StepFailed where protoc refuses."""
    return descriptors.compiled(HERE, FAMILIES[family], MODEL_CONFIG)


if __name__ == "__main__":
    for family in FAMILIES:
        (HERE / f"{family}.binpb").write_bytes(compiled(family))
