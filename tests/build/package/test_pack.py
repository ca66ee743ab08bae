"""A packed bundle holds what FORMAT.md says, answers as the original did, and leaks nothing of the machine it was made on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.package import features, gate, golden, pack
from roadworthy.bundle import store
from roadworthy.bundle.acceptance import Acceptance
from roadworthy.core.errors import BundleError, OutOfSpace
from roadworthy.core.evidence import Interval
from roadworthy.core.stages import Plan, Rejected
from roadworthy.runtimes import open_session
from support.models import certificates


def test_every_part_of_the_format_is_there(bundle: Path) -> None:
    manifest = store.read(bundle)
    found = {entry.path for entry in manifest.files}
    assert {"certificate.json", "report.html", "MODEL_CARD.md", "golden.npz", "rejected/null-int8-t1/reproduce.py"} <= found
    assert {"deploy/run.sh", "deploy/Dockerfile", "deploy/requirements.txt", "deploy/README.md"} <= found
    assert [variant.name for variant in manifest.variants] == ["null-fp32-b1-t1", "null-fp32-t1"]
    assert {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()} == found | {
        "manifest.json",
        "manifest.json.sha256",
    }


def test_both_variants_give_the_golden_answers(bundle: Path) -> None:
    manifest = store.read(bundle)
    with np.load(bundle / manifest.golden.path, allow_pickle=False) as file:
        feeds, wanted = {"image": file["in.image"]}, file["out.logits"]
    assert len(wanted) == manifest.golden.samples == golden.COUNT
    for variant in manifest.variants:
        with open_session(bundle / variant.path, manifest.signature, variant.plan) as session:
            error = np.max(np.abs(session.run(feeds)["logits"] - wanted)) / np.max(np.abs(wanted))
        assert error <= variant.gate


def test_no_path_of_the_build_machine_is_packed(bundle: Path) -> None:
    for path in bundle.rglob("*"):
        if path.is_file() and path.suffix != ".whl":
            assert str(bundle.parent).encode() not in path.read_bytes() and b"/tmp/" not in path.read_bytes(), path.name
    assert store.read_certificate(bundle).measured[0].verified.candidate.path == Path("variants/null-fp32-b1-t1")


def test_the_same_request_gives_the_same_bytes(tmp_path: Path) -> None:
    request = certificates.null_request(tmp_path / "work")
    assert pack(request, tmp_path / "one", certificates.unopened) == pack(request, tmp_path / "two", certificates.unopened)


def test_packing_again_replaces_the_bundle_whole(tmp_path: Path) -> None:
    pack(certificates.null_request(tmp_path / "a", version="1"), tmp_path / "bundle", certificates.unopened)
    (tmp_path / "bundle" / "variants" / "null-fp32-t1" / "left-behind").write_text("of the old one")
    pack(certificates.null_request(tmp_path / "b", version="2"), tmp_path / "bundle", certificates.unopened)
    assert store.read(tmp_path / "bundle").version == "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "bundle"]


def test_a_single_file_is_a_candidate_too_and_links_are_resolved(tmp_path: Path) -> None:
    request = certificates.null_request(tmp_path / "work")
    first, second = request.variants
    file = first.candidate.path / "model.npz"
    link = second.candidate.path / "model.npz"
    link.unlink()
    link.symlink_to(file)
    single = replace(first, candidate=replace(first.candidate, path=file))
    manifest = pack(replace(request, variants=(single, second)), tmp_path / "bundle", certificates.unopened)
    assert store.read(tmp_path / "bundle") == manifest
    assert (tmp_path / "bundle" / "variants" / first.candidate.plan.name / "model.npz").is_file()
    assert not (tmp_path / "bundle" / "variants" / second.candidate.plan.name / "model.npz").is_symlink()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_not_finite_is_refused_and_leaves_nothing(tmp_path: Path, value: float) -> None:
    request = certificates.null_request(tmp_path / "work")
    broken = replace(request.certificate.measured[0], timing=replace(request.certificate.measured[0].timing, p99_ms=value))
    request = replace(request, certificate=replace(request.certificate, measured=(broken,)))
    with pytest.raises(BundleError, match=r"certificate\.json cannot be packed.*not finite.*p99_ms"):
        pack(request, tmp_path / "bundle", certificates.unopened)
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_an_optional_figure_that_is_not_finite_is_refused_too(tmp_path: Path) -> None:
    request = certificates.null_request(tmp_path / "work")
    tolerance = replace(request.certificate.tolerance, float64=float("nan"))
    with pytest.raises(BundleError, match="not finite"):
        pack(replace(request, certificate=replace(request.certificate, tolerance=tolerance)), tmp_path / "bundle", certificates.unopened)


def test_a_rejected_candidate_that_answered_nan_keeps_its_reason_and_loses_its_error(tmp_path: Path) -> None:
    request = certificates.null_request(tmp_path / "work")
    parity = replace(certificates.parity(0.1), max_abs=float("inf"), cosine=float("nan"))
    score = replace(certificates.score(0.1), value=Interval(float("nan"), 0.0, 1.0))
    rejected = Rejected(Plan("null", "int8"), "verify", "a non-finite output", parity=parity, score=score)
    pack(replace(request, certificate=replace(request.certificate, rejected=(rejected,))), tmp_path / "bundle", certificates.unopened)
    (kept,) = store.read_certificate(tmp_path / "bundle").rejected
    assert (kept.reason, kept.parity, kept.score) == ("a non-finite output", None, None)


def test_the_manifest_holds_no_null_where_a_number_belongs(bundle: Path) -> None:
    assert all(isinstance(variant["gate"], float) for variant in json.loads((bundle / "manifest.json").read_bytes())["variants"])


def test_a_full_disk_leaves_the_old_bundle(tmp_path: Path, small_disk: Path) -> None:
    target = small_disk / "bundle"
    pack(certificates.null_request(tmp_path / "a", version="1"), target, certificates.unopened)
    request = certificates.null_request(tmp_path / "b", version="2")
    (request.variants[0].candidate.path / "weights.bin").write_bytes(b"\1" * 2_000_000)
    with pytest.raises(OutOfSpace, match="the disk filled up"):
        pack(request, target, certificates.unopened)
    assert store.read(target).version == "1"
    assert [path.name for path in small_disk.iterdir()] == ["bundle"]


def test_gate_is_twice_the_certified_error_and_never_under_float32s_own() -> None:
    coarse = certificates.verified(Plan("null", "int8"), 0.0, 0.02)
    exact = certificates.verified(Plan("null"), 0.0, 1e-9)
    assert gate(coarse, certificates.TOLERANCE) == pytest.approx(0.04)
    assert gate(exact, certificates.TOLERANCE) == certificates.TOLERANCE.limit


def test_features_are_those_the_artefact_was_made_for() -> None:
    host = certificates.HOST
    older = replace(host, features=("sse4_2", "avx", "avx2"))
    assert features(Plan("any", "bf16"), host, native=False) == ("avx512_bf16",)
    assert features(Plan("any", "bf16"), older, native=False) == ()
    assert features(Plan("any", "fp32"), host, native=False) == ()
    assert features(Plan("any", "fp32"), host, native=True) == host.features


def test_golden_rows_keep_the_scale_of_every_output_and_spread_over_classes() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(500, 6)).astype(np.float32), rng.normal(size=(500, 3, 3)).astype(np.float32)
    first[321, 2], second[77, 1, 1] = -90.0, 50.0
    rows = golden.choose({"a": first, "b": second}, 500)
    assert {321, 77} <= set(rows) and len(rows) == golden.COUNT and rows == sorted(rows)
    assert len(set(np.argmax(first[rows], axis=1))) == 6
    assert golden.choose({"a": first[:1]}, 1) == [0]
    assert golden.choose({"ids": np.arange(3)}, 3) == [0, 1, 2]


def test_golden_samples_on_which_a_variant_is_unsteady_are_exchanged(tmp_path: Path) -> None:
    request = certificates.null_request(tmp_path / "work")
    asked: list[np.ndarray] = []

    def accept(root: Path) -> Acceptance:
        asked.append(golden_images(root))
        assert store.read(root).golden.samples == len(asked[-1])
        return Acceptance(unsteady=(0, 2) if len(asked) == 1 else ())

    pack(request, tmp_path / "bundle", accept)
    first, second = asked
    assert not any((image == first[place]).all() for image in second for place in (0, 2))
    assert all(any((image == kept).all() for image in second) for kept in first[3:])
    assert (golden_images(tmp_path / "bundle") == second).all()


@pytest.mark.parametrize("unsteady", [(0,), tuple(range(8))])
def test_a_bundle_that_stays_unsteady_is_never_written(tmp_path: Path, unsteady: tuple[int, ...]) -> None:
    with pytest.raises(BundleError, match="other whole numbers than the original"):
        pack(certificates.null_request(tmp_path / "work"), tmp_path / "bundle", lambda root: Acceptance(unsteady))
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_what_is_refused_when_it_is_opened_is_never_written(tmp_path: Path) -> None:
    def accept(root: Path) -> Acceptance:
        raise BundleError(f"{store.read(root).name} does not open")

    with pytest.raises(BundleError, match="digits-null does not open"):
        pack(certificates.null_request(tmp_path / "work"), tmp_path / "bundle", accept)
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def golden_images(root: Path) -> np.ndarray:
    with np.load(root / "golden.npz", allow_pickle=False) as file:
        return np.array(file["in.image"])


def test_golden_samples_fill_one_call_of_a_fixed_size() -> None:
    answers = {"y": np.random.default_rng(0).random((40, 3), np.float32)}
    assert len(golden.choose(answers, 40, call=16)) == 16
    few = golden.choose({"y": answers["y"][:3]}, 3, call=16)
    assert len(few) >= 16 and set(few) == {0, 1, 2}


def test_the_golden_scale_is_the_largest_finite_magnitude() -> None:
    y = np.zeros((50, 2), np.float32)
    y[7] = (np.nan, 1)
    y[31, 1] = -5
    y[20, 0] = -np.inf
    chosen = golden.choose({"y": y}, 50, wanted=3)
    assert 31 in chosen and 7 in chosen
