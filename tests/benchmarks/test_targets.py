"""The page of targets says what each evidence says, and why a target could not be had; ratios of exports are paired by round."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from roadworthy.build.exporting import Exported
from roadworthy.bundle import export_evidence
from support import merging

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import exports
import targets


def test_a_row_is_of_the_evidence(tmp_path: Path) -> None:
    bundle = merging.with_export(tmp_path)
    place = bundle / "exports" / "tensorrt"
    evidence = export_evidence.read(place / "evidence.json")
    cells = [cell.strip() for cell in targets.row("tensorrt", Exported(place, evidence, (), ())).strip("|").split("|")]
    assert cells[:3] == ["[tensorrt](targets/tensorrt.md)", "fp32", "not verified on the target"] and cells[4:6] == ["1e-07", "-"]
    timed = replace(merging.from_target(bundle), plan=replace(evidence.plan, flavour="generated"))
    cells = [cell.strip() for cell in targets.row("elsewhere", Exported(place, timed, (), ())).strip("|").split("|")]
    assert cells[:4] == ["elsewhere", "generated", "verified on the target", "NVIDIA A10G, driver 570.86, tensorrt 11.4.0"]
    assert cells[5] == "0.21"


def test_a_target_that_was_not_made_has_its_reason(tmp_path: Path) -> None:
    bundle = merging.with_export(tmp_path)
    found = targets.exported([bundle], "tensorrt", tmp_path / "out")
    assert isinstance(found, str) and "was packed without graphs" in found
    assert "not made here" in targets.row("tensorrt", "no | such\nprogram") and "no \\| such program" in targets.row(
        "tensorrt", "no | such\nprogram"
    )


def test_ratios_are_paired_by_round() -> None:
    mine = exports.Timed("native generated", 1, lambda: 0.0, rounds=[1.0, 2.0, 4.0])
    theirs = exports.Timed("ONNX Runtime", 1, lambda: 0.0, rounds=[2.0, 2.0, 4.0])
    assert mine.against(theirs) == {"median": 1.0, "least": 1.0, "most": 2.0}
    assert mine.ms == 2.0
    with pytest.raises(ValueError):
        mine.against(replace(theirs, rounds=[1.0]))
