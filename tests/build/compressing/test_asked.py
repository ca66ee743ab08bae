"""What is asked for a smaller model: refused in words before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.build import compress
from roadworthy.build.compressing import refuse_unknown, refuse_untrainable
from roadworthy.build.job import Compression, Job, read_compression
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.stages import Graph, Source
from support.models.linear import SIGNATURE


def test_without_ways_the_options_of_training_are_refused() -> None:
    assert read_compression((), None, 10.0, None) is None
    for more in ({"data": "train/"}, {"student": "net.py:Small"}):
        with pytest.raises(UsageError, match="--compress prune,distil"):
            read_compression((), more.get("data"), 10.0, more.get("student"))
    with pytest.raises(UsageError, match="--compress prune,distil"):
        read_compression((), None, 10.0, None, flip=True)


def test_ways_without_training_data_are_refused() -> None:
    with pytest.raises(UsageError, match="--train-data"):
        read_compression(("prune",), None, 10.0, None)


def test_minutes_become_seconds_and_a_way_counts_once() -> None:
    assert read_compression(("prune", "prune"), "train/", 0.5, None) == Compression(("prune",), "train/", 30.0)


def test_an_unknown_way_and_a_student_without_a_teacher_are_refused() -> None:
    with pytest.raises(UsageError, match="shrink: there are prune, distil, quantise"):
        refuse_unknown(Compression(("prune", "shrink"), "train/"))
    with pytest.raises(UsageError, match="--compress distil"):
        refuse_unknown(Compression(("prune",), "train/", student="net.py:Small"))
    refuse_unknown(None)


@pytest.mark.parametrize("kind", ["onnx", "tflite", "jit", "exported", "saved_model", "graphdef"])
def test_a_source_whose_weights_are_constants_is_refused_as_soon_as_it_is_known(kind: str) -> None:
    with pytest.raises(SourceError, match=r"cannot be trained.*\.keras file"):
        refuse_untrainable(Source(Path("model.bin"), kind, "onnx", "0" * 64, 1), Compression(("prune",), "train/"))


def test_int8_in_mind_is_refused_for_keras_before_anything_is_trained() -> None:
    with pytest.raises(UsageError, match="for PyTorch models"):
        refuse_untrainable(Source(Path("net.keras"), "keras", "tensorflow", "0" * 64, 1), Compression(("quantise",), "train/"))


@pytest.mark.parametrize(
    ("format", "file"), [("onnx", "model.onnx"), ("module", "module.ts"), ("module", "module.pt2"), ("saved_model", "m")]
)
def test_a_graph_that_holds_no_layers_is_refused(format: str, file: str) -> None:
    with pytest.raises(SourceError, match="cannot be trained"):
        compress.framework(Graph(format, Path(file), SIGNATURE, "as it is"))


def test_the_students_file_and_the_training_data_are_watched_like_the_others() -> None:
    job = Job(Path("a.pt"), Path("b"), arch="net.py:Net", compress=Compression(("distil",), "train/", student="small.py:Small"))
    assert job.code_files == (Path("net.py"), Path("small.py"))
    assert Path("train/") in job.data_files
