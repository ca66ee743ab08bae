"""docs/targets.md: every target that a bundle can be exported to, what ran where, and how near its answers are, written by this run.

``python benchmarks/targets.py [BUNDLE ...]`` exports to each target from the first bundle that has a graph for it, and prints a target that
cannot be had here with the reason. Without a bundle a digits CNN is trained and deployed. ``--check`` writes no page.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import roadworthy as rw
from roadworthy.build.exported import target as module_of
from roadworthy.build.exporting import Exported
from roadworthy.bundle import store
from roadworthy.core import registry
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.host import Host, this_host

HERE = Path(__file__).resolve().parent
EXAMPLES, DOCS = HERE.parent / "examples", HERE.parent / "docs"
ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))


def demo(folder: Path) -> Path:
    """The digits CNN of the examples, trained and deployed with little effort on its speed, which is not judged here."""
    subprocess.run([sys.executable, EXAMPLES / "digits" / "train.py", folder], check=True)
    arch, preprocess = EXAMPLES / "digits" / "net.py", EXAMPLES / "digits" / "preprocess.toml"
    bundle = folder / "digits.bundle"
    words = ["--arch", f"{arch}:DigitsNet", "--trust", "--data", folder / "images", "--preprocess", preprocess, "--runtimes", "onnxruntime"]
    run = [ROADWORTHY, "deploy", folder / "digits.pt", *words, "--precisions", "fp32", "--name", "digits", "-o", bundle]
    subprocess.run([str(word) for word in run], check=True)
    return bundle


def exported(bundles: Sequence[Path], target: str, out: Path) -> Exported | str:
    """The export, or in words why there is none."""
    try:
        formats = module_of(target).ACCEPTS
        bundle = next((one for one in bundles if any(graph.format in formats for graph in store.read(one).graphs)), bundles[0])
        return rw.export(bundle, target, out)
    except RoadworthyError as problem:
        return problem.message


def row(target: str, found: Exported | str) -> str:
    """The target's line in the table."""
    page = DOCS / "targets" / f"{target}.md"
    name = f"[{target}](targets/{page.name})" if page.is_file() else target
    if isinstance(found, str):
        return f"| {name} | - | not made here | {_cell(found)} | - | - | - |"
    one = found.evidence
    size = sum(file.stat().st_size for file in found.path.rglob("*") if file.is_file()) / 2**20
    tools = ", ".join(f"{tool.name} {tool.version}" for tool in one.tools)
    answered = ", ".join(filter(None, (one.device, tools)))
    ms = f"{one.ms:.3g}" if one.ms is not None else "-"
    form = one.plan.flavour or one.plan.precision
    return f"| {name} | {form} | {one.verification} | {_cell(answered)} | {one.max_rel:.2g} | {ms} | {size:.3g} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def words_for(host: Host) -> str:
    """The machine, for the page's first line."""
    return f"{host.cpu}, {host.cores} cores ({', '.join(host.features)}), {host.system}, Python {host.python}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", type=Path, help="bundles to export from")
    parser.add_argument("--only", default="", help="targets, comma-separated; the page is not written")
    parser.add_argument("--check", action="store_true", help="print, and write no page")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        bundles = options.bundles or [demo(folder)]
        names = [name for name in registry.targets() if not options.only or name in options.only.split(",")]
        rows = []
        for name in names:
            rows.append(row(name, exported(bundles, name, folder / "exports" / name)))
            print(rows[-1], flush=True)
        models = " and ".join(f"the bundle {store.read(bundle).name}" for bundle in bundles)
        head = (HERE / "targets.md.template").read_text().replace("@MODEL@", models).replace("@HOST@", words_for(this_host()))
        if not (options.check or options.only):
            (DOCS / "targets.md").write_text(head + "\n".join(rows) + "\n")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
