"""What torch says of a failed call, as a reason that a user of the model can act on."""

from __future__ import annotations

import pytest

from roadworthy.build.sources.torch import messages


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (
            KeyError("user"),
            "its forward asks for 'user', and no input is called so; name the inputs with --input as the forward names them",
        ),
        (
            ModuleNotFoundError("No module named 'timm'", name="timm"),
            "its code needs the package 'timm', which is not installed; install it",
        ),
        (
            AssertionError("Torch not compiled with CUDA enabled"),
            "its forward asks for a GPU (.cuda(), or device='cuda'); write device=x.device there, so that tensors follow their input",
        ),
        (
            RuntimeError("mat1 and mat2 must have the same dtype, but got Half and Float"),
            "its forward casts to a type that the weights, made float32, do not have (mat1 and mat2 must have the same dtype, but got Half "
            "and Float); remove the cast, or use torch.autocast",
        ),
        (
            RuntimeError("The following operation failed in the TorchScript interpreter.\nTraceback:\nRuntimeError: too short"),
            "RuntimeError: too short",
        ),
        (
            RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x5 and 4x3)"),
            "mat1 and mat2 shapes cannot be multiplied (2x5 and 4x3)",
        ),
        (ValueError(), "ValueError"),
    ],
)
def test_what_torch_says_becomes_what_helps(problem: Exception, says: str) -> None:
    assert messages.reason(problem) == says
