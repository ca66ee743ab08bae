"""A model of a Triton repository: the folder of its ``config.pbtxt``, or a repository that holds one such folder."""

from __future__ import annotations

import re
from pathlib import Path

from roadworthy.build.sources.holding import HeldModel
from roadworthy.build.sources.parsers.untrusted import listed, printable, shown
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.core.errors import SourceError, SourceUnreadable
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.other_servers import triton_config, triton_rules, versions
from roadworthy.other_servers.triton_config import ANY, FILE, LONGEST, TritonConfig, TritonTensor

KIND = "triton_repository"
MODELS = {
    "onnxruntime": ("model.onnx",),
    "pytorch": ("model.pt",),
    "tensorflow": ("model.savedmodel", "model.graphdef"),
    "openvino": ("model.onnx", "model.xml"),
}
"""The model's usual file by backend."""
UNREAD = {
    "tensorrt": "holds a TensorRT plan, machine code for one kind of GPU; deploy the ONNX file that it was built from",
    "python": "is Python code (model.py), which is never run; deploy the model that the code loads",
    "ensemble": "is a pipeline of other models and holds none itself; deploy the folder of one of them",
}
IR = "model.xml"
NOT_READ = "OpenVINO's own format is not read as a source; deploy the model that it was converted from"
PLAIN = re.compile(r"\w[\w.+ -]{0,200}")
LABELS = 16 * 2**20
"""Bytes of a file of labels that are read at most."""


def sniff(file: SourceFile) -> bool:
    """A folder with a ``config.pbtxt``, or with folders that have one."""
    return file.path.is_dir() and ((file.path / FILE).is_file() or bool(_folders(file.path)))


def locate(path: Path) -> Path | None:
    """The folder of a ``config.pbtxt``."""
    return path.parent if path.name == FILE and path.is_file() else None


def unpack(path: Path, to: Path) -> HeldModel:
    """The newest version that the configuration serves, with the inputs and the labels that it states."""
    folder = path if (path / FILE).is_file() else _only(path)
    file = folder / FILE
    with open(file, "rb") as opened:
        config = triton_config.parse(opened.read(LONGEST + 1), str(file), SourceUnreadable)
    model, version = _model(folder, config)
    labels, files, notes = _labels(folder, config)
    return HeldModel(
        model,
        str(model),
        (file, *files),
        (
            f"version {version} of Triton's model {shown(folder.name)} (version_policy {config.versions}), "
            f"backend {shown(config.runs_on) or 'not stated'}",
            *(f"{FILE}: {sentence}" for sentence in triton_rules.mistakes(config)),
            *notes,
        ),
        inputs=tuple(_spec(tensor, batched=config.max_batch_size > 0) for tensor in config.inputs),
        labels=labels,
        contradictions=lambda signature: _contradictions(config, signature),
    )


def _folders(path: Path) -> list[Path]:
    return sorted(file.parent for file in path.glob(f"*/{FILE}") if file.is_file())


def _only(path: Path) -> Path:
    found = _folders(path)
    if len(found) > 1:
        names = tuple(shown(folder.name) for folder in found)
        raise SourceError(f"{path} is a Triton repository of {len(found)} models ({listed(names)}); deploy the folder of one: {found[0]}")
    return found[0]


def _model(folder: Path, config: TritonConfig) -> tuple[Path, int]:
    """The model's file or folder, and its version; SourceError for a backend whose files hold no model that is read."""
    backend = "ensemble" if config.scheduling == "ensemble_scheduling" else config.runs_on
    if backend and backend not in MODELS:
        why = UNREAD.get(
            backend, f"is of the backend {shown(backend)!r}, whose files are not read; deploy the model that they were made from"
        )
        raise SourceError(f"{folder} {why}")
    there = versions.numbered(folder)
    served = config.versions.served(there)
    if not served:
        have = ", ".join(map(str, there)) or "none"
        raise SourceUnreadable(f"{folder} holds no version that its version_policy ({config.versions}) serves; it has {have}")
    if config.file and not PLAIN.fullmatch(config.file):
        raise SourceUnreadable(f"{folder / FILE} names the model's file {shown(config.file)!r}, which is not a plain name")
    usual = MODELS.get(backend) or tuple(dict.fromkeys(name for names in MODELS.values() for name in names))
    names = (config.file,) if config.file else usual
    found = next((folder / str(served[0]) / name for name in names if (folder / str(served[0]) / name).exists()), None)
    if found is None:
        raise SourceUnreadable(f"{folder / str(served[0])} holds no {' or '.join(names)}")
    if found.suffix == ".xml":
        raise SourceError(f"{found}: {NOT_READ}")
    return found, served[0]


def _spec(tensor: TritonTensor, *, batched: bool) -> TensorSpec:
    """The input as the model itself has it; a free first size counts the samples."""
    free = tuple(f"{tensor.name}_{axis}" if size == ANY else size for axis, size in enumerate(tensor.model_dims))
    if batched:
        return TensorSpec(tensor.name, tensor.dtype, (BATCH, *free))
    return TensorSpec(tensor.name, tensor.dtype, (BATCH, *free[1:]) if free and isinstance(free[0], str) else free)


def _contradictions(config: TritonConfig, signature: Signature) -> tuple[str, ...]:
    return triton_rules.contradictions(config, signature.inputs, signature.outputs)


def _labels(folder: Path, config: TritonConfig) -> tuple[tuple[str, ...], tuple[Path, ...], tuple[str, ...]]:
    """The names of the first output's classes, the file that they are in, and what is wrong with it."""
    first = config.outputs[0] if config.outputs else None
    if first is None or not first.labels:
        return (), (), ()
    file = folder / first.labels
    if not PLAIN.fullmatch(first.labels) or not file.is_file() or file.stat().st_size > LABELS:
        return (
            (),
            (),
            (f"the labels of {first.name!r} ({shown(first.labels)}) are not a file beside {FILE}; --labels FILE names the classes",),
        )
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    names = tuple(printable(line.strip()) for line in lines)
    width = first.dims[-1] if first.dims else ANY
    if not names or not all(names) or (width != ANY and len(names) != width):
        return (), (file,), (f"{first.labels} has {len(names)} lines and {first.name!r} {width} classes: its names are left out",)
    return names, (file,), ()
