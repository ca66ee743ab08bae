"""Manifests and certificates come back from JSON as they went, whatever they hold; and docs/FORMAT.md names their fields."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from roadworthy.bundle import store
from roadworthy.bundle.certificate import Certificate
from roadworthy.bundle.manifest import File, Manifest, Variant
from roadworthy.core import codec
from roadworthy.core.errors import BundleError
from roadworthy.core.evidence import Interval, Timing, Tolerance
from support.models import certificates

# JSON text is UTF-8, which has no lone surrogates.
st.register_type_strategy(str, st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
st.register_type_strategy(Path, st.just(Path("variants/one")))

# A certificate is a large thing; generating one takes many choices, and that is no fault of the test.
ROUND = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])


@given(st.builds(Manifest))
@ROUND
def test_a_manifest_comes_back(manifest: Manifest) -> None:
    assert codec.from_json(Manifest, codec.to_json(manifest, indent=2)) == manifest


@given(st.builds(Certificate))
@ROUND
def test_a_certificate_comes_back(certificate: Certificate) -> None:
    assert codec.from_json(Certificate, codec.to_json(certificate, indent=2)) == certificate


def test_the_realistic_one_comes_back_and_is_written(tmp_path: Path) -> None:
    store.write_certificate(tmp_path, certificates.realistic())
    assert store.read_certificate(tmp_path) == certificates.realistic()


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


def test_an_unknown_key_is_read_over_and_a_missing_one_is_named(null_bundle: Path) -> None:
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
    assert len(page.splitlines()) <= 85, "one page"
