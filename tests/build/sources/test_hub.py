"""Folders of transformers and of timm as sources: what is known without the library, what it builds, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from roadworthy.build import sources
from roadworthy.build.preprocessing import forms
from roadworthy.build.sources import formats
from roadworthy.build.sources.hub import offline
from roadworthy.build.sources.model import Opened
from roadworthy.core.errors import ArchitectureMismatch, BackendMissing, SourceError, SourceRefused, SourceUnreadable, UsageError
from roadworthy.core.stages import Source
from roadworthy.core.types import BATCH
from roadworthy.preprocess.image import Preprocessor
from support import pictures

offline.prepare()
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
timm = pytest.importorskip("timm")
NAMES = ("cat", "dog", "bird")
NAMED: dict[str, Any] = {"id2label": dict(enumerate(NAMES)), "label2id": {name: index for index, name in enumerate(NAMES)}}
Change = Callable[[Path], None]


def vit() -> Any:
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 8,
    }
    return transformers.ViTForImageClassification(transformers.ViTConfig(**sizes, **NAMED))


def resnet() -> Any:
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **NAMED)
    return transformers.ResNetForImageClassification(config)


def mobilenet() -> Any:
    return transformers.MobileNetV2ForImageClassification(transformers.MobileNetV2Config(depth_multiplier=0.1, image_size=32, **NAMED))


def convnext() -> Any:
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, image_size=32, **NAMED)
    return transformers.ConvNextForImageClassification(config)


def bert() -> Any:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 40}
    return transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=50, **sizes, **NAMED))


MODELS = {"vit": vit, "resnet": resnet, "mobilenet": mobilenet, "convnext": convnext, "bert": bert}
PROCESSORS = {
    "vit": ("ViTImageProcessor", {"size": {"height": 32, "width": 32}}),
    "resnet": ("ConvNextImageProcessor", {"size": {"shortest_edge": 40}}),
    "mobilenet": ("MobileNetV2ImageProcessor", {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}),
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of ``MODELS``, with random weights, and ``timm``."""
    root = tmp_path_factory.mktemp("hub")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, build in MODELS.items():
            build().eval().save_pretrained(root / name)
            if name in PROCESSORS:
                kind, values = PROCESSORS[name]
                getattr(transformers, kind)(**values).save_pretrained(root / name)
        model = timm.create_model("test_resnet", num_classes=3)
        timm.models.save_for_hf(model.eval(), str(root / "timm"), model_config={"label_names": NAMES}, safe_serialization=True)
    return root


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(made / name, tmp_path / name, dirs_exist_ok=True))


def changed(folder: Path, **values: Any) -> Path:
    """The folder with other values in its config.json; None removes one."""
    config = json.loads((folder / "config.json").read_text()) | values
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def opened(path: Path, **options: Any) -> Opened:
    source = sources.identify(path, **options)
    found = formats.named(source.kind).open(source)
    assert isinstance(found, Opened) and not found.module.training
    return found


def answer(module: Any, *given: Any, **named: Any) -> Any:
    with torch.no_grad():
        found = module(*given, **named)
    return getattr(found, "logits", found).numpy()


def photograph(folder: Path) -> Path:
    path = folder / "photograph.jpg"
    Image.fromarray(pictures.made()[-1]).save(path, quality=90)
    return path


@pytest.mark.parametrize("name", PROCESSORS)
def test_one_path_gives_the_answers_of_the_librarys_own_pipeline(made: Path, tmp_path: Path, name: str) -> None:
    path = photograph(tmp_path)
    pipeline = transformers.pipeline("image-classification", model=str(made / name), top_k=3)
    wanted = {one["label"]: one["score"] for one in pipeline(str(path))}
    source = sources.identify(made / name)
    found = forms.only("beside", source, sources.layout(source))
    assert found is not None and source.labels == NAMES
    pixels = Preprocessor(found.contract.image).one(path)
    logits = torch.from_numpy(answer(opened(made / name).module, torch.from_numpy(pixels)[None])[0])
    assert dict(zip(source.labels, logits.softmax(0).tolist(), strict=True)) == pytest.approx(wanted, abs=1e-6)


def test_timm_gives_the_answers_of_timm(made: Path, tmp_path: Path) -> None:
    model = timm.create_model(f"local-dir:{made / 'timm'}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    path = photograph(tmp_path)
    source = sources.identify(made / "timm")
    found = forms.only("beside", source, "CHW")
    assert found is not None and source.labels == NAMES
    pixels = torch.from_numpy(Preprocessor(found.contract.image).one(path))
    wanted = transform(Image.open(path).convert("RGB"))
    assert torch.equal(pixels, wanted)
    had = opened(made / "timm")
    assert had.inputs[0].shape == (BATCH, *wanted.shape)
    assert np.array_equal(answer(had.module, pixels[None]), answer(model, wanted[None]))


def test_a_text_model_takes_tokens_of_any_length(made: Path) -> None:
    found = opened(made / "bert")
    assert [(spec.name, spec.dtype, spec.shape) for spec in found.inputs] == [
        ("input_ids", "int64", (BATCH, "sequence")),
        ("attention_mask", "int64", (BATCH, "sequence")),
    ]
    model = transformers.BertForSequenceClassification.from_pretrained(made / "bert").eval()
    ids = torch.randint(0, 50, (2, 9))
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    assert np.array_equal(answer(found.module, **given), answer(model, **given))


def test_the_outputs_have_the_names_of_the_library_and_the_input_its_parameters(made: Path, tmp_path: Path) -> None:
    from roadworthy.build.data import dataset
    from roadworthy.build.data.raw_data import ExpectedInputs

    source = sources.identify(made / "resnet")
    contract = forms.only("beside", source, "CHW").contract  # type: ignore[union-attr]
    pixels = np.stack([np.resize(one, (60, 50, 3)) for one in pictures.made()])
    samples = dataset.gather(pixels, ExpectedInputs((), contract), tmp_path / "data").samples
    loaded = sources.load(sources.LoadRequest(source, (), samples, tmp_path / "original"))
    assert [(spec.name, spec.shape) for spec in loaded.signature.inputs] == [("pixel_values", (BATCH, 3, 40, 40))]
    assert [(spec.name, spec.shape) for spec in loaded.signature.outputs] == [("logits", (BATCH, 3))]
    assert any("none of its tensors is missing" in proof for proof in loaded.proofs)


def test_shards_and_files_of_torch_save_hold_the_same_weights(copied: Callable[[str], Path]) -> None:
    folder = copied("convnext")
    tensors = load_file(folder / "model.safetensors")
    given = torch.rand(2, 3, 32, 32)
    wanted = answer(opened(folder).module, given)
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert np.array_equal(answer(opened(folder).module, given), wanted)
    assert {spec.name for spec in sources.inspect(folder).tensors} == set(names)
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(SourceUnreadable, match=r"names model-2.safetensors, which is not beside it"):
        sources.identify(folder)
    (folder / "model.safetensors.index.json").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert np.array_equal(answer(opened(folder).module, given), wanted)


@pytest.mark.parametrize("weight_map", [{"w": "../model.safetensors"}, {"w": "/etc/passwd"}, {}, {"w": 3}])
def test_an_index_that_leads_elsewhere_is_refused(copied: Callable[[str], Path], weight_map: dict[str, Any]) -> None:
    folder = copied("convnext")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(SourceUnreadable, match=r"outside its folder|has no weight_map"):
        sources.identify(folder)


def test_half_precision_is_raised_and_said(copied: Callable[[str], Path]) -> None:
    folder = copied("vit")
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in tensors.items()}, folder / "model.safetensors")
    found = opened(changed(folder, dtype="float16"))
    assert found.notes == ("weights in float16 were made float32",)
    assert {tensor.dtype for tensor in found.module.state_dict().values() if tensor.is_floating_point()} == {torch.float32}


def test_weights_that_transformers_would_make_up_are_an_error(copied: Callable[[str], Path]) -> None:
    folder = copied("vit")
    tensors = load_file(folder / "model.safetensors")
    bias = tensors.pop("classifier.bias")
    save_file(tensors | {"head.bias": bias}, folder / "model.safetensors")
    with pytest.raises(ArchitectureMismatch, match=r"missing in the files: classifier.bias; unexpected in the files: head.bias"):
        opened(folder)
    save_file(tensors | {"classifier.bias": bias[:2].clone()}, folder / "model.safetensors")
    with pytest.raises(ArchitectureMismatch, match=r"of another shape: classifier.bias"):
        opened(folder)


def test_timms_weights_must_fit_too(copied: Callable[[str], Path]) -> None:
    folder = copied("timm")
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("fc.bias")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ArchitectureMismatch, match=r"missing in the file: fc.bias"):
        opened(folder)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("vit", {"auto_map": {"AutoModel": "modeling_mine.Mine"}}, r"names code of its own .auto_map .*modeling_mine.* which is never run"),
    ("vit", {"backbone_config": {"auto_map": {"AutoConfig": "x.Y"}}}, "names code of its own"),
    (
        "vit",
        {"model_args": {"checkpoint_path": "x.pth"}},
        r"names a file of weights of its own .checkpoint_path x.pth., which is never",
    ),
    ("vit", {"architectures": None}, r"does not state in config.json which model it is .architectures."),
    ("vit", {"architectures": ["os.system"]}, "does not state in config.json"),
    ("vit", {"quantization_config": {"quant_method": "gptq"}}, "holds quantised weights"),
    ("vit", {"_attn_implementation": "kernels-community/flash"}, "asks for the attention 'kernels-community/flash'"),
    ("timm", {"architecture": "hf-hub:someone/else"}, "does not state in config.json which model it is .architecture."),
]


@pytest.mark.parametrize(("name", "values", "message"), REFUSED, ids=lambda one: str(one)[:30])
def test_what_is_never_deployed_is_refused_by_name(copied: Callable[[str], Path], name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        sources.identify(changed(copied(name), **values))


def test_a_folder_without_weights_of_pytorch_says_which_there_could_be(copied: Callable[[str], Path]) -> None:
    folder = copied("vit")
    (folder / "model.safetensors").rename(folder / "tf_model.h5")
    with pytest.raises(SourceError, match=r"holds no weights of PyTorch; known are model.safetensors"):
        sources.identify(folder)


def test_a_class_that_the_library_does_not_have_is_named(copied: Callable[[str], Path]) -> None:
    with pytest.raises(SourceError, match=r"is a ViTForFlying, which transformers .* does not have"):
        opened(changed(copied("vit"), architectures=["ViTForFlying"]))
    with pytest.raises(SourceError, match="is a ViTConfig, which transformers"):
        opened(changed(copied("vit"), architectures=["ViTConfig"]))
    with pytest.raises(SourceError, match="cannot build flying_resnet"):
        opened(changed(copied("timm"), architecture="flying_resnet"))


def test_a_configuration_that_cannot_be_built_is_one_sentence(copied: Callable[[str], Path]) -> None:
    with pytest.raises(SourceError, match="cannot build it: "):
        opened(changed(copied("vit"), hidden_act="no such activation"))


def test_code_in_the_folder_never_runs(copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("vit", "timm"):
        folder = copied(name)
        for module in ("modeling_vit", "configuration_vit", "torch", "timm", "transformers", "sitecustomize"):
            (folder / f"{module}.py").write_text(f"open({str(ran)!r}, 'w')")
        monkeypatch.chdir(folder)
        opened(folder)
        opened(Path("config.json"))
        assert any("code that is never run" in note for note in sources.inspect(folder).notes)
    assert not ran.exists()


def test_a_pickle_that_asks_for_code_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("convnext")
    (folder / "model.safetensors").unlink()

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, ("true",)

    torch.save({"weight": torch.zeros(2), "more": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(SourceRefused, match=r"asks for code beside its weights .*system.*save it again with save_pretrained"):
        sources.identify(folder)


def test_nothing_is_fetched(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> Any:
        raise AssertionError("the network is used")

    for function in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, function, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in (*MODELS, "timm"):
        opened(made / name)
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_what_is_known_without_the_library(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in ("transformers", "timm") else found(name, *more))
    for name in ("transformers", "timm"):
        monkeypatch.setitem(sys.modules, name, None)
    inspection = sources.inspect(made / "vit")
    assert inspection.kind == "hub" and inspection.framework == "torch"
    assert inspection.notes[0] == "a model of transformers: ViTForImageClassification"
    assert "3 classes: cat, dog, bird" in inspection.notes
    assert any(spec.name == "classifier.weight" and spec.shape == (3, 16) for spec in inspection.tensors)
    assert sources.inspect(made / "timm").notes[0] == "a model of timm: test_resnet"
    for name, extra in (("vit", "huggingface"), ("timm", "timm")):
        with pytest.raises(BackendMissing, match=rf"which is not installed: pip install 'roadworthy\[{extra}\]'"):
            sources.identify(made / name)
        with pytest.raises(BackendMissing, match="is not installed"):
            formats.named("hub").open(Source(made / name, "hub", "torch", "", 0))


def test_the_configuration_names_the_folder_and_its_weights_say_so(made: Path, tmp_path: Path) -> None:
    assert sources.identify(made / "vit" / "config.json").path == made / "vit"
    weights = made / "vit" / "model.safetensors"
    with pytest.raises(UsageError) as caught:
        sources.identify(weights)
    assert f"give its folder {made / 'vit'}, whose config.json says the model, or name the code" in caught.value.message
    net = tmp_path / "net.py"
    net.write_text("def build(): ...")
    assert sources.identify(weights, arch=f"{net}:build").kind == "safetensors"
    with pytest.raises(UsageError, match="brings its own architecture; leave --arch"):
        sources.identify(made / "vit", arch=f"{net}:build")


@pytest.mark.parametrize("config", ["{", "[]", '{"class_name": "Functional"}', ""])
def test_another_config_json_makes_no_such_folder(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(SourceUnreadable, match="is a directory and not a model file"):
        sources.identify(tmp_path)


@pytest.mark.parametrize(
    ("stated", "labels"),
    [
        ({"0": "cat", "1": "dog"}, ("cat", "dog")),
        ({"1": "dog", "0": "cat"}, ("cat", "dog")),
        ({"0": "LABEL_0", "1": "LABEL_1"}, ()),
        ({"1": "cat", "2": "dog"}, ()),
        ({"a": "cat"}, ()),
        ({"0": "score"}, ()),
        (None, ()),
    ],
)
def test_labels_are_in_the_order_of_the_outputs_or_none(copied: Callable[[str], Path], stated: Any, labels: tuple[str, ...]) -> None:
    assert sources.identify(changed(copied("vit"), id2label=stated)).labels == labels


def test_a_live_model_brings_its_labels_and_what_it_was_loaded_with(made: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForImageClassification.from_pretrained(made / "vit")
    assert sources.labels(model) == NAMES
    found = forms.only("on_model", model, "CHW")
    assert found is not None and found.contract.sample_shape().axes == (3, 32, 32)
    assert forms.only("on_model", vit(), "CHW") is None
    assert sources.labels(timm.create_model(f"local-dir:{made / 'timm'}")) == NAMES
    assert sources.labels(torch.nn.Linear(2, 2)) == ()
    kept = sources.save_live(model, tmp_path)
    had = formats.named(kept.kind).open(kept)
    given = torch.rand(1, 3, 32, 32)
    assert np.array_equal(answer(had.module, given), answer(model.eval(), given))  # type: ignore[union-attr]
