"""What a Python file does when it is imported, beyond definitions: read from its syntax tree, which is never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST = 4 * 2**20
"""Bytes of a file that is looked at."""
SHOWN, WIDTH = 3, 60

WORK = frozenset(
    re.findall(
        r"\w+",
        """train fit run main evaluate test backward step optimize minimize finetune benchmark sleep exec
        save savez savetxt savefig to_csv tofile dump write export download load_data
        remove unlink delete rename replace move copy rmtree rmdir mkdir makedirs touch truncate
        system popen check_call check_output spawn""",
    )
)
"""Words in a call's name that say: this takes long, or changes something outside the program."""
HARMLESS = frozenset(
    re.findall(
        r"\w+",
        """set seed manual register unregister enable disable filter simplefilter filterwarnings basic config configure reconfigure
        use init initialize setup define declare bind install setattr inject type share freeze requires compile build reset clear close
        add append extend insert update setdefault get pop sort collect reload load import require
        ignore include exclude allow no eval to cuda cpu float half double synchronize
        print summary warn info debug warning error check validate assert version monkey patch""",
    )
)
"""First words of a call that only sets something up: ``torch.manual_seed(0)``, ``sys.path.append(...)``."""
LOGGERS = frozenset({"logging", "logger", "log", "warnings"})
DATA = re.compile(r"(loader|epoch|dataset|batch)", re.IGNORECASE)
"""What the iterator of a training or evaluation loop is called."""


@dataclass(frozen=True)
class Statement:
    """A statement that does something when the file is imported: its line, from 1, and the beginning of its text."""

    line: int
    text: str


def statements(source: str) -> tuple[Statement, ...]:
    """The statements of ``source`` that run something at import; none where it is not valid Python.

    Definitions, imports, plain assignments and setting up (seeds, loggers, paths) do not count; neither does what is under
    ``if __name__ == "__main__":``. It is a judgement by names: nothing is resolved and nothing runs.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    lines = source.splitlines()
    return tuple(Statement(node.lineno, _text(lines, node.lineno)) for node in _running(tree.body))


def of_file(path: Path) -> tuple[Statement, ...]:
    """``statements`` of a file; none where it cannot be read as text."""
    try:
        return statements(path.read_text(encoding="utf-8")) if path.stat().st_size <= LARGEST else ()
    except (OSError, UnicodeDecodeError):
        return ()


def sentence(name: str, found: Sequence[Statement]) -> str:
    """The message about a file with these statements."""
    shown = "; ".join(f"line {one.line} `{one.text}`" for one in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f'{name} runs code when it is imported: {shown}{more}. Move it under `if __name__ == "__main__":`'


def _running(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        match node:
            case ast.If(test=ast.Compare(ops=[ast.Eq() | ast.NotEq() as sense])) if _is_main(node.test):
                yield from _running(node.orelse if isinstance(sense, ast.Eq) else node.body)
            case ast.If() if _is_type_checking(node.test):
                continue
            case ast.While():
                yield node
            case ast.For() | ast.AsyncFor():
                over = f"{ast.unparse(node.target)} {ast.unparse(node.iter)}"
                if _works(node.iter) or DATA.search(over) or any(_running([*node.body, *node.orelse])):
                    yield node
            case ast.Expr(value=value):
                if _stands_alone(value):
                    yield node
            case ast.Assign(value=value) | ast.AugAssign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                if _works(value):
                    yield node
            case ast.Delete() | ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef():
                continue
            case _:
                if isinstance(node, ast.With | ast.AsyncWith) and any(_works(item.context_expr) for item in node.items):
                    yield node
                else:
                    yield from _running(_inner(node))


def _inner(node: ast.stmt) -> list[ast.stmt]:
    """The statements in the blocks of a compound statement: if, with, try, match, class."""
    blocks = [node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())]
    return [one for block in blocks for field in ("body", "orelse", "finalbody") for one in getattr(block, field, ())]


def _is_main(test: ast.expr) -> bool:
    return "__name__" in (said := ast.unparse(test)) and "__main__" in said


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test).rpartition(".")[2] == "TYPE_CHECKING"


def _stands_alone(value: ast.expr) -> bool:
    """Whether an expression that is a statement of its own, its value thrown away, does more than set something up."""
    if isinstance(value, ast.Await | ast.Yield | ast.YieldFrom):
        return True
    if isinstance(value, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        return _works(value)
    if not isinstance(value, ast.Call):
        return False
    if _works(value):
        return True
    name = ast.unparse(value.func) if isinstance(value.func, ast.Name | ast.Attribute) else ""
    last, first = name.rpartition(".")[2], name.partition(".")[0]
    # Methods that end with an underscore change a tensor in place: requires_grad_, xavier_uniform_.
    harmless = last.endswith("_") or first.lower() in LOGGERS or last.lower() in HARMLESS or (_words(last) or [""])[0] in HARMLESS
    return not harmless


def _works(value: ast.expr) -> bool:
    """Whether any call in ``value`` has a name that says work, or is told to download; functions defined there are not called."""
    waiting: list[ast.AST] = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Call) and (_is_work(node.func) or _opens_to_write(node) or any(map(_downloads, node.keywords))):
            return True
        waiting.extend(ast.iter_child_nodes(node))
    return False


def _is_work(function: ast.expr) -> bool:
    if not isinstance(function, ast.Name | ast.Attribute):
        return False
    name = ast.unparse(function) if _plain(function) else getattr(function, "attr", "")
    last = name.rpartition(".")[2]
    if name.partition(".")[0] in ("subprocess", "shutil") and last != "which":
        return True
    # A class makes an object: TestNet(), SaveConfig(). A text's replace and a list's remove change nothing that lasts.
    if last.lstrip("_")[:1].isupper() and last != "Popen":
        return False
    if last in ("replace", "copy", "move", "remove", "delete", "system"):
        return name.partition(".")[0] in ("os", "shutil")
    words = _words(last)
    return last.lower() in WORK or (bool(words) and words[0] in WORK)


def _plain(function: ast.expr) -> bool:
    """Whether a call's name is dotted names and nothing else."""
    while isinstance(function, ast.Attribute):
        function = function.value
    return isinstance(function, ast.Name)


def _downloads(keyword: ast.keyword) -> bool:
    return keyword.arg == "download" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True


def _opens_to_write(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Name) or call.func.id != "open":
        return False
    mode = next((keyword.value for keyword in call.keywords if keyword.arg == "mode"), call.args[1] if len(call.args) > 1 else None)
    return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and bool(set(mode.value) & set("wax+"))


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)]


def _text(lines: Sequence[str], line: int) -> str:
    text = lines[line - 1].strip() if line <= len(lines) else ""
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
