"""Compile the ``.proto`` files of this folder to descriptor sets: ``python -m roadworthy.build.sources.parsers.proto.compile``.

A developer's tool; it needs grpcio-tools.
"""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.sources.parsers.proto import FAMILIES
from roadworthy.core import descriptors

HERE = Path(__file__).parent


def compiled(family: str) -> bytes:
    """The descriptor set of one family; raises StepFailed where protoc refuses."""
    return descriptors.compiled(HERE, FAMILIES[family])


if __name__ == "__main__":
    for family in FAMILIES:
        (HERE / f"{family}.binpb").write_bytes(compiled(family))
