"""``libxla.a``: what code that XLA compiled calls, built once a machine from the sources inside TensorFlow. It takes minutes.

Two exports build it one after the other; a build that was interrupted goes on where it ended.
"""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from roadworthy.build.export import _libraries
from roadworthy.build.program import compiler
from roadworthy.core import programs
from roadworthy.core.errors import BackendMissing, StepFailed
from roadworthy.core.host import usable_cores

ARCHIVE, FRAMEWORK = "libxla.a", "libtensorflow_framework.so.2"
SOURCES = (
    # The slowest first, so that the cores are busy to the end.
    "xla/backends/cpu/runtime/convolution_lib_f32_2d.cc", "xla/backends/cpu/runtime/dot_lib_f32.cc",
    "tensorflow/compiler/tf2xla/xla_compiled_cpu_function.cc", "tensorflow/compiler/tf2xla/allocator.cc", "xla/executable_run_options.cc",
    "xla/service/custom_call_status.cc", "xla/tsl/concurrency/async_value.cc", "xla/tsl/concurrency/async_value_ref.cc",
    "xla/tsl/platform/default/env_time.cc", "xla/tsl/framework/contraction/eigen_contraction_kernel.cc",
    "xla/backends/cpu/runtime/rng_state_lib.cc",
)  # fmt: skip
"""What a network in float32 calls; the wheel has more for other dtypes, for sorting and for random numbers."""
LIMIT_S = 3600.0


def tensorflow() -> Path:
    """The folder of the package TensorFlow, which is not imported; BackendMissing where there is none."""
    found = find_spec("tensorflow")
    if found is None or found.origin is None:
        raise BackendMissing("XLA's code needs the libraries inside TensorFlow: pip install 'roadworthy[xla-aot]'")
    return Path(found.origin).parent


def flags(level: str) -> list[str]:
    """What the compiler is told for code that includes TensorFlow's headers, for CPUs of that ``level`` of x86-64."""
    # Some of its types have other members where NDEBUG is not defined, as it was for the libraries in the wheel.
    return ["-DNDEBUG", f"-march=x86-64-{level}", "-w"]


def built(level: str) -> bool:
    """Whether the library for that level is there."""
    return (_folder(level) / ARCHIVE).is_file()


def make(level: str) -> Path:
    """The library for that level, which is built now where it is not there.

    Raises ProgramMissing without g++ or ar, BackendMissing without TensorFlow, StepFailed where its sources do not compile.
    """
    archive = _folder(level) / ARCHIVE
    if archive.is_file():
        return archive
    sources = tensorflow() / "xla_aot_runtime_src"
    if lacking := next((name for name in SOURCES if not (sources / name).is_file()), ""):
        raise StepFailed(f"this TensorFlow has no {lacking} in {sources.name}, which XLA's code needs: use the version of constraints.txt")
    with _libraries.making(archive.parent):
        if not archive.is_file():
            print(
                f"building {ARCHIVE} for x86-64-{level} into {archive.parent}: once a machine, several minutes", file=sys.stderr, flush=True
            )
            _build(sources, level, archive)
    return archive


def _build(sources: Path, level: str, archive: Path) -> None:
    work = archive.parent / "building"
    work.mkdir(parents=True, exist_ok=True)
    objects = [f"{Path(name).stem}.o" for name in SOURCES]
    arguments = [*flags(level), f"-I{tensorflow() / 'include'}", f"-I{sources}"]
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        list(pool.map(lambda name, made: _compiled(sources / name, made, arguments, work), SOURCES, objects))
    compiler.run([str(compiler.archiver()), "rcs", ARCHIVE, *objects], work, what=ARCHIVE)
    (work / ARCHIVE).replace(archive)
    shutil.rmtree(work)


def _compiled(source: Path, made: str, arguments: list[str], work: Path) -> None:
    """One object in ``work``, where a build that was interrupted did not leave it whole."""
    if (work / made).is_file():
        return
    partial = f"{made}.partial"
    compiler.compile([*arguments, "-c", str(source), "-o", partial], work, what=f"{ARCHIVE} from {source.name}", limit_s=LIMIT_S)
    (work / partial).replace(work / made)


def copy_framework(out: Path) -> Path:
    """Copy TensorFlow's base library, which has what the code's runtime is built on, into the new folder ``out``; its path there."""
    out.mkdir()
    source = tensorflow() / FRAMEWORK
    if not source.is_file():
        raise StepFailed(f"this TensorFlow has no {FRAMEWORK}: XLA's code ahead of time needs the wheel for Linux")
    return Path(shutil.copyfile(source, out / FRAMEWORK))


def licences() -> dict[str, Path]:
    """The licence of TensorFlow and the notices of what is in it, by the names that they get in an export."""
    folder = tensorflow()
    return {"tensorflow.txt": folder / "include" / "LICENSE", "tensorflow-others.txt": folder / "THIRD_PARTY_NOTICES.txt"}


def _folder(level: str) -> Path:
    return programs.libraries() / f"xla-{release()}-{level}"


def release() -> str:
    """TensorFlow's version."""
    for name in ("tensorflow-cpu", "tensorflow"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise BackendMissing("XLA's code needs the libraries inside TensorFlow: pip install 'roadworthy[xla-aot]'")
