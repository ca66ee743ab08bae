"""LocalEngine: a bundle opens in the first variant that runs here and gives its golden answers, without a socket; workers use it."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import roadworthy as rw
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, BundleError, DataError, InvalidRequest
from roadworthy.core.types import Arrays, Signature, TensorSpec
from roadworthy.runtimes import Checked
from roadworthy.serving.engine.dataplane import InferRequest
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.engine.predict import predict_file
from roadworthy.serving.registry.catalogue import Catalogue, Served, Version
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers.ipc import Hello, UpdateCatalogue
from roadworthy.serving.workers.worker import ServingWorker
from support.models import bundles
from support.servers.serving import ECHO, LABELS, echo_golden, strings, variant, write_echo, write_files

LINEAR = bundles.weights()


def linear(x: np.ndarray) -> np.ndarray:
    return x @ LINEAR["weight"] + LINEAR["bias"]


def test_a_variant_for_another_target_is_not_served(null_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = registry.facts
    monkeypatch.setattr(registry, "facts", lambda name: replace(facts(name), target="browser"))
    with pytest.raises(BundleError, match="its runtime null is for the target 'browser' and not for a server"):
        LocalEngine(null_bundle)


def test_a_bundle_answers_arrays_of_every_form(null_bundle: Path) -> None:
    x = np.random.default_rng(5).random((3, 12)).astype(np.float32)
    with rw.load(null_bundle) as model:
        assert model.check.error <= model.check.gate and model.check.samples == 8
        assert model.notes == ()
        for item in (x, x.astype(np.float64).tolist(), {"x": x}):
            assert np.allclose(model(item).outputs["y"], linear(x), atol=1e-6)
        assert np.allclose(model(x[0]).outputs["y"], linear(x[:1]), atol=1e-6)
        best = model(x).ranked[1][0]
        assert best.index == linear(x)[1].argmax() and best.label == str(best.index)


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"z": np.zeros((1, 12), np.float32)}, "'x' is missing"),
        ({"x": np.zeros((1, 12), np.float32), "z": np.zeros(1)}, "no input 'z'"),
        (np.zeros((1, 13), np.float32), "shape"),
        (np.zeros((0, 12), np.float32), "shape"),
        (["a"] * 12, "dtype"),
        ([[1, 2], [3]], "not an array"),
        (np.zeros((1, 12), np.complex64), "dtype"),
    ],
)
def test_what_does_not_fit_is_an_invalid_request(null_bundle: Path, item: object, says: str) -> None:
    with LocalEngine(null_bundle) as model, pytest.raises(InvalidRequest, match=says):
        model(item)


def test_an_image_is_one_whatever_it_comes_as(picture_bundle: Path, png: bytes, pixels: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "digit.png"
    file.write_bytes(png)
    with LocalEngine(picture_bundle) as model:
        first = model(png)
        assert [ranked.label for ranked in first.ranked[0]] == [LABELS[ranked.index] for ranked in first.ranked[0]]
        for item in (file, str(file), Image.open(BytesIO(png)), pixels):
            assert np.array_equal(model(item).outputs["logits"], first.outputs["logits"])
        for batch in ([png, file, pixels], np.stack([pixels] * 3)):
            assert np.allclose(model(batch).outputs["logits"], np.repeat(first.outputs["logits"], 3, axis=0))
        ready = ((pixels / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.3]).astype(np.float32).transpose(2, 0, 1)
        assert np.allclose(model(ready).outputs["logits"], first.outputs["logits"], atol=1e-5)
        with pytest.raises(DataError, match="not a JPEG"):
            model(b"no image")


IDS = Signature((TensorSpec("ids", "int32", ("batch", 12)),), (TensorSpec("y", "float32", ("batch", 4)),))


def write_ids(target: Path, dtype: str = "int32") -> Path:
    """A bundle of a linear map of whole numbers."""
    signature = replace(IDS, inputs=(replace(IDS.inputs[0], dtype=dtype),))
    x = np.arange(24).reshape(2, 12).astype(dtype)
    return bundles.write_bundle(target, signature=signature, golden={"in.ids": x, "out.y": linear(x).astype(np.float32)})


def test_whole_numbers_do_not_wrap(tmp_path: Path) -> None:
    ids = np.full((1, 12), 3)
    wrong = ids.copy()
    wrong[0, 5] = 2**32 + 3
    with rw.load(write_ids(tmp_path / "int32")) as model:
        right = model({"ids": ids}).outputs["y"]
        for item in ({"ids": wrong}, wrong, wrong.tolist(), wrong[0], wrong.astype(np.uint64)):
            with pytest.raises(InvalidRequest, match=r"input 'ids' holds 4294967299 at .*5\], which is outside int32"):
                model(item)
        for item in (ids, ids.tolist(), ids.astype(np.uint64), ids.astype(bool) * np.int8(3)):
            assert np.array_equal(model(item).outputs["y"], right)
        for item in (ids * 1.0, ids * 1.5, [[float("nan")] * 12], ids + 0j, np.ma.MaskedArray(ids, ids == 3)):
            with pytest.raises(InvalidRequest, match="'ids' has"):
                model(item)
        np.savez(tmp_path / "wrong.npz", ids=wrong)
        np.save(tmp_path / "wrong.npy", wrong)
        for name in ("wrong.npz", "wrong.npy"):
            with pytest.raises(DataError, match=rf"{name}: input 'ids' holds 4294967299 at \[0, 5\]"):
                predict_file(model, tmp_path / name)


def test_a_byte_of_another_sign_is_no_other_number(tmp_path: Path) -> None:
    with rw.load(write_ids(tmp_path / "int8", "int8")) as model, pytest.raises(InvalidRequest, match=r"200 .*outside int8 \(-128 to 127\)"):
        model(np.full((1, 12), 200, np.uint8))


def test_fractions_are_rounded_and_stay_finite(null_bundle: Path) -> None:
    x = np.full((1, 12), 1e300)
    with rw.load(null_bundle) as model:
        with pytest.raises(InvalidRequest, match=r"holds 1e\+300 at \[0, 0\], which is outside float32"):
            model(x)
        with pytest.raises(InvalidRequest, match=r"16777217 at .* float32 has only rounded"):
            model(np.full((1, 12), 2**24 + 1))
        assert np.isnan(model(np.full((1, 12), np.nan)).outputs["y"]).all()


def test_zeros_that_numpy_dropped_are_not_guessed(files_bundle: Path) -> None:
    with rw.load(files_bundle) as model, pytest.raises(InvalidRequest, match="drops the zeros"):
        model(np.array([b"RIFF\0"]))


def test_files_are_answered(picture_bundle: Path, null_bundle: Path, many_bundle: Path, png: bytes, tmp_path: Path) -> None:
    x = np.ones((2, 12), np.float32)
    (tmp_path / "a.png").write_bytes(png)
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "one.npz", anything=x)
    np.savez(tmp_path / "two.npz", a=np.ones((1, 2), np.float32), b=np.ones(1, np.int64))
    with LocalEngine(picture_bundle) as model:
        assert predict_file(model, tmp_path / "a.png").prediction.ranked[0]
        with pytest.raises(DataError, match=r"missing\.png"):
            predict_file(model, tmp_path / "missing.png")
    with LocalEngine(many_bundle) as model:
        assert predict_file(model, tmp_path / "two.npz").prediction.outputs["count"] == [2]
    with LocalEngine(null_bundle) as model:
        for name in ("a.npy", "one.npz"):
            assert np.allclose(predict_file(model, tmp_path / name).prediction.outputs["y"], linear(x))
        for name in ("text.npy", "missing.npz", "two.npz", "a.png"):
            with pytest.raises(DataError, match=name):
                predict_file(model, tmp_path / name)


def test_wrong_golden_answers_are_refused(tmp_path: Path) -> None:
    golden = bundles.linear_golden()
    golden["out.y"] = golden["out.y"] + 0.01
    bundle = bundles.write_bundle(tmp_path / "lie", golden=golden)
    with pytest.raises(BundleError, match=r"null-fp32-t1: its golden answers are off by 0\.00\d+ .* 1e-05 is allowed"):
        LocalEngine(bundle)


def test_the_gate_is_the_variants_own(tmp_path: Path) -> None:
    golden = bundles.linear_golden()
    golden["out.y"] = golden["out.y"] + 0.01
    bundle = bundles.write_bundle(tmp_path / "wide", golden=golden, variants=(replace(bundles.NULL, gate=0.1),))
    with LocalEngine(bundle) as model:
        assert 1e-3 < model.check.error <= 0.1


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (variant("lying"), "golden answers are off"),
        (variant("silent"), "output 'y' has shape None"),
        (variant("echo", "absent"), r"pip install 'roadworthy\[absent\]'"),
        (variant("echo", "unheard_of"), "no backend 'unheard_of'"),
        (variant("echo", features=("amx_from_the_future",)), "lacks amx_from_the_future"),
    ],
)
def test_the_next_variant_takes_over_and_the_reason_is_kept(tmp_path: Path, first: bundles.Variant, says: str) -> None:
    fallback = replace(variant("echo"), name="fallback", path="variants/fallback")
    bundle = bundles.write_bundle(tmp_path / "two", signature=ECHO, variants=(first, fallback), golden=echo_golden())
    with LocalEngine(bundle) as model:
        assert model.variant.name == model.check.variant == "fallback"
        (note,) = model.notes
        assert note.startswith(f"{first.name} is not used: ")
    assert re.search(says, note)


def test_when_packages_are_all_that_is_lacking_the_remedy_is_said(tmp_path: Path) -> None:
    bundle = bundles.write_bundle(tmp_path / "absent", signature=ECHO, variants=(variant("echo", "absent"),), golden=echo_golden())
    with pytest.raises(BackendMissing, match="pip install"):
        LocalEngine(bundle)


def test_every_reason_is_named_when_nothing_passes(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"testkit-fp32-lying-t1: .*off by.*; testkit-fp32-silent-t1: output 'y'"):
        LocalEngine(write_echo(tmp_path / "none", "lying", "silent"))


def test_a_runtime_that_raises_on_a_golden_sample_is_refused(tmp_path: Path) -> None:
    x = np.array([[13, 0]], np.float32)
    bundle = bundles.write_bundle(tmp_path / "raises", signature=ECHO, variants=(variant("echo"),), golden={"in.x": x, "out.y": x})
    with pytest.raises(BundleError, match=r"fails on its golden samples here .RuntimeError: thirteen"):
        LocalEngine(bundle)


def test_answers_that_are_not_finite_never_pass(tmp_path: Path) -> None:
    x = np.array([[-1, 0]], np.float32)
    wide = replace(variant("echo"), gate=1e30)
    bundle = bundles.write_bundle(tmp_path / "nan", signature=ECHO, variants=(wide,), golden={"in.x": x, "out.y": x})
    with pytest.raises(BundleError, match="output 'y' has NaN or an infinity at another place than the original's"):
        LocalEngine(bundle)


def test_golden_answers_that_are_not_finite_are_equal_by_place(tmp_path: Path) -> None:
    x = np.array([[np.nan, 0], [2, -np.inf], [1, -1]], np.float32)
    bundle = bundles.write_bundle(tmp_path / "same", signature=ECHO, variants=(variant("echo"),), golden={"in.x": x, "out.y": x})
    with LocalEngine(bundle) as model:
        assert model.check.error == 0.0
    for name, place, value in (("other-place", (2, 1), np.nan), ("other-sign", (1, 1), np.inf), ("finite", (0, 0), 0.0)):
        y = x.copy()
        y[place] = value
        wrong = bundles.write_bundle(tmp_path / name, signature=ECHO, variants=(variant("echo"),), golden={"in.x": x, "out.y": y})
        with pytest.raises(BundleError, match="has NaN or an infinity at another place than"):
            LocalEngine(wrong)


def test_a_golden_output_of_zeros_is_held_to_its_own_units(tmp_path: Path) -> None:
    """Verification takes 1 for the scale of such an output, and the gate that comes from it has to mean the same here."""
    x = np.full((2, 2), 1e-9, np.float32)
    bundle = bundles.write_bundle(
        tmp_path / "zeros", signature=ECHO, variants=(variant("echo"),), golden={"in.x": x, "out.y": np.zeros_like(x)}
    )
    with LocalEngine(bundle) as model:
        assert model.check.error == pytest.approx(1e-9)


@pytest.mark.parametrize(
    ("golden", "says"),
    [
        ({"in.x": np.zeros((2, 12), np.float32)}, r"golden\.npz holds no golden samples"),
        ({"in.x": np.zeros((2, 12), np.float32), "out.y": np.zeros((3, 4), np.float32)}, "should hold 2"),
        ({"in.x": np.zeros((0, 12), np.float32), "out.y": np.zeros((0, 4), np.float32)}, "should hold 0"),
        ({"in.x": np.zeros((1, 12), np.float32), "out.y": np.full((1, 4), np.nan, np.float32)}, "NaN or an infinity"),
        ({"in.x": np.zeros((1, 12), np.float32), "out.y": np.array([[{}] * 4])}, r"golden\.npz holds no golden"),
        ({"in.x": np.zeros((1, 12), np.float64), "out.y": np.zeros((1, 4), np.float32)}, "dtype float64"),
        ({"in.x": np.zeros((1, 12), np.float32), "out.y": np.zeros((1, 5), np.float32)}, r"shape \[1, 4\], not \[1, 5\]"),
    ],
)
def test_golden_samples_that_are_none(tmp_path: Path, golden: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises((BundleError, InvalidRequest), match=says):
        LocalEngine(bundles.write_bundle(tmp_path / "b", golden=golden))


def test_a_flipped_byte_is_refused_with_the_files_name(tmp_path: Path) -> None:
    bundle = bundles.write_bundle(tmp_path / "b")
    file = bundle / "variants" / "null-fp32-t1" / "model.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleError, match=r"variants/null-fp32-t1/model\.npz"):
        LocalEngine(bundle)


def test_another_host_and_other_packages_are_said(tmp_path: Path) -> None:
    other = replace(bundles.NULL, requires=(f"numpy=={np.__version__}", "msgspec==0.0.1", "no-such-thing==1"))
    with LocalEngine(bundles.write_bundle(tmp_path / "b", host=bundles.other_host(), variants=(other,))) as model:
        host, package = model.notes
        assert "certified on Imaginary CPU" in host and "speed is not promised" in host
        assert package.startswith("certified with msgspec==0.0.1")


def test_a_model_of_one_fixed_size_is_checked_at_that_size(tmp_path: Path) -> None:
    fixed = Signature((TensorSpec("x", "float32", (2, 12)),), (TensorSpec("y", "float32", (2, 4)),))
    with LocalEngine(bundles.write_bundle(tmp_path / "b", signature=fixed, golden=bundles.linear_golden())) as model:
        assert model.check.samples == 8
        with pytest.raises(InvalidRequest):
            model(np.zeros((1, 12), np.float32))
    with pytest.raises(BundleError, match="1 golden samples are fewer"):
        LocalEngine(bundles.write_bundle(tmp_path / "c", signature=fixed, golden=bundles.linear_golden(count=1)))


def test_byte_strings_in_every_way_they_may_come(files_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF\0")
    (tmp_path / "b.npz").write_bytes(b"PK no archive at all")
    with LocalEngine(files_bundle) as model:
        assert model.takes_files and not model.takes_items and model.check.error == 0
        for item in (b"RIFF\0", bytearray(b"RIFF\0"), tmp_path / "a.wav", [b"RIFF\0"], strings(b"RIFF\0"), {"file": [b"RIFF\0"]}):
            answer = model(item)
            assert answer.outputs["same"].tolist() == [b"RIFF\0"], item
            assert [one.label for one in answer.ranked[0]] == ["first", "length"]
        assert model(["grün", b"\0"]).outputs["same"].tolist() == ["grün".encode(), b"\0"]
        for file, content in (("a.wav", b"RIFF\0"), ("b.npz", b"PK no archive at all")):
            assert predict_file(model, tmp_path / file).prediction.outputs["same"].tolist() == [content]
        for item in ([1.5], {"file": [b"a", [b"b"]]}, {"file": [[b"a"]]}, None):
            with pytest.raises(InvalidRequest, match="file"):
                model(item)
        with pytest.raises(DataError, match=r"gone\.wav cannot be read"):
            predict_file(model, tmp_path / "gone.wav")
        (tmp_path / "odd.wav").write_bytes(b"unreadable")
        with pytest.raises(DataError, match=r"odd\.wav: the model failed on this input: not a file"):
            predict_file(model, tmp_path / "odd.wav")


def test_one_sample_of_a_model_that_takes_one_a_call(tmp_path: Path) -> None:
    one = Signature((TensorSpec("x", "float32", (1, 12)),), (TensorSpec("y", "float32", (1, 4)),))
    with LocalEngine(bundles.write_bundle(tmp_path / "b", signature=one, golden=bundles.linear_golden())) as model:
        assert model(np.zeros(12, np.float32)).outputs["y"].shape == (1, 4)


def test_golden_byte_strings_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"output .* has another byte string than the original's"):
        LocalEngine(write_files(tmp_path / "lie", lie=b"RIFF\0\1"))


def test_a_quantised_output_is_ranked_by_what_it_stands_for(quantised_bundle: Path) -> None:
    with LocalEngine(quantised_bundle) as model:
        answer = model(np.array([[130, 0]], np.uint8))
    assert answer.outputs["y"].dtype == np.uint8
    assert [(one.index, one.score) for one in answer.ranked[0]] == [(0, 0.25), (1, -16.0)]


X = np.random.default_rng(7).random((3, 12)).astype(np.float32)


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("the engine opened a socket or started a process")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "socketpair", refused)
    monkeypatch.setattr("subprocess.Popen", refused)


def expected(x: np.ndarray) -> np.ndarray:
    weights = bundles.weights()
    return x @ weights["weight"] + weights["bias"]


def test_a_bundle_is_opened_and_answers_without_a_socket(null_bundle: Path, no_sockets: None) -> None:
    with LocalEngine(null_bundle) as engine:
        prediction = engine.infer(X)
        assert np.allclose(prediction.outputs["y"], expected(X), atol=1e-6)
        assert [ranked[0].index for ranked in prediction.ranked] == expected(X).argmax(axis=1).tolist()
        assert engine.check.error <= engine.check.gate
    with rw.load(null_bundle) as engine:
        assert isinstance(engine, LocalEngine)
        assert np.array_equal(engine(X).outputs["y"], prediction.outputs["y"])


def test_the_worker_answers_with_the_engine(null_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker process's own state, driven by the supervisor's messages; requests reach it at its dataplane."""
    answered: list[str] = []
    answer = LocalEngine.answer

    def watched(self: LocalEngine, given: Checked) -> Arrays:
        answered.append(self.version)
        return answer(self, given)

    async def main() -> Any:
        supervisor_end, worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with supervisor_end, worker_end:
            worker = ServingWorker(worker_end)
            await worker._reply(Hello(Settings(sources=(), workers=1, threads=1, batch=1), 0))
            opened = await worker._reply(OpenVersion(name="linear", version="5", path=str(null_bundle)))
            assert isinstance(opened, VersionOpened)
            version = Version(version="5", path=str(null_bundle), state="ready")
            await worker._reply(UpdateCatalogue(Catalogue((Served(name="linear", versions=(version,)),))))
            plane = worker._plane
            monkeypatch.setattr(LocalEngine, "answer", watched)
            response = await plane.infer(InferRequest(plane.pick("linear"), {"x": X}))
            for queue in plane.queues:
                assert isinstance(queue.model, LocalEngine)
                queue.close()
            worker._opener.shutdown()
            return response

    response = asyncio.run(main())
    assert answered == ["5"]
    assert np.allclose(response.outputs["y"], expected(X), atol=1e-6)
