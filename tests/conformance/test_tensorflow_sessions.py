"""The same suite for the backends that answer with TensorFlow, in a process of their own: it takes its threads once for each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.conftest import ALONE

pytestmark = pytest.mark.slow

SUITE = Path(__file__).with_name("test_sessions.py")


@pytest.mark.skipif(ALONE, reason="this is that process")
def test_backends_that_answer_with_tensorflow_pass_the_suite() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SUITE)]
    done = subprocess.run(
        command, env=os.environ | {"ROADWORTHY_TENSORFLOW_SESSIONS": "1"}, capture_output=True, text=True, cwd=SUITE.parents[2]
    )
    assert done.returncode == 0, done.stdout[-6000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 30, done.stdout[-6000:]
