"""AOTInductor's package of an exported program: a library compiled with g++, unpacked."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from roadworthy.core.errors import BackendMissing, RoadworthyError, StepFailed
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.text import named_line
from roadworthy.core.types import BATCH, Signature

MEMBERS = "data/aotinductor/model"
PORTABLE = {("avx2", "fma", "f16c"): ("x86-64-v3", 256), ("sse4_2",): ("x86-64-v2", 1)}
"""CPU features, and the compiler's level and width of vectors in bits (1: none) whose code runs on every CPU that has them."""
NO_COMPILER = "it needs a C++ compiler, and this machine has no g++; install it with your system's packages (apt install g++)"


def compiler() -> str | None:
    """The compiler that torch will call."""
    return shutil.which(os.environ.get("CXX", "g++"))


def portable(host: Host) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Settings of the compiler for the highest level that many CPUs share and ``host`` has, and the CPU features that the code uses."""
    for features, (march, width) in PORTABLE.items():
        if host.has(*features):
            # Every compiler that builds torch's headers knows these levels: torch need not compile a program to find out.
            return {"cpp.march": march, "cpp.simdlen": width, "cpp.vec_isa_ok": True}, features
    return {}, host.features


def make(graph: Graph, plan: Plan, calibration: SampleSet | None, host: Host, settings: dict[str, Any], out: Path) -> None:
    """Write the compiled library below ``out/data``.

    Raises BackendMissing without a compiler, StepFailed where the model cannot be exported again, quantised or compiled.
    """
    import torch

    if not compiler():
        raise BackendMissing(f"AOTInductor cannot compile: {NO_COMPILER}")
    try:
        program = _prepared(torch.export.load(graph.path), graph.signature, plan, calibration, host)
        _compile(program, settings, out)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(f"AOTInductor could not make {plan.artefact}: {named_line(problem)}", detail=str(problem)) from problem


def _prepared(program: Any, signature: Signature, plan: Plan, calibration: SampleSet | None, host: Host) -> Any:
    """The program to compile. Its example is contiguous: compiled code takes the strides of the example on trust."""
    given = program.example_inputs[0]
    if len(given) != len(signature.inputs):
        raise StepFailed(f"the exported program has {len(given)} inputs where the signature has {len(signature.inputs)}")
    if plan.batch:
        given = [
            tensor.narrow(spec.sample_axis, 0, plan.batch) if spec.batched and spec.sample_axis is not None else tensor
            for tensor, spec in zip(given, signature.inputs, strict=True)
        ]
        signature = signature.fixed(plan.batch)
    examples = tuple(tensor.contiguous() for tensor in given)
    if plan.precision == "int8" and calibration is not None:
        from roadworthy.build.lower import _pt2e

        return _export(_pt2e.quantised(program, signature, calibration, host), examples, signature)
    if plan.precision == "bf16":
        return _export(_narrowed(program.module(check_guards=False)), examples, signature, packed=True)
    if plan.batch or not all(tensor.is_contiguous() for tensor in given):
        return _export(program.module(check_guards=False), examples, signature)
    return program


def _export(module: Any, examples: tuple[Any, ...], signature: Signature, *, packed: bool = False) -> Any:
    """``module`` exported from contiguous examples, each symbol of the signature a dynamic dimension; ``packed``: it takes ``*tensors``."""
    import torch

    batch = torch.export.Dim(BATCH, min=1, max=signature.max_batch) if signature.dynamic else None
    dynamic = tuple(
        {axis: batch if symbol == BATCH else torch.export.Dim.DYNAMIC for axis, symbol in spec.symbols.items()} for spec in signature.inputs
    )
    with torch.no_grad():
        return torch.export.export(module, examples, dynamic_shapes=(dynamic,) if packed else dynamic)


def _narrowed(module: Any) -> Any:
    """``module`` in bf16 behind float32 inputs and outputs."""
    import torch

    def cast(tensors: Iterable[Any], dtype: Any) -> list[Any]:
        return [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors]

    class Narrow(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = module.to(torch.bfloat16)

        def forward(self, *tensors: Any) -> Any:
            answer = self.module(*cast(tensors, torch.bfloat16))
            return tuple(cast((answer,) if isinstance(answer, torch.Tensor) else answer, torch.float32))

    return Narrow()


def _compile(program: Any, settings: dict[str, Any], out: Path) -> None:
    """Compile into ``out`` and keep the library with its description; the compiler's own files go with the temporary directory."""
    import torch
    from torch._inductor.utils import fresh_cache

    # Precompiled headers are kept below /tmp for ever, and making them costs more than one model saves.
    settings = {"freezing": True, "aot_inductor.precompile_headers": False} | settings
    # Where torch has another number of threads than the machine has cores, the code is for that number for ever, whatever the plan says.
    torch.set_num_threads(os.cpu_count() or 1)
    # Freezing, without which neither layouts nor int8 kernels are chosen, happens only where no gradient could be asked for.
    with tempfile.TemporaryDirectory(dir=out) as scratch, fresh_cache(dir=scratch), torch.no_grad():
        package = Path(scratch) / "package.pt2"
        torch._inductor.aoti_compile_and_package(program, package_path=str(package), inductor_configs=settings)
        with zipfile.ZipFile(package) as archive:
            library = next(name for name in archive.namelist() if name.endswith(".so"))
            stem = library.removesuffix(".so")
            target = out / MEMBERS
            target.mkdir(parents=True)
            # Beside the library: what it was compiled for, and a list of the operators that it calls back into torch for.
            for member in archive.namelist():
                if member.startswith(stem) and not member.endswith(".cpp"):
                    (target / f"model{member.removeprefix(stem)}").write_bytes(archive.read(member))
