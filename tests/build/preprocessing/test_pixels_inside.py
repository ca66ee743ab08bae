"""Models that prepare pixels themselves: what they are given by default, and what is refused because it would be done twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from roadworthy.build import sources
from roadworthy.build.job import Job
from roadworthy.build.preprocessing import ReadRequest, disagreement, held_against, read_step
from roadworthy.build.preprocessing.inside import taken
from roadworthy.core.errors import DataError
from roadworthy.core.stages import InnerLayer, Source
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess import spec
from roadworthy.preprocess.steps import Decode, Normalize, Resize
from support.models.keras_preprocessing import Compared

NORMALISED = {
    "whole.keras": "to_unit", "whole.h5": "to_unit", "nested.keras": "efficientnetb0/rescaling", "efficientnet_v2.keras": "rescaling",
    "convnext.keras": "convnext_tiny_prestem_normalization", "mobilenet_v3.keras": "rescaling", "tf.keras": "true_divide",
    "caffe.keras": "add", "keras_2_tf.h5": "tf.math.truediv", "keras_2_caffe.h5": "tf.nn.bias_add", "rescaling.tflite": "mul",
}  # fmt: skip
"""Files whose models want 0..255, and a part of the name of the layer that says so."""
IMAGE = TensorSpec("image", "float32", ("batch", 32, 32, 3))
RESCALING = InnerLayer("to_unit", "Rescaling(scale=1/255, offset=0)", (1 / 255,))


def source(*layers: InnerLayer, takes: TensorSpec = IMAGE) -> Source:
    return Source(Path("model.keras"), "keras", "tensorflow", "", 0, takes=(takes,), inner=layers)


def read(of: Source, asked: str | None) -> Any:
    """What is read, held against what the model does itself, as a deployment does it."""
    job = Job(of.path, of.path / "bundle", preprocess=asked)
    found = read_step(ReadRequest(job.named_preprocess, of, sources.layout(of)))
    return found and held_against(found, of, job.named_preprocess, twice=job.twice)


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMALISED)
def test_a_model_that_normalises_inside_is_given_pixels_and_a_second_normalisation_is_refused(
    name: str, compared: tuple[Compared, Path]
) -> None:
    model = sources.identify(compared[1] / name)
    found = read(model, None)
    assert found is not None
    assert found.contract.image == (
        Decode(), Resize((32, 32), antialias=False, rounded=False, like="tf"), Normalize(1.0, (0.0,), (1.0,), axis=2),
    )  # fmt: skip
    assert NORMALISED[name] in found.notes[0].text
    for second in ("unit:32", "tf:32", "caffe:32", "keras.applications.densenet.preprocess_input"):
        with pytest.raises(
            DataError, match=rf"{NORMALISED[name]}.*takes 0\.\.255.*pass --preprocess raw:32, or --preprocess twice:{second}"
        ):
            read(model, second)
    assert read(model, "raw:32") is not None
    assert "as the user says that training did" in read(model, "twice:unit:32").notes[-1].text


@pytest.mark.slow
def test_what_a_file_holds_without_a_normalisation_of_pixels_asks_for_nothing(compared: tuple[Compared, Path]) -> None:
    for name in ("batch_norm.keras", "plain.keras"):
        model = sources.identify(compared[1] / name)
        assert read(model, None) is None, name
        assert read(model, "tf:32") is not None


@pytest.mark.slow
def test_a_model_that_takes_0_to_1_is_given_that(compared: tuple[Compared, Path]) -> None:
    model = sources.identify(compared[1] / "signed.keras")
    assert read(model, None).contract.image[-1] == Normalize(1 / 255, (-0.0,), (1.0,), axis=2)
    assert read(model, "unit:32") is not None
    with pytest.raises(DataError, match=r"takes 0\.\.1.*values from 0 to 255: pass --preprocess unit:32"):
        read(model, "raw:32")


@pytest.mark.slow
def test_an_open_size_stays_open_where_the_model_resizes(compared: tuple[Compared, Path]) -> None:
    found = read(sources.identify(compared[1] / "open.keras"), None)
    assert [type(step) for step in found.contract.image] == [Decode, Normalize]
    assert "the model resizes them itself (layer 'smaller': Resizing(16, 16))" in found.notes[1].text


@pytest.mark.slow
def test_a_networks_name_is_a_suggestion_and_nothing_more(compared: tuple[Compared, Path]) -> None:
    found = read(sources.identify(compared[1] / "named.keras"), None)
    assert not found.contract.takes_images
    assert "'mobilenetv2_1.00_224'" in found.notes[0].text
    assert "--preprocess keras.applications.mobilenet_v2.preprocess_input" in found.notes[0].text


@pytest.mark.parametrize(
    ("scale", "offset", "preset"),
    [
        (1 / 255, 0, "raw"), (1 / 127.5, -1, "raw"), (1, -127.5, "raw"), (1 / 58.4, -2.1, "raw"), (2, -1, "unit"), (4.4, -2.1, "unit"),
        (255, 0, "unit"), (127.5, 127.5, "tf"), (1, 0, None), (0.5, 0.1, None),
    ],
)  # fmt: skip
def test_scale_and_offset_say_what_a_layer_was_made_for(scale: float, offset: float, preset: str | None) -> None:
    values = taken((InnerLayer("layer", "x", (scale,), (offset,)),))
    assert (values.preset if values else None) == preset


def test_layers_count_together() -> None:
    second = InnerLayer("norm", "Normalization", (4.4, 4.5, 4.4), (-2.1, -2.0, -1.8))
    both = taken((RESCALING, second))
    assert both is not None
    assert both.preset == "raw"
    alone = taken((second,))
    assert alone is not None
    assert alone.preset == "unit"


def test_a_toml_file_that_normalises_is_refused_as_a_preset_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[image]\nscale = 0.00392156862745098\n[image.resize]\nsize = [32, 32]\n")
    with pytest.raises(DataError, match=r"layer 'to_unit': Rescaling.*values from 0 to 1: pass --preprocess raw:32"):
        read(source(RESCALING), str(file))
    file.write_text('[image]\ncolor = "BGR"\nscale = 1.0\n[image.resize]\nsize = [32, 32]\n')
    assert read(source(RESCALING), str(file)) is not None


def test_twice_is_refused_where_nothing_is_done_twice() -> None:
    with pytest.raises(DataError, match="leave twice: out"):
        read(source(), "twice:unit:32")
    with pytest.raises(DataError, match="leave twice: out"):
        read(source(RESCALING), "twice:raw:32")


def test_unknown_values_and_guesses_are_warnings() -> None:
    adapted = InnerLayer("norm", "Normalization, with values among its weights", (), ())
    found = read(source(adapted), "unit:32")
    assert found.notes[-1].warning
    assert "may normalise pixels itself (layer 'norm'" in found.notes[-1].text
    assert not read(source(adapted), "raw:32").notes
    guess = replace(RESCALING, stated=False)
    assert read(source(guess), "tf:32").notes[-1].warning
    assert read(source(guess), None) is None


def test_tables_and_models_of_several_inputs_are_no_pictures() -> None:
    table = source(RESCALING, takes=TensorSpec("row", "float32", ("batch", 12)))
    assert read(table, None) is None
    assert read(replace(source(RESCALING), takes=(IMAGE, IMAGE)), None) is None


def graph(path: Path, *nodes: tuple[str, str, list[Any]], channels: int = 3) -> Source:
    """An ONNX file: ``(operator, name, constant)`` one after another, then a convolution."""
    tensors, made, before = [], [], "image"
    for operator, name, constant in nodes:
        tensors.append(numpy_helper.from_array(np.array(constant, np.float32).reshape(-1, 1, 1), f"{name}_c"))
        made.append(helper.make_node(operator, [before, f"{name}_c"], [name], name))
        before = name
    tensors.append(numpy_helper.from_array(np.ones((2, channels, 3, 3), np.float32), "w"))
    made.append(helper.make_node("Conv", [before, "w"], ["out"]))
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", channels, 16, 16])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 2, 14, 14])
    onnx.save(helper.make_model(helper.make_graph(made, "g", [given], [out], tensors)), path)
    return sources.identify(path)


def test_an_onnx_graph_that_begins_with_constants_is_held_against_them(tmp_path: Path) -> None:
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    model = graph(tmp_path / "m.onnx", ("Sub", "minus", mean), ("Div", "by", std))
    with pytest.raises(DataError, match=r"layer 'minus': x - \[123\.675, 116\.28, 103\.53\].*layer 'by'.*pass --preprocess raw:16"):
        read(model, "unit:16")
    found = read(model, None)
    assert found.contract.sample_shape().axes == (3, 16, 16)
    scaled = graph(tmp_path / "s.onnx", ("Mul", "scale", [1 / 127.5]), ("Add", "shift", [-1]))
    with pytest.raises(DataError, match=r"layer 'scale': x \* 1/127\.5"):
        read(scaled, "imagenet")


def test_a_batch_norm_in_an_onnx_graph_is_no_normalisation_of_pixels(tmp_path: Path) -> None:
    folded = graph(tmp_path / "f.onnx", ("Mul", "gamma", [0.05, 0.06, 0.05]), ("Add", "beta", [0.1, 0.2, 0.3]))
    assert folded.inner == ()
    assert read(folded, "unit:16") is not None
    grey = graph(tmp_path / "g.onnx", ("Mul", "gamma", [0.05]), ("Add", "beta", [0.1]), channels=1)
    assert grey.inner[0].stated is False


def test_large_constants_are_not_read(tmp_path: Path) -> None:
    """A mean for each pixel is not a scale of pixels, and is not copied out of the file."""
    path = tmp_path / "p.onnx"
    node = helper.make_node("Sub", ["image", "mean"], ["out"])
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 64, 64])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3, 64, 64])
    mean = numpy_helper.from_array(np.full((3, 64, 64), 120, np.float32), "mean")
    onnx.save(helper.make_model(helper.make_graph([node], "g", [given], [out], [mean])), path)
    assert sources.identify(path).inner == ()


def test_parts_of_a_live_module_with_a_mean_and_a_deviation_are_a_guess() -> None:
    torch = pytest.importorskip("torch")
    from roadworthy.build.sources.pixels import torch_parts

    class Scaled(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, mean: list[float], std: list[float]) -> None:
            super().__init__()
            self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
            self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))

    imagenet = torch.nn.Sequential(Scaled([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), torch.nn.Conv2d(3, 2, 3))
    layers = torch_parts.read(imagenet)
    assert layers[0].name == "0"
    said = disagreement(spec.read("imagenet"), layers)
    assert said.startswith("the model may normalise pixels itself (layer '0': Scaled(mean=[0.485, 0.456, 0.406], std=[0.229")
    assert disagreement(spec.read("unit"), layers) == disagreement(spec.read("raw"), layers) == ""
    bytes_ = torch.nn.Sequential(Scaled([123.7, 116.3, 103.5], [58.4, 57.1, 57.4]))
    assert "takes 0..255" in disagreement(spec.read("unit"), torch_parts.read(bytes_))
    assert torch_parts.read(torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Conv2d(3, 2, 3))) == ()
