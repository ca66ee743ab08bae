"""What samples can prove: none without data in another precision, nothing about agreement where the original says one thing only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from roadworthy.build import deploy, sources
from roadworthy.build.certificate import Data, noticed
from roadworthy.build.job import Job
from roadworthy.build.original import contract_of, identify, load_original
from roadworthy.build.reference import reference_of
from roadworthy.build.search import Trial
from roadworthy.build.workspace import open_workspace
from roadworthy.core.errors import DataError, UsageError
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source, Verified
from roadworthy.core.types import Array, TensorSpec
from roadworthy.preprocess import spec

pytestmark = pytest.mark.usefixtures("warm_steps")


@pytest.fixture
def job(linear: Path) -> Job:
    return Job(linear / "model.npz", linear / "bundle", data=str(linear / "data.npz"), seconds=120)


@contextmanager
def deployed_to_reference(job: Job) -> Iterator[tuple[Data, Trial, Verified, tuple[Note, ...]]]:
    """A deployment up to the original's own answers, and what was noticed so far."""
    with open_workspace(seconds=job.seconds, step_seconds=60, memory_mb=0, notify=lambda progress: None) as workspace:
        source = identify(job, workspace)
        loaded, data = load_original(source, job, contract_of(job, source, workspace).contract, workspace)
        trial, original = reference_of(loaded.graph, loaded.signature, data, job, workspace)
        yield data, trial, original, noticed(loaded, data, (loaded.graph,), trial)


def data(job: Job, x: Array, **labels: Array) -> str:
    path = job.source.parent / "other.npz"
    np.savez(path, x=x, **labels)
    return str(path)


def with_bias(job: Job, bias: Array) -> Job:
    """The same model with another bias: a large one makes one class win, whatever it is fed."""
    with np.load(job.source) as held:
        weight = held["weight"]
    path = job.source.parent / "biased.npz"
    np.savez(path, weight=weight[:, : len(bias)], bias=bias.astype(np.float32))
    return replace(job, source=path)


def test_a_precision_that_needs_data_is_refused_before_work_starts(job: Job) -> None:
    asked = replace(job, data=None, precisions=("fp32", "int8", "bf16"))
    with pytest.raises(UsageError, match=r"--precisions int8,bf16: they need --data to be proven on; .*--precisions fp32"):
        deploy.deploy(asked, lambda progress: pytest.fail(f"it began: {progress.stage}"))
    assert not job.output.exists()


def test_generated_samples_prove_no_other_precision_and_are_all_for_evaluation(job: Job) -> None:
    with deployed_to_reference(replace(job, data=None, samples=40)) as (found, trial, _, notes):
        assert (found.kind, found.evaluation.count, found.calibration, trial.metric) == ("generated", 40, None, "agreement")
        assert found.unproven == "they need --data to be proven on"
        assert notes[0].warning and "nothing here was proven on real ones; give some with --data" in notes[0].text


def test_samples_that_are_all_the_same_are_a_warning_and_prove_no_other_precision(job: Job) -> None:
    same = replace(job, data=data(job, np.zeros((50, 12), np.float32), y=np.zeros(50, np.int64)))
    with deployed_to_reference(same) as (found, _, _, notes):
        assert notes[0].warning and notes[0].text.startswith("all 50 samples of the data are the same")
        assert found.calibration is None and found.unproven
    with (
        pytest.raises(UsageError, match="--precisions int8: they need samples that differ"),
        deployed_to_reference(replace(same, precisions=("int8",))),
    ):
        pass


@pytest.mark.parametrize("given", ["none", "unlabelled", "labelled"])
def test_agreement_is_not_claimed_where_the_original_answers_one_class(given: str, job: Job) -> None:
    constant = with_bias(job, np.array([1e6, 0, 0, 0]))
    if given == "unlabelled":
        with np.load(job.data or "") as held:
            constant = replace(constant, data=data(job, held["x"]))
    with deployed_to_reference(
        constant if given == "labelled" else replace(constant, data=constant.data if given == "unlabelled" else None)
    ) as found:
        _, trial, original, notes = found
        assert original.parity.agreement is None
        assert trial.metric == ("top1" if given == "labelled" else "error")
        (said,) = [note for note in notes if "top class is the same for all" in note.text]
        assert said.warning is (given == "labelled")
    if given != "labelled":
        refused = replace(constant, metric="agreement", data=constant.data if given == "unlabelled" else None)
        with (
            pytest.raises(DataError, match="agree with it says nothing: give --data whose classes differ, or use --metric error"),
            deployed_to_reference(refused),
        ):
            pass


def test_one_column_has_no_classes_to_agree_on(job: Job) -> None:
    """A regressor, or a binary classifier with one score."""
    with deployed_to_reference(replace(with_bias(job, np.zeros(1)), data=None)) as (_, trial, original, notes):
        assert (trial.metric, original.parity.agreement) == ("error", None)
        assert not [note for note in notes if "top class" in note.text]


def test_a_stated_range_is_what_samples_are_drawn_from_and_data_is_held_to(job: Job) -> None:
    specs, stated = sources.parse_inputs(("input:float32[batch,12] in 2..3",))
    kept = replace(job, data=None, inputs=specs, stated=stated)
    with deployed_to_reference(kept) as (found, _, _, notes):
        values = found.evaluation.open()["input"]
        assert (values.min(), values.max()) == (2, 3)
        assert "'input' was fed values of 2 to 3, as --input states" in [note.text for note in notes]
    refusal = r"the data for 'input' holds -?[\d.]+, and --input states 'in 2\.0\.\.3\.0'"
    with pytest.raises(DataError, match=refusal), deployed_to_reference(replace(kept, data=job.data)):
        pass


def test_pictures_reach_the_range_that_the_preprocessing_gives(job: Job) -> None:
    weight = np.random.default_rng(0).standard_normal((4 * 4 * 3, 4)).astype(np.float32)
    path = job.source.parent / "pixels.npz"
    np.savez(path, weight=weight, bias=np.zeros(4, np.float32))
    contract = job.source.parent / "raw.toml"
    contract.write_text('[image]\nlayout = "HWC"\nscale = 1.0\nresize = {size = [4, 4]}\n')
    with deployed_to_reference(replace(job, source=path, data=None, preprocess=str(contract), samples=30)) as (found, _, _, _):
        (values,) = found.evaluation.open().values()
        assert values.shape == (30, 4, 4, 3) and values.min() < 5 and values.max() > 250


def test_a_contract_that_gives_another_input_than_is_stated_is_refused_before_work_starts(tmp_path: Path) -> None:
    job = Job(tmp_path / "model.pt", tmp_path / "out", inputs=(TensorSpec("x", "float32", ("batch", 3, 32, 32)),), data=str(tmp_path))
    source = Source(job.source, "state_dict", "torch", "0" * 64, 1)
    # Neither the data nor the model is there to be read, and there is no workspace to read them in.
    with pytest.raises(DataError, match=r"gives float32 \[3, 224, 224\] for each image, and the model takes x:float32\[batch,3,32,32\]"):
        load_original(source, job, spec.read("imagenet"), None)  # type: ignore[arg-type]


def scorer(path: Path, *nodes: tuple[str, list[str], str]) -> Path:
    """An ONNX file that makes three scores of a sample's four whole numbers, which ``nodes`` turn into the floats ``scores``."""
    table = np.random.default_rng(0).standard_normal((101, 3)).astype(np.float32)
    constants = {"table": table, "size": np.array(101), "one": np.array(1.0, np.float32), "axes": np.array([1])}
    used = {name for _, names, _ in nodes for name in names}
    graph = helper.make_graph(
        [helper.make_node(kind, names, [output], **({"to": TensorProto.FLOAT} if kind == "Cast" else {})) for kind, names, output in nodes],
        "scorer",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 4])],
        [helper.make_tensor_value_info(nodes[-1][2], TensorProto.FLOAT, ["batch", "classes"])],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used],
    )
    for node in graph.node:
        if node.op_type == "ReduceSum":
            node.attribute.append(helper.make_attribute("keepdims", 0))
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    return path


HASH = (("Mod", ["ids", "size"], "row"), ("Gather", ["table", "row"], "rows"), ("ReduceSum", ["rows", "axes"], "y"))
NO_NUMBER = (
    ("Cast", ["ids"], "x"), ("Mul", ["x", "x"], "square"), ("Add", ["square", "one"], "more"), ("Neg", ["more"], "less"),
    ("Sqrt", ["less"], "y"),
)  # fmt: skip


def test_nothing_is_claimed_on_whole_numbers_that_are_guessed(job: Job) -> None:
    """Nothing says which identifiers a hash is given; that two models agree on some of them says nothing."""
    guessing = replace(job, source=scorer(job.source.parent / "hash.onnx", *HASH), data=None, samples=40)
    with deployed_to_reference(guessing) as (found, trial, original, notes):
        assert [spec.name for spec in found.guessed] == ["ids"]
        assert (trial.metric, trial.reference.classes, original.parity.agreement) == ("error", 0, None)
        assert [note.warning for note in notes[:2]] == [True, True] and "made-up ones" in notes[1].text
        assert not [note for note in notes if "agreement" in note.text]
    refusal = r"--metric agreement: 'ids' was fed whole numbers that are made up.*--input 'ids:int64\[batch,4\] in 0\.\.1000', or use"
    with pytest.raises(DataError, match=refusal), deployed_to_reference(replace(guessing, metric="agreement")):
        pass
    specs, stated = sources.parse_inputs(("ids:int64[batch,4] in 0..100000",))
    with deployed_to_reference(replace(guessing, inputs=specs, stated=stated)) as (found, trial, original, _):
        assert (found.guessed, trial.metric, original.parity.agreement) == ((), "agreement", 1.0)


def test_an_original_without_a_number_for_made_up_values_asks_for_data(job: Job) -> None:
    silent = replace(job, source=scorer(job.source.parent / "silent.onnx", *NO_NUMBER), data=None, samples=40)
    asked = r"no finite number in 'y' on these samples: they were made up, so give real ones with --data.*'ids:int64\[.*= ones'"
    with pytest.raises(DataError, match=asked), deployed_to_reference(silent):
        pass
    real = replace(silent, data=data(silent, np.ones((30, 4), np.int64)))
    with pytest.raises(DataError, match="on these samples: check the preprocessing and the weights"), deployed_to_reference(real):
        pass


def test_a_model_of_pixels_gets_pixels(job: Job) -> None:
    """The presets make floats; a model that scales pixels itself may take them as they are stored."""
    specs, _ = sources.parse_inputs(("image:uint8[batch,16,16,3]",))
    source = Source(Path("m"), "keras", "tensorflow", "", 0, takes=specs)
    raw = replace(job, preprocess="raw:16", inputs=())
    assert contract_of(raw, source, None).contract.sample_shape().dtype == "uint8"  # type: ignore[arg-type]
    assert contract_of(replace(raw, inputs=specs), replace(source, takes=()), None).contract.sample_shape().dtype == "uint8"  # type: ignore[arg-type]
    assert contract_of(raw, replace(source, takes=(replace(specs[0], dtype="float32"),)), None).contract.sample_shape().dtype == "float32"  # type: ignore[arg-type]
    assert contract_of(replace(raw, preprocess="unit:16"), source, None).contract.sample_shape().dtype == "float32"  # type: ignore[arg-type]
