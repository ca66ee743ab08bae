"""Importing this module imports PyTorch with what exports and compiles its models: seconds, for a process that is then forked."""

from __future__ import annotations

from contextlib import suppress

import torch._dynamo
import torch.export
import torch.onnx  # noqa: F401

with suppress(ImportError):
    import onnxscript  # noqa: F401
