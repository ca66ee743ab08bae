"""TorchServe's archives: the transforms of its own handlers, labels, and code that is named and not run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.build import sources
from roadworthy.build.preprocessing import ReadRequest, read_step
from roadworthy.core.errors import DataError, RoadworthyError, SourceError, SourceUnreadable
from roadworthy.core.stages import Source
from roadworthy.preprocess.image import Preprocessor
from support.files import onnx_files

CODE = b"raise SystemExit('run')\nclass Net:\n    pass\n"
NAMES = {"0": "ant", "1": ["n01", "bee"], "2": "cat"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


def source(path: Path) -> Source:
    return Source(path, "jit", "torch", "", 0)


def manifest(**model: Any) -> bytes:
    return json.dumps({"createdOn": "", "runtime": "python", "model": {"modelName": "m", "modelVersion": "1.0", **model}}).encode()


def files(handler: str = "image_classifier", labels: Any = None, **more: bytes) -> dict[str, bytes]:
    """The members of an archive as the archiver writes them."""
    members = {"MAR-INF/MANIFEST.json": manifest(serializedFile="m.pt", handler=handler), "m.pt": b"weights", **more}
    return members if labels is None else members | {"index_to_name.json": json.dumps(labels).encode()}


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def unpacked(folder: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def ask(asked: str | Path | None, path: Path = Path("m.pt")) -> Any:
    return read_step(ReadRequest(None if asked is None else str(asked), source(path), "CHW"))


@pytest.mark.slow
@pytest.mark.parametrize("handler", ["image_classifier", "image_segmenter", "object_detector"])
@pytest.mark.parametrize("size", [(300, 401), (256, 256), (224, 500), (31, 30)])
def test_each_handler_is_its_own_transform(handler: str, size: tuple[int, int]) -> None:
    from PIL import Image

    from roadworthy.frameworks.torch.torchvision_ops import declare_missing

    declare_missing()
    from torchvision import transforms

    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8))
    normalised = [transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
    cut = [transforms.Resize(256), transforms.CenterCrop(224)]
    # As ts/torch_handler writes them.
    own = transforms.Compose([transforms.ToTensor()] if handler == "object_detector" else [*cut, transforms.ToTensor(), *normalised])
    contract = ask(f"torchserve:{handler}").contract
    assert np.array_equal(Preprocessor(contract.image).one(image), own(image).numpy())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("torchserve:text_classifier", "takes text"),
        ("torchserve:base_handler", "takes tensors"),
        ("torchserve:dali_image_classifier", "NVIDIA DALI"),
        ("torchserve:image_clasifier", "image_classifier, image_segmenter, object_detector"),
        ("torchserve:", "is not a handler of TorchServe's"),
    ],
)
def test_other_handlers_are_refused_by_what_they_are(name: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as refused:
        ask(name)
    assert "--preprocess FILE.toml" in refused.value.message


def test_an_archive_its_folder_and_its_manifest_are_one(tmp_path: Path) -> None:
    members = files(labels=NAMES)
    archive, folder = packed(tmp_path / "m.mar", members), unpacked(tmp_path / "m", members)
    found = [ask(path) for path in (archive, folder, folder / "MAR-INF" / "MANIFEST.json")]
    wanted = ask("torchserve:image_classifier").contract
    for one in found:
        assert one.contract.image == wanted.image and one.contract.answer.labels == ("ant", "bee", "cat")
        assert "image_classifier" in one.origin


def test_a_model_file_finds_the_archive_that_it_was_in(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "m", files(labels=NAMES, **{"other.pt": b"x"}))
    found = ask(None, folder / "m.pt")
    assert found.contract.takes_images and found.contract.answer.labels == ("ant", "bee", "cat")
    assert ask(None, folder / "other.pt") is None
    assert ask(None, tmp_path / "elsewhere.pt") is None


@pytest.mark.parametrize("handler", ["own.py", "own", "own.py:handle", "image_classifier"])
def test_code_is_named_and_never_run(tmp_path: Path, handler: str) -> None:
    """A file with the name of a handler of TorchServe's takes its place there."""
    file = "image_classifier.py" if handler == "image_classifier" else "own.py"
    members = files(handler, labels=NAMES, **{file: CODE})
    with pytest.raises(DataError, match=rf"{file}: code, which is not run") as refused:
        ask(packed(tmp_path / "m.mar", members))
    assert "--preprocess FILE.py:CALLABLE" in refused.value.message
    beside = ask(None, unpacked(tmp_path / "m", members) / "m.pt")
    assert not beside.contract.takes_images and beside.contract.answer.labels == ("ant", "bee", "cat")
    assert file in beside.notes[0].text and beside.notes[0].warning


def test_a_handler_that_takes_no_images_is_a_note_beside_the_model(tmp_path: Path) -> None:
    found = ask(None, unpacked(tmp_path / "m", files("text_classifier")) / "m.pt")
    assert not found.contract.takes_images and "takes text" in found.notes[0].text


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({"object_type_names": ["a", "b"]}, ("a", "b")),
        ({str(index): str(-index) for index in range(12)}, tuple(str(-index) for index in range(12))),
        ({"1": "a", "2": "b"}, ()),
        ({"0": "a", "2": "b"}, ()),
        ({"0": 3}, ()),
        ({"0": []}, ()),
        (["a", "b"], ()),
        ({}, ()),
    ],
)
def test_labels_by_index(tmp_path: Path, labels: Any, wanted: tuple[str, ...]) -> None:
    found = ask(packed(tmp_path / "m.mar", files(labels=labels)))
    assert found.contract.answer.labels == wanted
    assert bool(found.notes) == (not wanted) and all("--labels FILE" in note.text for note in found.notes)


def test_an_archive_that_is_deployed_finds_its_own_preprocessing(tmp_path: Path) -> None:
    shape = [1, 3, 224, 224]
    image = [("x", onnx.TensorProto.FLOAT, shape)], [("y", onnx.TensorProto.FLOAT, shape)]
    onnx_files.written(tmp_path / "inner.onnx", [onnx.helper.make_node("Identity", ["x"], ["y"])], *image)
    members = files(labels=NAMES) | {
        "MAR-INF/MANIFEST.json": manifest(serializedFile="m.onnx", handler="image_classifier"),
        "m.onnx": (tmp_path / "inner.onnx").read_bytes(),
    }
    inside = sources.identify(packed(tmp_path / "m.mar", members), unpacked=tmp_path / "unpacked")
    found = read_step(ReadRequest(None, inside, "CHW"))
    assert inside.kind == "onnx" and found is not None and found.contract.takes_images
    assert found.contract.answer.labels == ("ant", "bee", "cat")


def test_a_handler_of_an_archive_is_named_by_the_archive_that_the_user_named(tmp_path: Path) -> None:
    onnx_files.linear(tmp_path / "inner.onnx")
    members = files("own.py", **{"own.py": CODE, "m.onnx": (tmp_path / "inner.onnx").read_bytes()})
    members["MAR-INF/MANIFEST.json"] = manifest(serializedFile="m.onnx", handler="own.py")
    path = packed(tmp_path / "m.mar", members)
    found = read_step(ReadRequest(None, sources.identify(path, unpacked=tmp_path / "scratch"), "CHW"))
    assert found is not None and found.notes[0].text.startswith(f"{path} has a handler of its own, own.py")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (files() | {"MAR-INF/MANIFEST.json": b"{"}, "not valid JSON"),
        (files() | {"MAR-INF/MANIFEST.json": b"[]"}, "has no model"),
        (files() | {"MAR-INF/MANIFEST.json": manifest(serializedFile="m.pt")}, "the handler ''"),
        (files() | {"MAR-INF/MANIFEST.json": manifest(handler="h")}, "deploy the model that its handler h loads"),
        (files() | {"MAR-INF/MANIFEST.json": manifest(serializedFile="gone.pt", handler="h")}, "names 'gone.pt', which is not there"),
        (files() | {"MAR-INF/MANIFEST.json": manifest(serializedFile="../m.pt", handler="h")}, "not the name of a file"),
        (files() | {"MAR-INF/MANIFEST.json": manifest(serializedFile="m.pt; rm -r x", handler="h")}, "not the name of a file"),
        (files() | {"MAR-INF/MANIFEST.json": manifest(serializedFile=3, handler="h")}, "not the name of a file"),
        (files() | {"MAR-INF/MANIFEST.json": manifest(handler="/h.py")}, "not the name of a file"),
        (files() | {"../out": b""}, "leads out of the archive"),
        (files() | {"index_to_name.json": b"0" * 40_000_000}, "decompression bomb"),
    ],
)
def test_hostile_archives_are_refused(tmp_path: Path, members: dict[str, bytes], says: str) -> None:
    path = tmp_path / "m.mar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises((SourceUnreadable, SourceError), match=says.replace("(", r"\(")):
        sources.identify(path, unpacked=tmp_path / "unpacked")
    with pytest.raises((SourceUnreadable, DataError)):
        ask(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON)
def test_any_manifest_and_any_labels_give_one_of_our_own_errors(tmp_path: Path, value: Any) -> None:
    for members in (files(labels=value), files() | {"MAR-INF/MANIFEST.json": json.dumps({"model": value}).encode()}):
        try:
            ask(packed(tmp_path / "m.mar", members))
        except RoadworthyError:
            pass


def test_a_damaged_archive_beside_the_model_does_not_keep_it_from_being_deployed(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "m", files() | {"MAR-INF/MANIFEST.json": b"{"})
    found = ask(None, folder / "m.pt")
    assert not found.contract.takes_images and found.notes[0].warning
