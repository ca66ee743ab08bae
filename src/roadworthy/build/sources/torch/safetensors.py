"""A safetensors file: weights that cannot be anything else, into the architecture that the user names."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load_file

from roadworthy.build.sources import user_code
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers import safetensors
from roadworthy.build.sources.torch import weights
from roadworthy.core.errors import SourceUnreadable, UsageError
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line


def read(source: Source) -> Opened:
    """The architecture of ``source.arch`` with the file's weights in it."""
    if source.arch is None:
        raise UsageError(
            f"{source.path} holds weights and not the model they belong to; name the code that builds it: --arch FILE.py:CALLABLE"
        )
    safetensors.read(source.path)
    try:
        tensors = load_file(source.path, device="cpu")
    except (SafetensorError, OSError, ValueError, KeyError) as problem:
        raise SourceUnreadable(f"{source.path} is damaged ({first_line(problem)}); fetch it again") from problem
    module = user_code.build(source.arch)
    notes = weights.fill(module, tensors, source.path, source.weights)
    proof = f"the tensors of {source.arch} are those of the file, name by name and shape by shape"
    return Opened(module, proofs=(proof,), notes=notes)
