"""A bundle is exported for TensorRT, its verify.py runs elsewhere, and what that showed comes back into the bundle."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import roadworthy as rw
from roadworthy.build.exporting.merged import merge_evidence
from roadworthy.bundle import store
from roadworthy.bundle.certificate import NOT_ON_TARGET, ON_TARGET
from roadworthy.core.errors import BundleError
from support import exporting
from support.files import onnx_files

FAKE = Path(__file__).parents[2] / "support" / "fake_tensorrt"
FAKED = ("engine", "tensorrt", "polygraphy")


@pytest.mark.slow
@pytest.mark.usefixtures("warm_steps")
def test_the_evidence_of_the_target_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target is a stand-in: its engine is the same file run by ONNX Runtime."""
    bundle, data = tmp_path / "bundle", tmp_path / "x.npy"
    onnx_files.linear(tmp_path / "linear.onnx")
    np.save(data, np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32))
    rw.deploy(tmp_path / "linear.onnx", bundle, data=str(data), runtimes=["onnxruntime"], precisions=["fp32"], seconds=300)
    made = rw.export(bundle, "tensorrt")
    assert (made.path, made.evidence.verification) == (bundle / "exports" / "tensorrt", NOT_ON_TARGET)
    assert "nothing was built or run by TensorRT" in (made.path / "README.md").read_text()

    elsewhere = tmp_path / "gpu"
    shutil.copytree(made.path, elsewhere)
    with exporting.packages_from(FAKE, elsewhere, names=FAKED):
        import engine  # type: ignore[import-not-found]

        monkeypatch.setattr(engine, "DEVICES", ("/dev/null",))
        monkeypatch.setattr(sys, "argv", ["verify.py"])
        assert runpy.run_path(str(elsewhere / "verify.py"), run_name="verify")["main"]() == 0

    brought = merge_evidence(bundle, elsewhere / "evidence-target.json")
    (export,) = store.read_certificate(bundle).exports
    assert export.verification == ON_TARGET and export.proof is not None and export.proof.ms == brought.ms
    store.read(bundle, whole=True)
    (elsewhere / "evidence-target.json").write_text((elsewhere / "evidence-target.json").read_text().replace(brought.files, "0" * 64))
    with pytest.raises(BundleError, match="the files"):
        merge_evidence(bundle, elsewhere / "evidence-target.json")
