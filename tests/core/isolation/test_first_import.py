"""What a library needs done first is done once, just before it is imported, and never where it is not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from roadworthy.core.isolation import first_import, isolate
from support import isolated_steps
from support.isolated_steps import Number, Text


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules in which ``needy`` is imported only after ``helper.prepare`` ran."""
    (tmp_path / "needy.py").write_text("import sys\nTIMES = sys.modules['helper'].times\n")
    (tmp_path / "helper.py").write_text("times = 0\ndef prepare():\n    global times\n    times += 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(first_import, "BEFORE", {"needy": ("helper", "prepare"), "torn": ("no_such_module", "prepare")})
    # A test before this one may have watched in this process.
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if not isinstance(finder, first_import._Watch)])
    for name in ("needy", "helper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    first_import.watch()
    first_import.watch()
    return tmp_path


def test_the_function_runs_once_before_the_library_is_imported(watched: Path) -> None:
    importlib.import_module("json.tool")
    assert "helper" not in sys.modules
    assert importlib.import_module("needy").TIMES == 1
    del sys.modules["needy"]
    assert importlib.import_module("needy").TIMES == 1


def test_where_its_module_cannot_be_imported_the_library_is_looked_for_as_ever(watched: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="torn"):
        importlib.import_module("torn")


@pytest.mark.slow
def test_torchvision_can_be_imported_in_a_child_by_user_code_and_by_inductor(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "net.py"
    file.write_text(
        "from torch._inductor.utils import has_torchvision_roi_align\n"
        "aligns = has_torchvision_roi_align()\n"
        "import torchvision\n"
        "FOUND = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.name, aligns\n"
    )
    assert isolate.call(isolated_steps.import_file, Text(str(file))).value == "('IMAGENET1K_V1', True)"


def test_a_child_that_never_imports_it_does_not_import_the_framework() -> None:
    assert isolate.call(isolated_steps.is_imported, Text("torch")) == Number(0)
