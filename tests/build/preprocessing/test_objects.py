"""Preprocessing named as FILE.py:name or package.module:name, and live objects: read by the forms, or refused in one sentence."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

import pytest

from roadworthy.build import deploy_live, original, preprocessing
from roadworthy.build.job import Job
from roadworthy.build.preprocessing import Found, ReadRequest
from roadworthy.build.workspace import workspace_for
from roadworthy.core.errors import DataError, EnvironmentFault
from roadworthy.core.stages import Source
from roadworthy.core.types import TensorSpec
from roadworthy.frameworks.torch.torchvision_ops import declare_missing
from roadworthy.preprocess import spec
from roadworthy.preprocess.steps import Normalize, Resize

declare_missing()
torchvision = pytest.importorskip("torchvision")
SOURCE = Source(Path("model.pt"), "state_dict", "torch", "", 0)
CODE = """
from torchvision import transforms as T

SIZE = 40
ready = T.Compose([T.Resize(SIZE), T.ToTensor()])

def build(size=24):
    return T.Compose([T.Resize(size), T.ToTensor()])

def bad():
    sizes = {}
    return sizes["large"]

def transform(image):
    return image

class Holder:
    inner = ready

number = 7
"""


def read(asked: str) -> Found:
    found = preprocessing.read_step(ReadRequest(asked, SOURCE, "CHW"))
    assert found is not None
    return found


def resizes(found: Found) -> list[Any]:
    return [step.size for step in found.contract.image if isinstance(step, Resize)]


@pytest.fixture
def code(tmp_path: Path) -> str:
    file = tmp_path / "prep_code.py"
    file.write_text(CODE)
    return str(file)


def test_an_object_a_function_and_an_attribute_of_a_file(code: str) -> None:
    assert [resizes(read(f"{code}:{name}")) for name in ("ready", "build", "Holder.inner")] == [[40], [24], [40]]


def test_an_attribute_path_into_a_library() -> None:
    weights = "torchvision.models:ResNet50_Weights.IMAGENET1K_V2"
    found = read(weights)
    assert resizes(found) == [232] and found.contract.answer.labels[0] == "tench"
    assert read(f"{weights}.transforms").contract.image == found.contract.image


def test_presets_files_and_names_of_forms_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tf.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "a.toml").write_text("[image]\ncrop = 8\n")
    monkeypatch.chdir(tmp_path)
    assert read("tf:224").contract == spec.read("tf:224")
    assert read("a.toml").contract == spec.read("a.toml")
    with pytest.raises(DataError, match="neither a file nor a preset"):
        read("tf:size")
    with pytest.raises(DataError, match="neither a file nor a preset"):
        read("imagenette")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("prep_code.py:biuld", r"prep_code\.py has no biuld; it has build"),
        ("prep_code.py:Holder.iner", r"prep_code\.py:Holder has no iner; it has inner"),
        ("prep_code.py:bad", r"bad raised KeyError: 'large' \(prep_code\.py, line 12\)"),
        ("prep_code.py:transform", r"the function transform\(image\), whose code a server does not run; let it return the transforms"),
        ("prep_code.py:number", r"number is a int, which is not preprocessing of a known form \(.*torchvision"),
        ("prep_code.py:Holder", "Holder, which is not preprocessing of a known form"),
        ("gone.py:build", r"the file .*gone\.py, which should hold build, does not exist"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(code: str, name: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read(str(Path(code).with_name(name.partition(":")[0])) + ":" + name.partition(":")[2])
    assert "\n" not in caught.value.message


def test_modules_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the module rw_no_module, which should hold rw_no_module:build, does not exist"):
        read("rw_no_module:build")
    (tmp_path / "needs.py").write_text("def build():\n    import rw_no_package\n")
    with pytest.raises(EnvironmentFault, match=r"needs\.py, line 2\); install rw_no_package"):
        read(f"{tmp_path}/needs.py:build")


def test_the_code_is_the_users_in_the_job(code: str) -> None:
    job = functools.partial(Job, Path("model.pt"), Path("out"))
    assert job(preprocess=f"{code}:build").code == (code,)
    assert job(preprocess=f"{code}:build").code_files == (Path(code),)
    assert job(preprocess="torchvision.models:ResNet50_Weights.DEFAULT").code == ("torchvision.models",)
    assert [job(preprocess=text).code for text in ("tf:224", "imagenet", "a.toml")] == [(), (), ()]


@pytest.mark.slow
def test_a_child_reads_it_with_its_output_heard_and_its_folder_kept(
    tmp_path: Path, torch_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support import warm_children

    warm_children.install(torch_server, monkeypatch.setattr)
    folder = tmp_path / "users"
    folder.mkdir()
    (folder / "sizes.py").write_text("SIZE = 12\n")
    (folder / "prep.py").write_text(
        "from torchvision.transforms import Compose, Resize, ToTensor\n\ndef build():\n    from sizes import SIZE\n    print('building')\n"
        "    open('left.txt', 'w').close()\n    return Compose([Resize(SIZE), ToTensor()])\n"
    )
    monkeypatch.chdir(folder)
    heard: list[str] = []
    job = Job(folder / "model.pt", tmp_path / "out", preprocess="prep.py:build", seconds=600.0)
    with workspace_for([job], lambda progress: heard.append(progress.said)) as workspace:
        found = original.contract_of(job, SOURCE, workspace)
    assert resizes(found) == [12]
    assert "prep.py | building" in heard
    assert sorted(path.name for path in folder.iterdir()) == ["prep.py", "sizes.py"]


class Carrying:
    """A live model with timm's configuration."""

    pretrained_cfg: ClassVar = {"architecture": "resnet18", "input_size": (3, 32, 32), "mean": (0.5,), "std": (0.5,), "crop_pct": 1.0}


def test_a_live_object_goes_to_the_deployment_as_a_file(tmp_path: Path) -> None:
    T = torchvision.transforms
    transform = T.Compose([T.RandomHorizontalFlip(), T.Resize(30), T.ToTensor()])
    for one in (transform, lambda: transform):
        path = deploy_live._preprocessing(one, None, (), tmp_path)
        assert path is not None
        found = read(path)
        assert (resizes(found), found.origin) == ([30], "torchvision Compose of RandomHorizontalFlip, Resize, ToTensor")
        assert "was left out" in found.notes[0].text
    weights = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V2
    assert read(str(deploy_live._preprocessing(weights, None, (), tmp_path))).contract.answer.labels[-1] == "toilet tissue"
    assert deploy_live._preprocessing("tf:32", Carrying(), (), tmp_path) == "tf:32"
    assert deploy_live._preprocessing(None, object(), (), tmp_path) is None


def test_a_live_object_of_no_form_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"preprocess is a .*Carrying.*|preprocess is a object"):
        deploy_live._preprocessing(object(), None, (), tmp_path)
    with pytest.raises(DataError, match=r"preprocess is the function .*whose code a server does not run"):
        deploy_live._preprocessing(lambda image: image, None, (), tmp_path)


def test_a_live_model_brings_its_own_and_not_where_its_inputs_are_others(tmp_path: Path) -> None:
    for inputs in ((), (TensorSpec("x", "float32", ("batch", 3, 32, 32)),), (TensorSpec("x", "uint8", ("batch", 50, 60, 3)),)):
        found = read(str(deploy_live._preprocessing(None, Carrying(), inputs, tmp_path)))
        assert found.origin == "timm pretrained_cfg of resnet18"
        assert isinstance(found.contract.image[-1], Normalize)
    other = read(str(deploy_live._preprocessing(None, Carrying(), (TensorSpec("x", "float32", ("batch", 3, 28, 28)),), tmp_path)))
    assert not other.contract.takes_images
    assert "timm pretrained_cfg of resnet18 gives float32 [3, 32, 32] for an image" in other.notes[0].text
