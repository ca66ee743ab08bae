"""The message of Triton's model configuration, in a pool of its own."""

from __future__ import annotations

from typing import Any

from roadworthy.core import descriptors
from roadworthy.core.errors import BackendMissing

FAMILIES = {"model_config": ("model_config.proto",)}
"""The files of each descriptor set."""


def model_config() -> Any:
    """An empty ``ModelConfig``; BackendMissing without protobuf."""
    try:
        from google.protobuf.message_factory import GetMessageClass

        return GetMessageClass(descriptors.pool(__name__, "model_config").FindMessageTypeByName("inference.ModelConfig"))()
    except ImportError as problem:
        raise BackendMissing("a config.pbtxt needs protobuf; install it with: pip install 'roadworthy[build]'") from problem
