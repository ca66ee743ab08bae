"""The last act of a deployment opens every variant as a server does, and names the one that a server would refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.bundle.acceptance import Acceptance, AcceptanceRequest
from roadworthy.core.errors import BundleError
from roadworthy.core.types import Quantization, Signature, TensorSpec
from roadworthy.serving.engine.acceptance import accept
from support.models import bundles
from support.servers.serving import variant, write_echo

COUNTS = Signature((TensorSpec("x", "int64", ("batch", 2)),), (TensorSpec("y", "int64", ("batch", 2)),))


def test_a_whole_bundle_is_accepted(tmp_path: Path) -> None:
    assert accept(AcceptanceRequest(write_echo(tmp_path / "echo", "echo"))) == Acceptance()


def test_the_fallback_is_opened_too(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="refuses the new bundle's variant testkit-fp32-lying-t1: its golden answers are off by"):
        accept(AcceptanceRequest(write_echo(tmp_path / "echo", "echo", "lying")))


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    bundle = write_echo(tmp_path / "echo", "echo")
    (bundle / "golden.npz").write_bytes(b"another")
    with pytest.raises(BundleError, match=r"golden\.npz"):
        accept(AcceptanceRequest(bundle))


def test_whole_numbers_that_differ_name_their_samples(tmp_path: Path) -> None:
    x = np.arange(2, 12, dtype=np.int64).reshape(5, 2)
    y = x.copy()
    y[3, 1] += 4
    bundle = bundles.write_bundle(tmp_path / "b", signature=COUNTS, variants=(variant("echo"),), golden={"in.x": x, "out.y": y})
    assert accept(AcceptanceRequest(bundle)) == Acceptance(unsteady=(3,))


def test_a_quantised_output_is_no_count_and_keeps_its_gate(tmp_path: Path) -> None:
    spec = TensorSpec("y", "int8", ("batch", 2), Quantization(0.5, 0))
    signature = Signature((replace(spec, name="x"),), (spec,))
    x = np.arange(2, 12, dtype=np.int8).reshape(5, 2)
    y = x.copy()
    y[3, 1] += 4
    bundle = bundles.write_bundle(tmp_path / "b", signature=signature, variants=(variant("echo"),), golden={"in.x": x, "out.y": y})
    with pytest.raises(BundleError, match="off by"):
        accept(AcceptanceRequest(bundle))


def test_a_quantised_output_is_off_by_what_its_numbers_stand_for(tmp_path: Path) -> None:
    """One step of 0.5 where the largest value is 2; relative to the whole numbers, which are near -100, it would be one percent."""
    spec = TensorSpec("y", "int8", ("batch", 2), Quantization(0.5, -100))
    signature = Signature((replace(spec, name="x"),), (spec,))
    x = np.array([[-100, -96], [-99, -98]], np.int8)
    y = x.copy()
    y[1, 0] += 1
    lenient = replace(variant("echo"), gate=0.1)
    bundle = bundles.write_bundle(tmp_path / "b", signature=signature, variants=(lenient,), golden={"in.x": x, "out.y": y})
    with pytest.raises(BundleError, match=r"off by 0\.25"):
        accept(AcceptanceRequest(bundle))
