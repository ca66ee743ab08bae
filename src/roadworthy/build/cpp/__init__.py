"""ONNX to C++: a network as calls of kernels, compiled for three levels of x86-64 with g++ alone.

The result defines ``model_open``, ``model_run`` and ``model_error`` (see ``kernels/model.cpp``), for float32 and any number of samples.
Floating-point numbers keep their usual meaning but for two things: products and sums are fused where the CPU can (``-ffp-contract``, GCC's
default), and signals of invalid operations may be lost (``-fno-trapping-math``).
"""

from __future__ import annotations

from roadworthy.build.cpp.compiler import compile_object, compile_shared
from roadworthy.build.cpp.program import Generated, generate, lacking, operators, unfit

__all__ = ["Generated", "compile_object", "compile_shared", "generate", "lacking", "operators", "unfit"]
