"""``libncnn.a``: built once a machine from the source distribution of the package, into the user's cache. It takes minutes.

Two deployments build it one after the other; a build that was interrupted goes on where it ended.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from roadworthy.build.export import _libraries
from roadworthy.build.export._ncnn.layers import HELPERS, KEPT
from roadworthy.build.program import compiler
from roadworthy.core import programs
from roadworthy.core.errors import StepFailed
from roadworthy.core.host import usable_cores

VERSION = "1.0.20261020"
SHA256 = "ad8cdd63e9755cfa8e23b9b6d9ce46156077d80298a89e7c3ba325ffccfca200"
ARCHIVE = f"ncnn-{VERSION}.tar.gz"
LIMIT_S, DOWNLOAD_LIMIT_S = 3600.0, 600.0
LEFT_OUT = (
    "VULKAN", "BUILD_TOOLS", "BUILD_EXAMPLES", "BUILD_BENCHMARK", "INT8", "WEIGHT_QUANT", "BF16", "XOP", "FMA4", "AVXVNNI", "AVXVNNIINT8",
    "AVXVNNIINT16", "AVXNECONVERT", "AVX512VNNI", "AVX512BF16", "AVX512FP16", "PIXEL", "PIXEL_ROTATE", "PIXEL_AFFINE", "PIXEL_DRAWING",
    "C_API", "PLATFORM_API", "INSTALL_SDK",
)  # fmt: skip
"""Options of its build that are off: what a float32 network on a CPU does not use."""


def folder() -> Path:
    """Where the finished library lies: ``include/``, ``libncnn.a`` and ``LICENSE.txt``."""
    return programs.libraries() / f"ncnn-{VERSION}"


def built() -> bool:
    """Whether the library is there."""
    return (folder() / "libncnn.a").is_file()


def make() -> Path:
    """The folder of the library, which is built now where it is not there.

    Raises ProgramMissing without g++, cmake or make, StepFailed where the source cannot be had or does not compile.
    """
    target = folder()
    if built():
        return target
    cmake = programs.require("cmake", "install CMake 3.16 or later: apt-get install cmake")
    maker = programs.require("make", "apt-get install make")
    compiler.require()
    with _libraries.making(target):
        if built():
            return target
        print(f"building libncnn.a {VERSION} into {target}: once a machine, several minutes", file=sys.stderr, flush=True)
        work = target.with_name(f"{target.name}.building")
        source = _source(work)
        _compile(cmake, maker, source, work / "build")
        _put(source, work / "build", target)
        shutil.rmtree(work)
    return target


def _source(work: Path) -> Path:
    """The unpacked source distribution below ``work``."""
    source = work / ARCHIVE.removesuffix(".tar.gz")
    if source.is_dir():
        return source
    work.mkdir(exist_ok=True)
    archive = _download(work)
    if (found := hashlib.sha256(archive.read_bytes()).hexdigest()) != SHA256:
        raise StepFailed(f"{ARCHIVE} is not the file that is expected: its SHA-256 is {found}")
    with tarfile.open(archive) as tar:
        tar.extractall(work / "unpacked", filter="data")
    (work / "unpacked" / source.name).rename(source)
    return source


def _download(work: Path) -> Path:
    """The source distribution by the user's pip.

    pip refuses it by name and version, because the version in its metadata is the day on which the metadata is read. It says the file's
    address then, and takes that.
    """
    said = _pip(f"ncnn=={VERSION}", work)
    if not (work / ARCHIVE).is_file() and (address := re.search(rf"\S+/{re.escape(ARCHIVE)}", said)):
        said = _pip(address[0], work)
    if not (work / ARCHIVE).is_file():
        raise StepFailed(
            f"pip cannot download {ARCHIVE}, the source of ncnn: {said.splitlines()[-1] if said else 'it said nothing'}", detail=said
        )
    return work / ARCHIVE


def _pip(what: str, work: Path) -> str:
    """What pip says while it downloads ``what`` as a source distribution."""
    # Without isolation: it would install the package's build tools, for minutes, to read the metadata alone.
    words = ["download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--disable-pip-version-check", "--dest", ".", what]
    command = [sys.executable, "-m", "pip", *words]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=DOWNLOAD_LIMIT_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as problem:
        raise StepFailed(f"pip took more than {DOWNLOAD_LIMIT_S:g} s to download {ARCHIVE}") from problem
    return (done.stdout + done.stderr).strip()


def _compile(cmake: Path, maker: Path, source: Path, build: Path) -> None:
    layers = re.findall(r"ncnn_add_layer\((\w+)", (source / "src" / "CMakeLists.txt").read_text())
    off = [
        *(f"-DNCNN_{option}=OFF" for option in LEFT_OUT),
        *(f"-DWITH_LAYER_{one.lower()}=OFF" for one in layers if one not in KEPT | HELPERS),
    ]
    configure = [str(cmake), "-S", str(source), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release", "-DNCNN_RUNTIME_CPU=ON", *off]
    compiler.run(configure, source, what="the build of ncnn")
    compiler.run([str(maker), f"-j{usable_cores()}", "-C", str(build), "ncnn"], source, what="libncnn.a", limit_s=LIMIT_S)


def _put(source: Path, build: Path, target: Path) -> None:
    """The headers, the library and the licence at ``target``, all or nothing."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    headers = partial / "include" / "ncnn"
    headers.mkdir(parents=True)
    for header in (*(source / "src").glob("*.h"), *(build / "src").glob("*.h")):
        shutil.copyfile(header, headers / header.name)
    shutil.copyfile(source / "LICENSE.txt", partial / "LICENSE.txt")
    shutil.copyfile(build / "src" / "libncnn.a", partial / "libncnn.a")
    partial.rename(target)
