"""The functions of the package: each is typed, and importing the package imports none of what is behind them."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import roadworthy as rw
from roadworthy.core.errors import UsageError


@pytest.mark.parametrize("name", [name for name in rw.__all__ if name != "__version__"])
def test_every_parameter_is_named_and_typed(name: str) -> None:
    signature = inspect.signature(getattr(rw, name))
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter
        assert parameter.kind is not inspect.Parameter.VAR_KEYWORD, parameter


def test_importing_the_package_imports_neither_side() -> None:
    program = "import sys, json, roadworthy; print(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = ("numpy", "roadworthy.build", "roadworthy.serving", "roadworthy.cli")
    assert not [name for name in json.loads(run.stdout) if name.startswith(heavy)]
    with pytest.raises(AttributeError, match="has no attribute 'deplo'"):
        rw.deplo  # noqa: B018


def test_a_file_is_inspected_and_options_of_a_comparison_are_one_for_each_source(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", weight=np.ones((3, 2), np.float32), bias=np.zeros(2, np.float32))
    assert {tensor.name for tensor in rw.inspect(tmp_path / "model.npz").tensors} == {"weight", "bias"}
    with pytest.raises(UsageError, match="arch has 1 values for 2 sources"):
        rw.compare([tmp_path / "model.npz", tmp_path / "model.npz"], arch=["net.py:Net"])
