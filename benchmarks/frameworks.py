"""PyTorch beside TensorFlow on one network in two sizes: the figures of ``docs/pytorch-vs-tensorflow.md``.

``python benchmarks/frameworks.py`` trains the example, carries its weights across, runs ``roadworthy compare`` on the small network
and on a large one with random weights, and writes ``benchmarks/results/frameworks.json`` and two pages; ``--docs`` also
rewrites the tables of the document, ``--reuse`` takes the figures of the last run.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
import time
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parent / "examples" / "pytorch_and_tensorflow"
RESULTS, WORK = HERE / "results", HERE / "results" / "frameworks"
DOCUMENT = HERE.parent / "docs" / "pytorch-vs-tensorflow.md"
ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))
LARGE = {"width": 64, "size": 64}
STEPS = {"write": ("Net", "build"), "train": ("train",), "export": ("export",), "serve": ("serve",)}
LEVEL = 1.1
"""A ratio within this factor of 1 counts as level."""

MAKE_LARGE = f"""
import sys
from pathlib import Path
import torch
from carry import carry
from in_pytorch import Net
from in_tensorflow import build
torch.manual_seed(0)
net, out = Net(**{LARGE}), Path(sys.argv[1])
torch.save(net.state_dict(), out / "large.pt")
carry(net, build(**{LARGE})).save(out / "large.keras")
"""


def lines(file: Path) -> dict[str, int]:
    """Lines of code of each step: of its function or class, without blank lines, comments and docstrings."""
    tree = ast.parse(file.read_text())
    found = {}
    for step, names in STEPS.items():
        nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in names]
        found[step] = sum(_code_lines(file, node) for node in nodes)
    return found


def _code_lines(file: Path, node: ast.FunctionDef | ast.ClassDef) -> int:
    blocks = [part for part in ast.walk(node) if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part) is not None]
    docstrings = {line for block in blocks for line in range(block.body[0].lineno, (block.body[0].end_lineno or 0) + 1)}
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    with file.open("rb") as source:
        code = {token.start[0] for token in tokenize.tokenize(source.readline) if token.type not in silent}
    return len({line for line in code if node.lineno <= line <= (node.end_lineno or 0)} - docstrings)


def measure() -> dict[str, Any]:
    """Train, carry, compare twice."""
    WORK.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for script in ("in_pytorch.py", "in_tensorflow.py", "carry.py"):
        subprocess.run([sys.executable, EXAMPLE / script, WORK], check=True)
    subprocess.run([sys.executable, "-c", MAKE_LARGE, WORK], check=True, cwd=EXAMPLE)
    net = f"{EXAMPLE / 'in_pytorch.py'}:Net"
    small = compare("net", f"A={net}", "--data", str(WORK / "digits.npz"))
    arguments = ", ".join(f"{name}={value}" for name, value in LARGE.items())
    size = LARGE["size"]
    large = compare("large", f"A={net}({arguments})", "--input", f"A=image:float32[batch,1,{size},{size}]", "--samples", "64")
    exported = {name: _size(WORK / file) for name, file in (("PyTorch", "exported.pt2"), ("TensorFlow", "exported"))}
    count = {"PyTorch": lines(EXAMPLE / "in_pytorch.py"), "TensorFlow": lines(EXAMPLE / "in_tensorflow.py")}
    return {"small": small, "large": large, "exported_mb": exported, "lines": count, "seconds": time.monotonic() - started}


def compare(name: str, arch: str, *options: str) -> dict[str, Any]:
    """``roadworthy compare`` of the two forms of one network, as a user would type it."""
    command = [ROADWORTHY, "compare", f"{name}.pt", f"{name}.keras", "--arch", arch, *options, "-o", f"{name}.html", "--json"]
    run = subprocess.run(command, cwd=WORK, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def _size(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 2**20


def forms(comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """Every form of both sides, flat, with the few figures that the tables show."""
    found = []
    for side, words in zip(comparison["sides"], ("PyTorch", "TensorFlow"), strict=True):
        for form in side["forms"]:
            plan, times = form["plan"], {one["batch"]: one for one in form["steady"]}
            name = " ".join(part for part in (plan["runtime"], plan["flavour"], "1 thread" if plan["threads"] == 1 else "") if part)
            firsts = {one["batch"]: one["ms"] for one in form["first_calls"]}
            found.append({**form, "side": words, "name": name, "ms": {batch: one["ms"]["value"] for batch, one in times.items()},
                          "first": firsts, "trusted": all(one["trusted"] for one in times.values())})  # fmt: skip
    return found


def table(comparison: dict[str, Any]) -> list[str]:
    """The forms as Markdown."""
    times = ("1 sample, ms", "8", "32", "samples/s", "import, s", "load, s", "first call of 1, ms", "of 8", "of 32", "made ahead, s")
    heads = ("model", "form", *times, "memory, MB", "size, MB")
    rows = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for form in forms(comparison):
        name = f"**{form['name']}** (as it came)" if form["family"] == "original" else form["name"]
        cells = [form["side"], name if form["trusted"] else f"{name} ?"]
        cells += [short(form["ms"].get(batch)) for batch in (1, 8, 32)]
        cells += [f"{form['throughput']:,.0f}", short(form["import_ms"] / 1e3), short(form["load_ms"] / 1e3)]
        cells += [short(form["first"].get(batch)) for batch in (1, 8, 32)]
        cells += [short(form["made_s"]), f"{form['memory_mb']:.0f}", short(form["size_mb"])]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def short(value: float | None) -> str:
    """Three digits that count."""
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


Ratio = Callable[[Callable[..., float], Callable[..., float]], float]
"""From ``ms(side, name)`` and ``best(side, family)``, both at batch 1, to one number: the claim holds where it is above ``LEVEL``."""
PT, TF = "PyTorch", "TensorFlow"
CLAIMS: tuple[tuple[str, str, Ratio], ...] = (
    (
        "PyTorch is slower because it is interpreted",
        "its best form without the interpreter is {} and {} times as fast as its eager call",
        lambda ms, best: ms(PT, "pytorch") / best(PT, "own"),
    ),
    (
        "TensorFlow is faster because its graph is static",
        "tf.function is {} and {} times as fast as eager PyTorch",
        lambda ms, best: ms(PT, "pytorch") / ms(TF, "tensorflow function"),
    ),
    (
        "Calling a Keras model eagerly costs dearly",
        "tf.function is {} and {} times as fast as the eager call of the same Keras model",
        lambda ms, best: ms(TF, "tensorflow") / ms(TF, "tensorflow function"),
    ),
    (
        "Eager for eager, PyTorch is the faster",
        "eager PyTorch is {} and {} times as fast as eager Keras",
        lambda ms, best: ms(TF, "tensorflow") / ms(PT, "pytorch"),
    ),
    (
        "XLA makes TensorFlow faster",
        "XLA is {} and {} times as fast as tf.function",
        lambda ms, best: ms(TF, "tensorflow function") / ms(TF, "xla"),
    ),
    (
        "torch.compile makes PyTorch faster",
        "torch.compile is {} and {} times as fast as eager",
        lambda ms, best: ms(PT, "pytorch") / ms(PT, "pytorch compile"),
    ),
    (
        "A runtime made for inference beats either framework's best",
        "the best one is {} and {} times as fast as the best form in either framework",
        lambda ms, best: min(best(PT, "own"), best(TF, "own")) / min(best(PT, "shared"), best(TF, "shared")),
    ),
    (
        "Which framework it was trained in decides its speed in service",
        "each in its best shared runtime, the slower takes {} and {} times the time of the quicker",
        lambda ms, best: max(best(PT, "shared"), best(TF, "shared")) / min(best(PT, "shared"), best(TF, "shared")),
    ),
)


def claims(small: dict[str, Any], large: dict[str, Any]) -> list[str]:
    """What people say, and whether it held in these very figures."""
    rows = ["| claim | in these figures, batch 1 (small network and large) | verdict |", "|---|---|---|"]
    for claim, said, ratio in CLAIMS:
        found = [_ratio(forms(comparison), ratio) for comparison in (small, large)]
        ratios = [one for one, _ in found]
        holds = [one is not None and one > LEVEL for one in ratios]
        verdict = (
            "held" if all(holds) else "held for the small network alone" if holds[0] else "held for the large one alone" if holds[1] else ""
        )
        words = said.format(*("(not measured)" if one is None else f"{one:.2f}" for one in ratios))
        doubt = "" if all(trusted for _, trusted in found) else " ?"
        rows.append(f"| {claim} | {words} | {verdict or 'did not hold'}{doubt} |")
    return rows


def _ratio(every: list[dict[str, Any]], ratio: Ratio) -> tuple[float | None, bool]:
    """The number, and whether every figure behind it had enough undisturbed rounds."""
    used = []

    def ms(side: str, name: str) -> float:
        used.append(next(form for form in every if form["side"] == side and form["name"] == name))
        return float(used[-1]["ms"][1])

    def best(side: str, family: str) -> float:
        used.append(min((form for form in every if form["side"] == side and form["family"] == family), key=lambda form: form["ms"][1]))
        return float(used[-1]["ms"][1])

    try:
        number = ratio(ms, best)
    except (StopIteration, ValueError):
        return None, False  # a form that did not run is listed with its reason on the page
    return number, all(one["trusted"] for form in used for one in form["steady"] if one["batch"] == 1)


def graph_steps(small: dict[str, Any], large: dict[str, Any]) -> list[str]:
    """What each step from define-by-run to a graph costs once, and gains at each call."""
    rows = ["| network | step | costs once, s | gains a call of 1, ms | pays after so many calls |", "|---|---|---|---|---|"]
    for words, comparison in (("small", small), ("large", large)):
        every = forms(comparison)
        for side in ("PyTorch", "TensorFlow"):
            original = next(form for form in every if form["side"] == side and form["family"] == "original")
            for form in every:
                if form["side"] != side or form["family"] != "own":
                    continue
                once = form["made_s"] + (form["load_ms"] + form["first"][1] - original["load_ms"] - original["first"][1]) / 1e3
                gain = original["ms"][1] - form["ms"][1]
                after = "never" if gain <= 0 else "at once" if once <= 0 else f"{1e3 * once / gain:,.0f}"
                rows.append(f"| {words} | {side}: {form['name']} | {short(max(once, 0.0))} | {gain:+.3g} | {after} |")
    return rows


def code(result: dict[str, Any]) -> list[str]:
    """Lines of code, counted."""
    rows = ["| | " + " | ".join(STEPS) + " | together |", "|---" * (len(STEPS) + 2) + "|"]
    for side, count in result["lines"].items():
        rows.append(f"| {side} | " + " | ".join(str(count[step]) for step in STEPS) + f" | {sum(count.values())} |")
    return rows


def machine(result: dict[str, Any]) -> list[str]:
    """Where and when the figures come from."""
    small, large = result["small"], result["large"]
    host = small["host"]
    shown = ("torch", "tensorflow-cpu", "keras", "onnxruntime", "openvino", "ai-edge-litert")
    versions = ", ".join(one for one in small["packages"] if one.split()[0] in shown)
    sizes = f"{small['sides'][0]['parameters']:,} and {large['sides'][0]['parameters']:,} parameters"
    exported = ", ".join(f"{name} {size:.2f} MB" for name, size in result["exported_mb"].items())
    said = " ".join(pairing["verdict"] + "." for comparison in (small, large) for pairing in comparison["pairings"])
    return [
        f"{host['cpu']}, {host['cores']} cores; {versions}; {small['created'][:10]}. Two networks of {sizes}.",
        f"{said} The small one exported: {exported}. The command took {result['seconds']:.0f} s.",
    ]


def document(result: dict[str, Any]) -> None:
    """Rewrite the text between the markers of the document."""
    small, large = result["small"], result["large"]
    blocks = {"machine": machine(result), "small": table(small), "large": table(large), "steps": graph_steps(small, large),
              "claims": claims(small, large), "lines": code(result)}  # fmt: skip
    text = DOCUMENT.read_text()
    for name, rows in blocks.items():
        text, found = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda match, rows=rows: match[1] + "\n".join(rows) + "\n" + match[2],
            text,
            flags=re.DOTALL,
        )
        if found != 1:
            raise SystemExit(f"{DOCUMENT} has no place for {name}")
    DOCUMENT.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="rewrite the tables of docs/pytorch-vs-tensorflow.md")
    parser.add_argument("--reuse", action="store_true", help="take the figures of the last run")
    options = parser.parse_args()
    file = RESULTS / "frameworks.json"
    result = json.loads(file.read_text()) if options.reuse else measure()
    if not options.reuse:
        RESULTS.mkdir(exist_ok=True)
        file.write_text(json.dumps(result, indent=1))
    for rows in (machine(result), claims(result["small"], result["large"]), code(result)):
        print("\n".join(rows), end="\n\n")
    if options.docs:
        document(result)


if __name__ == "__main__":
    main()
