"""Answers that are no floats: whole numbers that stand for values are compared as those, byte strings as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build import verify
from roadworthy.build.verify import Reference, ReferenceRequest, VerifyRequest, establish
from roadworthy.core import registry, samples
from roadworthy.core.evidence import Parity
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Graph, Plan
from roadworthy.core.types import BATCH, BYTES, Array, Quantization, Signature, TensorSpec
from support.files import tflite_models

OUT = tflite_models.OUT
SIGNATURE = Signature((TensorSpec("x", "uint8", (BATCH, 8), tflite_models.IN),), (TensorSpec("y", "uint8", (BATCH, 4), OUT),))
STRINGS = Signature((TensorSpec("x", BYTES, (3,)),), (TensorSpec("y", BYTES, (3,)),), 3)


def candidate(path: Path, signature: Signature, precision: str = "int8", *, lossy: bool = False) -> Candidate:
    plan = Plan(registry.runtime_for("tflite"), precision, lossy=lossy)  # type: ignore[arg-type]
    return Candidate(plan, path, signature, "tflite", 1, 0.0)


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    given = np.random.default_rng(0).integers(0, 256, (200, 8), np.uint8)
    return samples.write(tmp_path_factory.mktemp("pixels") / "s", {"x": given})


@pytest.fixture(scope="module")
def reference(pixels: SampleSet, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("quantised")
    path = tflite_models.quantised(folder / "m.tflite", batch=-1)
    return establish(ReferenceRequest(Graph("tflite", path, SIGNATURE, "test", precision="int8"), pixels, 1, folder / "reference"))


def shifted(
    folder: Path, steps: int, pixels: SampleSet, reference: Reference, metric: str = "agreement", *, lossy: bool = False
) -> verify.VerifyOutcome:
    """The outcome of a candidate whose every answer is ``steps`` higher."""
    out = Quantization(OUT.scale, OUT.zero_point + steps)
    path = tflite_models.quantised(folder / f"{steps}.tflite", batch=-1, out=out)
    return verify.verify(VerifyRequest(candidate(path, SIGNATURE, lossy=lossy), pixels, reference, metric, 0.05))


def parity(outcome: verify.VerifyOutcome) -> Parity:
    found = outcome.verified or outcome.rejected
    assert found is not None and found.parity is not None
    return found.parity


def test_a_reference_keeps_what_was_given_and_what_it_stands_for(reference: Reference) -> None:
    given, values = reference.open()["y"], reference.values()["y"]
    assert (given.dtype, values.dtype) == (np.uint8, np.float32)
    assert np.allclose(values, (given.astype(float) - OUT.zero_point) * OUT.scale)
    assert reference.scale()["y"] == pytest.approx(float(np.abs(values).max()))


def test_the_gate_is_one_step_where_that_is_the_least_an_output_can_say(reference: Reference) -> None:
    step = OUT.scale / reference.scale()["y"]
    assert step < reference.tolerance.limit < 1.01 * step
    assert (reference.tolerance.float64, reference.tolerance.noise) == (None, 0.0)


def test_one_step_is_rounding_and_two_are_not(tmp_path: Path, pixels: SampleSet, reference: Reference) -> None:
    same, one, two = (parity(shifted(tmp_path, steps, pixels, reference)) for steps in (0, 1, 2))
    assert (same.max_abs, same.equivalent) == (0.0, True)
    assert (one.max_abs, one.equivalent) == (pytest.approx(0.1, rel=1e-4), True)
    assert (two.max_abs, two.equivalent) == (pytest.approx(0.2, rel=1e-4), False)
    assert same.agreement == one.agreement == 1.0


def test_the_metrics_see_values(tmp_path: Path, pixels: SampleSet, reference: Reference) -> None:
    """Whole numbers as they are would have no class axis, and an error that depends on where zero lies."""
    outcome = shifted(tmp_path, 3, pixels, reference, "error")
    found = outcome.verified or outcome.rejected
    assert found is not None and found.score is not None
    values = reference.values()["y"][: found.score.samples]
    wanted = np.mean(0.3 * 2 / np.linalg.norm(values, axis=1))
    assert found.score.value.value == pytest.approx(wanted, rel=0.02)


def test_where_nothing_can_be_asked_one_rounding_stands_for_it(tmp_path: Path, pixels: SampleSet) -> None:
    """Bytes in, floats out: no noise to add, and no float64."""
    tensors = [
        tflite_models.Tensor("x", "uint8", (-1, 8), None, tflite_models.IN), tflite_models.Tensor("y", "float32", (-1, 8)),
    ]  # fmt: skip
    path = tflite_models.write(tmp_path / "m.tflite", tensors, [tflite_models.Operator("DEQUANTIZE", ("x",), ("y",))], ["x"], ["y"])
    signature = replace(SIGNATURE, outputs=(TensorSpec("y", "float32", (BATCH, 8)),))
    graph = Graph("tflite", path, signature, "test", precision="int8")
    tolerance = establish(ReferenceRequest(graph, pixels, 1, tmp_path / "reference")).tolerance
    assert (tolerance.float64, tolerance.noise) == (None, 0.0)
    assert 3e-6 < tolerance.limit < 1e-5


def test_byte_strings_are_the_same_or_not(tmp_path: Path) -> None:
    words: Array = np.empty(7, BYTES)
    words[:] = [b"", b"a\0", b"\xff\0\0", b"three", b"a", b"b\0c", b"seven"]
    given = samples.write(tmp_path / "s", {"x": words})
    graph = Graph("tflite", tflite_models.strings(tmp_path / "m.tflite", (0, 1, 2)), STRINGS, "test")
    reference = establish(ReferenceRequest(graph, given, 1, tmp_path / "reference"))
    assert reference.open()["y"].tolist() == words.tolist()
    sound = verify.verify(VerifyRequest(candidate(graph.path, STRINGS, "fp32"), given, reference, "error", 0.01))
    assert sound.verified is not None and sound.verified.parity.equivalent
    swaps = tflite_models.strings(tmp_path / "swaps.tflite", (1, 0, 2))
    outcome = verify.verify(VerifyRequest(candidate(swaps, STRINGS, "fp32"), given, reference, "error", 0.01))
    assert outcome.rejected is not None and "not the same function" in outcome.rejected.reason


def test_the_same_function_needs_no_more_samples_unless_it_is_lossy(tmp_path: Path, pixels: SampleSet) -> None:
    """Twenty samples can prove nothing about an accuracy; that the answers are the same, they can."""
    few = samples.write(tmp_path / "few", pixels.feeds(0, 20))
    path = tflite_models.quantised(tmp_path / "m.tflite", batch=-1)
    reference = establish(ReferenceRequest(Graph("tflite", path, SIGNATURE, "test", precision="int8"), few, 1, tmp_path / "reference"))
    same, other = shifted(tmp_path, 1, few, reference), shifted(tmp_path, 2, few, reference)
    assert same.verified is not None and same.verified.score is not None and same.verified.score.needed is None
    assert other.rejected is not None and "samples like these it would have passed" in other.rejected.reason
    assert shifted(tmp_path, 1, few, reference, lossy=True).rejected is not None
