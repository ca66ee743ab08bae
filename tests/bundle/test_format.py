"""Manifests and certificates come back from JSON as they went, whatever they hold; and docs/FORMAT.md names their fields."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import get_args

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from roadworthy.bundle import manifest as manifests
from roadworthy.bundle import store
from roadworthy.bundle.certificate import Certificate
from roadworthy.bundle.manifest import File, Manifest, Variant
from roadworthy.core import codec
from roadworthy.core.errors import BundleError
from roadworthy.core.evidence import Interval, Timing, Tolerance
from roadworthy.core.types import Quantization, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.steps import (
    ChannelsFirst,
    Crop,
    Decode,
    Normalize,
    Resize,
    ReverseChannels,
    Step,
)
from roadworthy.preprocess.texts import TextSteps
from roadworthy.serving.engine.local import LocalEngine
from support.models import certificates

# JSON text is UTF-8, which has no lone surrogates.
st.register_type_strategy(str, st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
st.register_type_strategy(Path, st.just(Path("variants/one")))
PARTS = st.dictionaries(st.from_type(str), st.sampled_from(["ids", "mask", "types"]), max_size=3)
# Hypothesis does not know the default of a dict in msgspec's structs.
st.register_type_strategy(TextSteps, st.builds(TextSteps, inputs=PARTS))


@st.composite
def specs(draw: st.DrawFn) -> TensorSpec:
    """Any tensor, with one of its axes for the samples or with none."""
    shape = draw(st.lists(st.one_of(st.integers(0, 2**31), st.text("abc", min_size=1)), max_size=4))
    axis = draw(st.one_of(st.none(), st.integers(0, max(0, len(shape) - 1))))
    return TensorSpec(draw(st.from_type(str)), draw(st.from_type(str)), tuple(shape), draw(st.none() | st.from_type(Quantization)), axis)


st.register_type_strategy(TensorSpec, specs())

# A certificate is a large thing; generating one takes many choices, and that is no fault of the test.
ROUND = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])


@given(st.builds(Manifest))
@ROUND
def test_a_manifest_comes_back(manifest: Manifest) -> None:
    assert codec.from_json(Manifest, codec.to_json(manifest, indent=2)) == manifest


@pytest.mark.slow
@given(st.builds(Certificate))
@ROUND
def test_a_certificate_comes_back(certificate: Certificate) -> None:
    assert codec.from_json(Certificate, codec.to_json(certificate, indent=2)) == certificate


def test_the_realistic_one_comes_back_and_is_written(tmp_path: Path) -> None:
    store.write_certificate(tmp_path, certificates.realistic())
    assert store.read_certificate(tmp_path) == certificates.realistic()


def test_a_certificate_from_before_races_had_a_course_is_read(tmp_path: Path) -> None:
    store.write_certificate(tmp_path, certificates.realistic())
    path = tmp_path / "certificate.json"
    written = json.loads(path.read_text())
    assert written["course"]["stopped"] == "leads" and written["course"]["departures"][0]["why"] == "far"
    del written["course"]
    path.write_text(json.dumps(written))
    assert store.read_certificate(tmp_path) == dataclasses.replace(certificates.realistic(), course=None)


@given(st.floats(), st.floats())
@ROUND
def test_a_figure_is_written_exactly_or_refused(tmp_path_factory: pytest.TempPathFactory, low: float, noise: float) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = certificates.realistic()
    changed = dataclasses.replace(
        whole, tolerance=Tolerance(low, noise, 1.0), baseline=dataclasses.replace(whole.baseline, timing=_timing(Interval(1.0, low, noise)))
    )
    finite = all(value - value == 0 for value in (low, noise))
    try:
        store.write_certificate(folder, changed)
    except BundleError as problem:
        assert not finite and "not finite" in str(problem)
    else:
        assert finite and store.read_certificate(folder) == changed


def _timing(interval: Interval) -> Timing:
    return dataclasses.replace(certificates.timing(1.0), latency_ms=interval)


def test_an_unknown_key_is_ignored_and_a_missing_one_is_named(null_bundle: Path) -> None:
    data = (null_bundle / "manifest.json").read_bytes()
    assert codec.from_json(Manifest, data.replace(b"{", b'{"from_tomorrow": [1],', 1)) == store.read(null_bundle)
    with pytest.raises(BundleError, match=r"here: .*`tolerance`"):
        codec.from_json(Manifest, data.replace(b'"tolerance"', b'"intolerance"'), error=BundleError, what="here")


def test_the_format_page_names_every_field() -> None:
    page = (Path(__file__).parents[2] / "docs" / "FORMAT.md").read_text()
    table = page.partition("| field | meaning |")[2].partition("**certificate.json**")[0]
    for kind in (Manifest, Variant, File):
        named = set(re.findall(r"`(\w+)`", table))
        assert {field.name for field in dataclasses.fields(kind)} <= named, kind
    assert len(page.splitlines()) <= 110, "two pages"


def test_a_bundle_of_format_1_opens_and_answers_as_it_did() -> None:
    """The bundle and its answer to one image were written by the last version of format 1."""
    folder = Path(__file__).parent / "format_1"
    manifest = store.read(folder / "pictures")
    assert manifest.format == 2
    assert manifest.contract == Contract(
        (
            Decode("RGB", 1_000_000),
            Resize((8, 9), "bicubic", antialias=False),
            Crop((6, 5)),
            ReverseChannels(),
            ChannelsFirst(),
            Normalize(1 / 127.5, (0.9, 1.0, 1.1), (0.5, 0.6, 0.7)),
        ),
        Answer("softmax", 2, ("ant", "bee", "cow", "dog")),
    )
    pixels = (np.arange(11 * 13 * 3).reshape(11, 13, 3) * 7 % 256).astype(np.uint8)
    answered = json.loads((folder / "answer.json").read_text())
    with LocalEngine(folder / "pictures") as model:
        assert model.feeds(pixels)["image"].ravel().tolist() == answered["feeds"]
        found = model(pixels)
    np.testing.assert_allclose(found.outputs["logits"], answered["logits"], rtol=1e-6)
    assert [one.label for one in found.ranked[0]] == [label for label, _ in answered["ranked"]]


def test_a_manifest_is_sealed_in_this_format_whatever_it_was_read_from(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parent / "format_1" / "pictures", tmp_path / "pictures")
    manifest = store.read(tmp_path / "pictures")
    store.seal(tmp_path / "pictures", manifest)
    assert store.read(tmp_path / "pictures") == manifest
    assert json.loads((tmp_path / "pictures" / "manifest.json").read_bytes())["contract"]["image"][1]["kind"] == "resize"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("color", "CMYK", "color"),
        ("pixel_limit", 10**9, "contract.image: pixel_limit is 1000000000"),
        ("crop", 10, "contract.image: crop 10 x 10 is larger than resize 8 x 9"),
    ],
)
def test_a_manifest_of_format_1_is_read_as_strictly(path: str, value: object, words: str) -> None:
    manifest = json.loads((Path(__file__).parent / "format_1" / "pictures" / "manifest.json").read_bytes())
    manifest["contract"]["image"][path] = value
    with pytest.raises(BundleError, match=words):
        manifests.parse(json.dumps(manifest).encode(), "here")


def test_a_step_of_a_version_to_come_is_refused_with_that_version() -> None:
    manifest = json.loads((Path(__file__).parent / "format_1" / "pictures" / "manifest.json").read_bytes())
    manifest |= {"format": 2, "roadworthy": "0.3.0"}
    manifest["contract"]["image"] = [{"kind": "decode"}, {"kind": "rotate", "degrees": 90}]
    words = "by the step 'rotate', which Roadworthy .* does not know: use Roadworthy 0.3.0, which made the bundle, or a later version"
    with pytest.raises(BundleError, match=words):
        manifests.parse(json.dumps(manifest).encode(), "here")
    manifest["contract"]["image"] = [{"kind": "decode", "profile": "sRGB"}]
    with pytest.raises(BundleError, match=r"unknown field `profile` .*; Roadworthy 0\.3\.0 made the bundle, and this is Roadworthy"):
        manifests.parse(json.dumps(manifest).encode(), "here")


def test_the_format_page_names_every_step() -> None:
    page = (Path(__file__).parents[2] / "docs" / "FORMAT.md").read_text()
    for step in get_args(Step):
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{step.__struct_config__.tag}`")]
        assert set(step.__struct_fields__) <= set(re.findall(r"`(\w+)`", row)), step
