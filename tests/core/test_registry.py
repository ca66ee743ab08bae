"""What a runtime says of itself is read without importing it, and is what the module holds."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, UsageError
from roadworthy.core.registry import RUNTIMES, RuntimeFacts
from support.models.linear import planted_here

__all__ = ["planted_here"]

PROGRAM = """
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from roadworthy.core import registry
for name in registry.names(registry.RUNTIMES):
    registry.facts(name)
    registry.require(name)
registry.runtime_for("onnx")
print([name for name in ("torch", "tensorflow", "onnxruntime", "openvino", "ai_edge_litert") if name in sys.modules])
"""


@pytest.mark.parametrize("name", registry.names(RUNTIMES))
def test_the_facts_are_the_modules_own(name: str) -> None:
    module = registry.runtime(name)
    assert registry.facts(name) == RuntimeFacts(module.RUNS, module.PACKAGES, module.FRAMEWORK, module.NATIVE)


def test_reading_them_imports_no_backend() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_runtime_of_a_third_party_is_read_too(planted_here: None) -> None:
    assert registry.facts("planted-framework") == RuntimeFacts((), (), framework=True, native=True)


def test_a_missing_package_and_an_unknown_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> str:
        raise registry.PackageNotFoundError(package)

    monkeypatch.setattr(registry, "version", absent)
    with pytest.raises(BackendMissing, match=r"pip install 'roadworthy\[openvino\]'"):
        registry.require("openvino")
    registry.require("null")
    with pytest.raises(UsageError, match="there is no backend 'onyx'"):
        registry.require("onyx")


def test_a_module_that_computes_its_facts_is_imported_and_a_broken_one_does_not_stop_others(
    planted_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "computing.py").write_text("RUNS = tuple(['odd'])\nPACKAGES = ()\nFRAMEWORK = False\nNATIVE = bool(0)\n")
    (tmp_path / "broken.py").write_text("import no_such_package_anywhere\n")
    points = {name: EntryPoint(name, name, RUNTIMES) for name in ("broken", "computing")}
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "names", lambda room: ("broken", "computing"))
    monkeypatch.setattr(registry, "entry_points", lambda group, name: [points[name]])
    registry.facts.cache_clear()
    assert registry.facts("computing") == RuntimeFacts(("odd",), (), framework=False, native=False)
    assert registry.runtime_for("odd") == "computing"
    with pytest.raises(BackendMissing, match="broken cannot be used"):
        registry.facts("broken")
    registry.facts.cache_clear()
