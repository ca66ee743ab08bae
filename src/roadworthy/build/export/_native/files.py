"""What lies in the directory of an executable: the program, its sources, the model's library with its header, licences, how to use it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from roadworthy.build.export._native import generated
from roadworthy.build.exported import Export
from roadworthy.build.program import compiler, image_files, licences, sources, steps, templates
from roadworthy.core.stages import Plan
from roadworthy.core.text import identifier
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Contract

PROGRAM, ARCHIVE, SOURCE, LICENCES = "program", "libmodel.a", "source", licences.FOLDER
HERE = Path(__file__).parent
C_TYPES = {
    "float32": "float", "float64": "double", "bool": "unsigned char", "uint8": "unsigned char", "int8": "signed char",
    "uint16": "unsigned short", "int16": "short", "uint32": "unsigned int", "int32": "int", "uint64": "unsigned long", "int64": "long",
}  # fmt: skip


def write_archive(parts: Sequence[Path], out: Path) -> None:
    """One static library of the object that comes first, and of the archives behind it."""
    model, *archives = parts
    for archive in archives:
        shutil.copyfile(archive, out / ARCHIVE)
    ar = compiler.archiver()
    compiler.run([str(ar), "rcs", str(out.absolute() / ARCHIVE), str(model.absolute())], out, what="the model's library")


def write_program(out: Path, name: str, signature: Signature, plan: Plan, contract: Contract) -> None:
    """Write the sources of the program, and compile and link it with the model's library. One from before is replaced."""
    folder = out / SOURCE
    folder.mkdir(exist_ok=True)
    batch = None if signature.dynamic else signature.call_size(1)
    sources.write(folder, name, signature, contract, threads=plan.threads, batch=batch)
    compiler.compile([*_command(plan, contract)], out, what="the program")


def write_library(out: Path, name: str, signature: Signature) -> None:
    """Give the model's library its name, and put a header and an example in C beside it."""
    (out / ARCHIVE).rename(out / library(name))
    shutil.copyfile(sources.FILES / "model_run.h", out / "model_run.h")
    inputs, outputs = ([(_c_type(spec), _count(spec)) for spec in specs] for specs in (signature.inputs, signature.outputs))
    templates.render(HERE / "example.c.j2", out / "example.c", inputs=inputs, outputs=outputs)


def write_licences(out: Path) -> None:
    """The licences of what is linked in, where the distribution has them on disk."""
    licences.of_debian(out, licences.IMAGES | licences.STATIC)


def library(name: str) -> str:
    """The file name of the model's library."""
    return f"lib{identifier(name)}.a"


def guide(out: Path, export: Export) -> str:
    """How to run what lies in ``out``, and its limits, in Markdown."""
    contract = export.contract
    again = " ".join(["g++", *compiler.FLAGS, *_command(export.plan, contract)]).replace(ARCHIVE, library(export.name))
    values = {
        "library": library(export.name), "plan": export.plan, "size": (out / PROGRAM).stat().st_size / 1e6, "again": again,
        "formats": [one.format for one in image_files.wanted(contract)], "images": steps.from_images(contract),
        "lacking": steps.lacking(contract), "generated": generated.is_form_of(export.plan), "link": " ".join(_link(export.plan)),
    }  # fmt: skip
    return templates.text(HERE / "guide.md.j2", **values)


def _command(plan: Plan, contract: Contract) -> list[str]:
    """What the compiler is told, relative to the directory."""
    libraries = image_files.wanted(contract)
    read = [part for library in libraries for part in library.link]
    return [f"{SOURCE}/main.cpp", *(one.define for one in libraries), ARCHIVE, *read, "-static", "-Wl,-s", *_link(plan), "-o", PROGRAM]


def _link(plan: Plan) -> tuple[str, ...]:
    """What a program with the model's library is linked with."""
    return ("-pthread",) if generated.is_form_of(plan) else ("-pthread", "-fopenmp")


def _c_type(spec: TensorSpec) -> str:
    return C_TYPES[spec.dtype]


def _count(spec: TensorSpec) -> int:
    return int(np.prod([int(size) for size in spec.sample_shape], dtype=np.int64))
