"""Options of a plan: they are in its name, and a runtime refuses those that it does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.core.errors import UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.runtimes import open_session

SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 2)),), (TensorSpec("y", "float32", ("batch", 2)),))


def test_an_option_that_the_runtime_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="null has no option pinned; it has none"):
        open_session(tmp_path, SIGNATURE, Plan("null", options=("pinned",)))


def test_plans_that_differ_in_options_share_their_files() -> None:
    plain, pinned = Plan("null", threads=2), Plan("null", threads=2, options=("pinned",))
    assert plain.artefact == pinned.artefact
    assert (plain.name, pinned.name) == ("null-fp32-t2", "null-fp32-t2-pinned")
