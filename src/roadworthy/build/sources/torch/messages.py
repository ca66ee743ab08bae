"""Why a call of the model failed, in words: torch and the model's own code speak to the one who wrote the model."""

from __future__ import annotations

import re

LONGEST = 300
_NO_GPU = re.compile(
    r"not compiled with CUDA|no NVIDIA driver|No CUDA GPUs|from the 'CUDA' backend|CUDA-capable device|Invalid device.*cuda", re.I
)
_OTHER_TYPE = re.compile(r"same dtype|expected scalar type|should be the same|expected m1 and m2", re.I)
_HALF = re.compile(r"half|bfloat16|float16|double", re.I)


def reason(problem: BaseException) -> str:
    """One line that says why, and what helps where that is known."""
    found = [line.strip() for line in str(problem).splitlines() if line.strip()] or [type(problem).__name__]
    # TorchScript puts its own traceback first and the reason last.
    said = (found[-1] if "TorchScript" in str(problem) else found[0])[:LONGEST]
    if isinstance(problem, KeyError):
        return f"its forward asks for {said}, and no input is called so; name the inputs with --input as the forward names them"
    if isinstance(problem, ModuleNotFoundError):
        return f"its code needs the package {problem.name!r}, which is not installed; install it"
    if _NO_GPU.search(said):
        return "its forward asks for a GPU (.cuda(), or device='cuda'); write device=x.device there, so that tensors follow their input"
    if _OTHER_TYPE.search(said) and _HALF.search(said):
        return f"its forward casts to a type that the weights, made float32, do not have ({said}); remove the cast, or use torch.autocast"
    return said
