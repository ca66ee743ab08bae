"""Compile the ``.proto`` file of this folder to a descriptor set: ``python -m roadworthy.other_servers.proto.compile``.

A developer's tool; it needs grpcio-tools.
"""

from __future__ import annotations

from pathlib import Path

from roadworthy.core import descriptors
from roadworthy.other_servers.proto import FAMILIES

HERE = Path(__file__).parent


def compiled(family: str) -> bytes:
    """The descriptor set of one family; raises StepFailed where protoc refuses."""
    return descriptors.compiled(HERE, FAMILIES[family])


if __name__ == "__main__":
    for family in FAMILIES:
        (HERE / f"{family}.binpb").write_bytes(compiled(family))
