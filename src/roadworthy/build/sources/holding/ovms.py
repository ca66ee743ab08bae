"""A model of OpenVINO Model Server: a folder with a folder for each version, as TensorFlow Serving has it too, or a ``config.json``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from roadworthy.build.sources.holding import HeldModel
from roadworthy.build.sources.parsers.untrusted import listed, shown
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.core.errors import SourceError, SourceUnreadable
from roadworthy.other_servers import ovms_config, triton_config, versions
from roadworthy.other_servers.ovms_config import FILE, LIST, LONGEST, OvmsModel
from roadworthy.other_servers.versions import VersionPolicy

KIND = "ovms"
SAVED_MODEL = "saved_model.pb"
READ = (".onnx", ".tflite")
UNREAD = {
    ".xml": "OpenVINO's own format, which is not read as a source; deploy the model that it was converted from",
    ".pdmodel": "a model of PaddlePaddle, which is not read; export it to ONNX with paddle2onnx",
}


def sniff(file: SourceFile) -> bool:
    """A configuration, its folder, or a folder of versions that hold model files."""
    if not file.path.is_dir():
        return file.is_text and LIST.encode() in file.head and file.head.lstrip()[:1] == b"{"
    if (file.path / triton_config.FILE).exists() or (file.path / SAVED_MODEL).exists():
        return False
    return _is_config(file.path / FILE) or any(_files(file.path / str(version)) for version in versions.numbered(file.path))


def unpack(path: Path, to: Path) -> HeldModel:
    """The newest version that the configuration serves, where there is one; the newest of the folder, where there is none."""
    if path.is_file() or _is_config(path / FILE):
        config = path if path.is_file() else path / FILE
        model = _only(config)
        folder = _folder(config, model)
    else:
        # The configuration of the whole repository may lie one folder higher.
        folder, config = path, path.resolve().parent / FILE
        found = _named(config, path.resolve())
        model = found or OvmsModel(path.name, str(path))
        config = config if found else Path()
    version, file = _newest(folder, model.versions)
    notes = [f"version {version} of the model {shown(model.name)} (version policy {model.versions}) of a folder of versions"]
    sizes = [
        f"{word} {shown(value)}" for word, value in (("batch_size", model.batch_size), *(("shape", one) for _, one in model.shape)) if value
    ]
    if sizes:
        notes.append(f"{FILE} changes the model's sizes for its server ({listed(tuple(sizes))}); --input fixes them here")
    return HeldModel(file, str(file), (config,) if config.name else (), tuple(notes))


def _is_config(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return f'"{LIST}"'.encode() in file.read(LONGEST)


def _parsed(config: Path) -> tuple[OvmsModel, ...]:
    with open(config, "rb") as file:
        return ovms_config.parse(file.read(LONGEST + 1), str(config), SourceUnreadable)


def _only(config: Path) -> OvmsModel:
    """The one model of the configuration; SourceError where there are several, or where it is not a model."""
    found = _parsed(config)
    if len(found) != 1:
        names = listed(tuple(shown(model.name) for model in found)) or "none"
        raise SourceError(f"{config} lists {len(found)} models ({names}); deploy the folder of one, which holds its versions")
    (model,) = found
    if model.graph or model.custom_loader:
        what = "a MediaPipe graph" if model.graph else "loaded by a library of its own"
        raise SourceError(f"{config}: {shown(model.name)} is {what}, which is not read; deploy the model inside")
    return model


def _named(config: Path, folder: Path) -> OvmsModel | None:
    """What the configuration says of the model in ``folder``; None where there is none or it says nothing."""
    if not _is_config(config):
        return None
    return next((model for model in _parsed(config) if PurePosixPath(model.base_path).name == folder.name), None)


def _folder(config: Path, model: OvmsModel) -> Path:
    """Where ``base_path``, a path of the server's, is below the configuration's own folder: by as many of its last names as are there."""
    if "://" in model.base_path or not model.base_path:
        raise SourceError(f"{config}: {shown(model.name)} lies at {shown(model.base_path)!r}; fetch its folder and deploy that")
    parts = [part for part in PurePosixPath(model.base_path).parts if part != "/"]
    if ".." in parts:
        raise SourceUnreadable(f"{config}: the base_path {shown(model.base_path)!r} leads out of its folder")
    for first in range(len(parts)):
        if (folder := config.parent.joinpath(*parts[first:])).is_dir():
            return folder
    raise SourceUnreadable(
        f"{config}: {config.parent} holds no folder {shown(parts[-1] if parts else '')!r}, the base_path of {shown(model.name)}"
    )


def _newest(folder: Path, policy: VersionPolicy) -> tuple[int, Path]:
    """The newest version that is served, and its model; SourceError for a format that is not read."""
    there = versions.numbered(folder)
    served = policy.served(there)
    if not served:
        raise SourceUnreadable(
            f"{folder} holds no version that its version policy ({policy}) serves; it has {', '.join(map(str, there)) or 'none'}"
        )
    place = folder / str(served[0])
    if (place / SAVED_MODEL).is_file():
        return served[0], place
    files = _files(place)
    if len(readable := [file for file in files if file.suffix in READ]) == 1:
        return served[0], readable[0]
    if files and not readable:
        raise SourceError(f"{files[0]} is {UNREAD[files[0].suffix]}")
    raise SourceUnreadable(f"{place} holds {len(readable)} model files, and one is wanted")


def _files(place: Path) -> list[Path]:
    """The model files of a version."""
    if not place.is_dir():
        return []
    if (place / SAVED_MODEL).is_file():
        return [place / SAVED_MODEL]
    return sorted(file for file in place.iterdir() if file.suffix in (*READ, *UNREAD) and file.is_file())
