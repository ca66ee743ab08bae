"""The reason why a route failed, in one sentence: the exporters' own messages fill pages."""

from __future__ import annotations

import re
import traceback

from roadworthy.core.errors import RoadworthyError
from roadworthy.core.types import BATCH

LONGEST = 240
DEEPEST = 6

_DATA_DEPENDENT = re.compile(
    r"data-dependent|GuardOnDataDependent|DataDependentOutput|symbolic `?(tf|Keras)\S* as a Python"
    r"|'SymbolicTensor' object has no attribute 'numpy'|NotImplementedError: numpy\(\) is only available when eager",
    re.IGNORECASE,
)
_LOOP = re.compile(r"Iterating over a symbolic")
_UNKNOWN_SIZE = re.compile(
    r"'?NoneType'?|None values not supported|partially known TensorShape|got None|Constraints violated \((?:[^)]*\b)?batch\b"
)
_SPECIALISED = re.compile(r"You marked (\w+) as dynamic but your code specialized it to be a constant \((\d+)\)")
_SUGGESTED_LIMIT = re.compile(r"batch = Dim\('batch', (?:min=\d+, )?max=(\d+)\)")
_SOURCE_LINE = re.compile(r"File \"?([^\s\":]+\.py)\"?(?:, line |:)(\d+),? in \w+(?:, code: (.+))?")
_FRAMEWORKS = re.compile(r"/(torch|tensorflow|keras|tf_keras|tf2onnx|roadworthy|numpy)/")
_WRAPPED = re.compile(r"Exception encountered when calling |in user code:")
_NO_OPERATOR = re.compile(
    r"No ONNX function found for <OpOverload\(op='([\w.:]+)'|Exporting the operator '([\w:]+)' to ONNX opset version \d+ is not supported"
)
_OPERATOR = re.compile(r"Error when translating node .*?target=torch\.ops\.(\w+\.\w+)")


class Refused(Exception):
    """A route's result that is not to be used. ``batch`` says that the number of samples alone is to blame."""

    def __init__(self, reason: str, *, batch: bool = False) -> None:
        super().__init__(reason)
        self.batch = batch


def reason(problem: BaseException) -> str:
    """One line that says why, for a user who knows the model and not the exporter."""
    if isinstance(problem, Refused | RoadworthyError):
        return str(problem)
    if isinstance(problem, MemoryError):
        return "ran out of memory"
    text = _whole(problem)
    if is_data_dependent(problem):
        return f"a branch or a size in the model depends on the data{_where(text) or _frame(problem)}"
    if _LOOP.search(text):
        return f"the model goes over a tensor in a Python loop, which no graph records{_where(text) or _frame(problem)}"
    if match := _SPECIALISED.search(text):
        return f"the model's code fixes {match[1]} to {match[2]}{_where(text)}"
    if match := _NO_OPERATOR.search(text):
        return f"the operator {match[1] or match[2]} has no counterpart in ONNX"
    deepest = _chain(problem)[-1]
    said = _shortened(f"{type(deepest).__name__}: {_telling_line(str(deepest))}")
    operator = _OPERATOR.search(text)
    return f"the operator {operator[1]} cannot be converted: {said}" if operator else said


def is_data_dependent(problem: BaseException) -> bool:
    """Whether the exporter stopped because the model's path depends on the values it is given."""
    return bool(_DATA_DEPENDENT.search(f"{type(problem).__name__} {_whole(problem)}"))


def is_batch(problem: BaseException) -> bool:
    """Whether the route may work for another number of samples, or for one fixed number."""
    return problem.batch if isinstance(problem, Refused) else bool(_UNKNOWN_SIZE.search(_whole(problem)))


def fixes_a_size(problem: BaseException) -> bool:
    """Whether the model's own code takes one size of an axis beside the batch that was to be open."""
    return any(name != BATCH for name, _ in _SPECIALISED.findall(_whole(problem)))


def suggested_limit(problem: BaseException) -> int | None:
    """The largest batch that the exporter found the model to take, where that was its complaint."""
    match = _SUGGESTED_LIMIT.search(str(problem))
    return int(match[1]) if match else None


def one_line(text: str) -> str:
    """``text`` on one line, cut to a readable length."""
    return _shortened(" ".join(text.split()))


def _whole(problem: BaseException) -> str:
    """The message with those of its causes."""
    return "\n".join(f"{type(link).__name__}: {link}" for link in _chain(problem))


def _chain(problem: BaseException) -> list[BaseException]:
    """The exception and its causes: exporters wrap what really happened, up to three times."""
    chain = [problem]
    while chain[-1].__cause__ is not None and len(chain) < DEEPEST:
        chain.append(chain[-1].__cause__)
    return chain


def _where(text: str) -> str:
    """The model's own line, if the message names one outside the framework."""
    for file, line, code in _SOURCE_LINE.findall(text):
        if not _FRAMEWORKS.search(file):
            return f" ({file.rpartition('/')[2]}:{line}{': ' + code.strip() if code else ''})"
    return ""


def _frame(problem: BaseException) -> str:
    """The model's own line, where the message names none: the innermost one that belongs to no installed package."""
    for frame in reversed(traceback.extract_tb(_chain(problem)[-1].__traceback__)):
        if frame.filename.startswith("/") and not _FRAMEWORKS.search(frame.filename):
            return f" ({frame.filename.rpartition('/')[2]}:{frame.lineno}{': ' + frame.line if frame.line else ''})"
    return ""


def _telling_line(text: str) -> str:
    """Interpreter errors end with what happened; the others begin with it."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if line.strip() and not _WRAPPED.match(line)]
    if not lines:
        return "no message"
    final = [line for line in lines if re.match(r"(\w+Error|Error): ", line)]
    return final[-1] if final else lines[0]


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
