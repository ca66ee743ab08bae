"""The export for browsers without one: its files, in Node; what it refuses; and the packages of npm."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from roadworthy.build.export import browser
from roadworthy.build.export._browser import description, npm
from roadworthy.build.export._browser.flavour import NpmPackage
from roadworthy.build.export._browser.page import refusal
from roadworthy.build.exported import Export
from roadworthy.bundle import golden as goldens
from roadworthy.bundle.golden import Golden
from roadworthy.core.errors import EnvironmentFault, ProgramMissing, StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.steps import KINDS, Decode
from support import browser_exports, javascript
from support.browser_exports import PLAN, SEES, SIDE, SIGNATURE, Made
from support.hosts import pretended


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return browser_exports.made(tmp_path_factory.mktemp("made"))


def test_its_answers_in_node_are_the_originals(made: Made, tmp_path: Path) -> None:
    feeds = {"image": np.random.default_rng(2).standard_normal((5, 3, SIDE, SIDE)).astype(np.float32)}
    found, errors = javascript.answers(made.folder, feeds, tmp_path)
    want = made.answers(feeds)
    assert found["logits"].dtype == np.float32 and np.abs(found["logits"] - want).max() < 1e-5 * np.abs(want).max()
    assert 0 <= errors["logits"] < 1e-5


def test_the_self_check_sees_other_answers(made: Made, tmp_path: Path) -> None:
    folder = made.copied(tmp_path / "export")
    arrays = dict(np.load(folder / "golden.npz"))
    scale = np.abs(arrays["out.logits"]).max()
    arrays["out.logits"][1, 4] += 0.25 * scale
    np.savez(folder / "golden.npz", **arrays)
    _, errors = javascript.answers(folder, {"image": made.golden.inputs["image"]}, tmp_path)
    assert errors["logits"] == pytest.approx(0.25 * scale / np.abs(arrays["out.logits"]).max(), rel=1e-3)


def test_the_self_check_finds_the_samples_on_any_axis_and_on_none(tmp_path: Path) -> None:
    shapes: list[tuple[tuple[int | str, ...], int | None]] = [(("batch", 3), 0), ((4, "batch", 3), 1), ((2, 3), None)]
    inputs, outputs = (
        tuple(TensorSpec(f"{way}{axis}", "float32", shape, sample_axis=axis) for shape, axis in shapes) for way in ("x", "y")
    )
    signature = Signature(inputs, outputs)
    nodes = [helper.make_node("Neg", [one.name], [other.name]) for one, other in zip(inputs, outputs, strict=True)]
    graph = browser_exports.saved(tmp_path / "m.onnx", nodes, signature)
    folder = browser_exports.lowered(graph, tmp_path / "export")
    numbers = np.random.default_rng(7)
    rows = {spec.name: numbers.standard_normal((3, *spec.sample_shape)).astype(np.float32) for spec in inputs}
    rows[inputs[2].name][:] = rows[inputs[2].name][0]
    golden = Golden(rows, {other.name: -rows[one.name] for one, other in zip(inputs, outputs, strict=True)})
    browser.finish(Export("moved", "1", PLAN, signature, Contract(), golden, 1e-6, tmp_path, (graph,)), folder)
    goldens.write(folder / "golden.npz", golden)
    feeds = signature.to_call(rows)
    found, errors = javascript.answers(folder, feeds, tmp_path)
    assert errors == dict.fromkeys(found, 0)
    for one, other in zip(inputs, outputs, strict=True):
        assert (found[other.name] == -feeds[one.name]).all()


def test_the_folder_holds_what_a_page_needs_and_the_licences(made: Made) -> None:
    files = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*") if path.is_file()}
    assert {"index.html", "page.css", "page.json", "model.json", "model/model.onnx", "runtime/adapter.js", "js/open.js"} <= files
    assert "Microsoft" in (made.folder / "runtime" / "LICENSE-onnxruntime-web.txt").read_text()
    page = (made.folder / "index.html").read_text()
    assert "://" not in page and "unsafe-inline" not in page
    assert "python3 -m http.server" in (made.folder / "README.md").read_text()


def test_the_page_carries_out_every_step_there_is() -> None:
    contract = Contract((Decode(),))
    assert refusal(contract, SIGNATURE.inputs) == ""
    from roadworthy.build.export._browser import page

    assert set(page.KINDS) == set(KINDS)


def test_what_the_page_cannot_prepare_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from roadworthy.build.export._browser import page

    assert "does not say how an image" in refusal(Contract(), SIGNATURE.inputs)
    assert "more than one image" in refusal(SEES, SIGNATURE.inputs * 2)
    monkeypatch.setattr(page, "KINDS", tuple(kind for kind in KINDS if kind != "crop"))
    assert "cannot carry out the step crop" in refusal(SEES, SIGNATURE.inputs)


def test_plans_are_for_graphs_that_a_page_can_be_given(made: Made) -> None:
    two = pretended("avx2", 2)
    ours = [plan for plan in browser.plans(made.graph, two) if plan.flavour == PLAN.flavour]
    assert [plan.threads for plan in ours] == [1, 2] and {plan.precision for plan in ours} == {"fp32"}
    text = Signature((TensorSpec("text", "object", ("batch",)),), SIGNATURE.outputs)
    assert list(browser.plans(replace(made.graph, signature=text), two)) == []
    assert list(browser.plans(replace(made.graph, unfolded=True), two)) == []


def test_an_operator_that_the_runtime_lacks_is_named_with_its_node(tmp_path: Path) -> None:
    nodes = [helper.make_node("Rotate", ["image"], ["turned"], name="turn_it", domain="com.example"),
             helper.make_node("Identity", ["turned"], ["logits"])]  # fmt: skip
    signature = Signature((TensorSpec("image", "float32", (1, 3)),), (TensorSpec("logits", "float32", (1, 3)),))
    graph = browser_exports.saved(tmp_path / "m.onnx", nodes, signature)
    (tmp_path / "out").mkdir()
    with pytest.raises(StepFailed, match=r"no operator com\.example\.Rotate \(node 'turn_it'\)"):
        browser.lower(graph, PLAN, None, tmp_path / "out")


def test_plans_that_are_not_offered_are_refused(made: Made, tmp_path: Path) -> None:
    for plan in (Plan("browser", flavour="webgpu"), replace(PLAN, precision="int8")):
        with pytest.raises(UsageError):
            browser.lower(made.graph, plan, None, tmp_path)
    text = Signature((TensorSpec("text", "object", ("batch",)),), SIGNATURE.outputs)
    with pytest.raises(StepFailed, match="no array"):
        browser.lower(replace(made.graph, signature=text), PLAN, None, tmp_path)


def test_weights_beside_a_graph_become_part_of_the_file(made: Made, tmp_path: Path) -> None:
    onnx.save(onnx.load(made.graph.path), tmp_path / "m.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    folder = browser_exports.lowered(replace(made.graph, path=tmp_path / "m.onnx"), tmp_path / "export")
    assert sorted(path.name for path in (folder / "model").iterdir()) == ["model.onnx"]
    onnx.checker.check_model(onnx.load(folder / "model" / "model.onnx", load_external_data=False))
    assert (folder / "model" / "model.onnx").stat().st_size > 20_000


def test_an_import_map_is_allowed_by_its_digest() -> None:
    text = description.import_map({"@litertjs/wasm-utils": "utils.js"})
    assert json.loads(text) == {"imports": {"@litertjs/wasm-utils": "./runtime/utils.js"}}
    assert "'sha256-" in description.policy(text) and "sha256" not in description.policy()


# Packages of npm.


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return npm.cache()


def plant_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program npm that does what ``script`` says."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def package(archive: Path) -> NpmPackage:
    return NpmPackage("made", "1.0.0", npm.integrity(archive), {"dist/made.js": "made.js"}, "LICENSE")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The archive of a small package."""
    inside = tmp_path / "held" / "package"
    (inside / "dist").mkdir(parents=True)
    (inside / "dist" / "made.js").write_text("export {};")
    (inside / "LICENSE").write_text("Do as you like.")
    return Path(shutil.make_archive(str(tmp_path / "made"), "gztar", tmp_path / "held", "package"))


def test_a_package_is_downloaded_once_and_a_damaged_one_again(
    cache: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_npm(tmp_path / "bin", monkeypatch, f'echo "$@" >> {tmp_path}/asked; cp {archive} made-1.0.0.tgz')
    out = tmp_path / "out"
    out.mkdir()
    for _ in range(2):
        npm.copy(package(archive), out)
    assert sorted(path.name for path in out.iterdir()) == ["LICENSE-made.txt", "made.js"]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 1 and asked[0].startswith("pack made@1.0.0 --ignore-scripts")
    held = cache / "made-1.0.0" / npm.ARCHIVE
    held.write_bytes(held.read_bytes()[:-20])
    npm.copy(package(archive), out)
    assert len((tmp_path / "asked").read_text().splitlines()) == 2 and npm.integrity(held) == npm.integrity(archive)


def test_another_package_than_the_tested_one_is_refused(
    cache: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = package(archive)
    archive.write_bytes(archive.read_bytes() + b"\0")
    plant_npm(tmp_path / "bin", monkeypatch, f"cp {archive} made-1.0.0.tgz")
    with pytest.raises(EnvironmentFault, match=r"another made 1\.0\.0 than the one that was tested") as caught:
        npm.archive(wanted)
    assert caught.value.exit_code == 7 and list(cache.iterdir()) == []


def test_without_a_network_the_reason_and_the_remedy_are_said(
    cache: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_npm(tmp_path / "bin", monkeypatch, "echo 'npm error code ENOTFOUND\nnpm error network request failed' >&2; exit 1")
    with pytest.raises(
        EnvironmentFault, match=r"npm could not download made@1\.0\.0: network request failed; .*npm view made@1\.0\.0"
    ) as caught:
        npm.archive(package(archive))
    assert caught.value.exit_code == 7 and list(cache.iterdir()) == []


def test_an_npm_that_hangs_is_ended(cache: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_npm(tmp_path / "bin", monkeypatch, "exec sleep 600")
    monkeypatch.setattr(npm, "LIMIT_S", 0.2)
    with pytest.raises(EnvironmentFault, match=r"did not download made@1\.0\.0 within 0\.2 s"):
        npm.archive(package(archive))


def test_without_npm_or_a_browser_the_remedy_is_said_before_anything_is_made(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match="apt-get install chromium") as caught:
        browser.require()
    assert caught.value.exit_code == 7
    (tmp_path / "chromium").symlink_to("/bin/true")
    with pytest.raises(ProgramMissing, match="apt-get install nodejs npm"):
        browser.require()


def test_a_package_in_the_cache_needs_no_npm(cache: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "made-1.0.0").mkdir(parents=True)
    shutil.copy(archive, cache / "made-1.0.0" / npm.ARCHIVE)
    monkeypatch.setenv("PATH", os.devnull)
    npm.require(package(archive))
    assert npm.archive(package(archive)).is_file()
