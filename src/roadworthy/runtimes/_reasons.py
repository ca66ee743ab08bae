"""The useful line in a message of ONNX Runtime, OpenVINO or LiteRT: the operator, its node, and what is wrong, without places in C++ files.

Worked example: ``[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Reshape node. Name:'r1' Status Message:
/src/reshape_helper.h:91 ReshapeHelper(const TensorShape&, bool) Input shape:{2,4}, requested shape:{3,5}`` becomes
``Reshape 'r1': Input shape:{2,4}, requested shape:{3,5}``.
"""

from __future__ import annotations

import re

from roadworthy.core.text import LONGEST, lines

_PLACE = re.compile(r"(/\S+|\S+\.(cc|cpp|h|hpp)):\d+ ?")
_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?")
_FUNCTION = re.compile(r"(/\S+|\S+\.(cc|cpp|h|hpp)):\d+ [\w:~<>*& ]+\(.*?\)(::<lambda\(\)>)?( const)? ")
"""A place in a C++ file with the function's signature behind it."""
_NODES = (
    re.compile(r"while running (?P<op>\w+) node\. Name:'(?P<name>.*?)' Status Message: (?P<said>.*)"),
    re.compile(r'In Node, \("(?P<name>.*?)", (?P<op>\w+), ".*?", -?\d+\) : .* , Error (?P<said>.*)'),
    re.compile(r"Node \((?P<name>.*?)\) Op \((?P<op>\w+)\) (?:\[\w+\] )?(?P<said>.*)"),
    re.compile(r"\[CPU\] (?P<op>\w+) node with name '(?P<name>.*?)'(?P<said>.*)"),
    re.compile(r"Could not find an implementation for (?P<op>\w+\(\d+\)) node with name '(?P<name>.*?)'(?P<said>)"),
)
"""How the runtimes name a node that failed."""
_HEADING = re.compile(r"^-- (?P<op>[\w.]+-?\d*) with a message:$")
_LACKING = re.compile(r"^(-- )?(?P<said>No conversion rule found for operations: .*)")
_FLEX = re.compile(r"^(?:TF Select|Flex|Custom) ops: (?P<ops>.*)")
_AROUND = re.compile(
    r"^(Exception from |Check '.*' failed at |FrontEnd API failed|Model wasn't fully converted|Summary:|While validating |-- )"
)
_PREPARE = re.compile(r"Node number (?P<number>\d+) \((?P<op>\w+)\) failed to (?P<step>prepare|invoke)\.?")
_NEWER = re.compile(r"Opset (?P<asked>\d+) is under development.* domain (?P<domain>\S+) is till opset (?P<most>\d+)")
_ADVICE = re.compile(r"See instructions: \S+ ?")
NO_KERNEL = "the runtime has no kernel for it"


def reason(problem: BaseException) -> str:
    """One line of at most ``LONGEST`` characters that says what the runtime did not like, with the operator's name where it gives one."""
    said = [_CODE.sub("", line) for line in lines(problem)]
    found = _of_openvino(said) or _of_converter(said) or _of_litert(said) or _of_node(" ".join(said)) or _rest(said)
    return (found.rstrip(" .") or type(problem).__name__)[:LONGEST]


def _of_openvino(said: list[str]) -> str:
    """The operators without a conversion, or the first one that failed to convert and the last line about it."""
    if lacking := next((match["said"] for line in said if (match := _LACKING.match(line))), ""):
        return lacking
    at = next((number for number, line in enumerate(said) if _HEADING.match(line)), None)
    if at is None:
        return ""
    match = _HEADING.match(said[at])
    about = []
    for line in said[at + 1 :]:
        if line.startswith(("Summary:", "-- ")):
            break
        about.append(line)
    plain = [line for line in about if not _AROUND.match(line)]
    return f"{match['op'] if match else ''}: {(plain or about or ['it cannot be converted'])[-1]}"


def _of_converter(said: list[str]) -> str:
    """What LiteRT's converter lists as operators without a kernel, else its first line with an error that is not only a heading."""
    if operators := next((match["ops"] for line in said if (match := _FLEX.match(line))), ""):
        return f"LiteRT has no kernel for {operators}"
    return next((line for line in said if "error:" in line and not line.endswith(("error:", ":"))), "")


def _of_litert(said: list[str]) -> str:
    whole = _ADVICE.sub("", _without_places(" ".join(said)))
    match = _PREPARE.search(whole)
    if match is None:
        return ""
    rest = " ".join((whole[: match.start()] + whole[match.end() :]).split())
    return f"{match['op']} (node {match['number']}) failed to {match['step']}{f': {rest}' if rest else ''}"


def _of_node(whole: str) -> str:
    if match := _NEWER.search(whole):
        return f"operator set {match['asked']} of {match['domain']} is newer than this runtime, which ends at {match['most']}"
    for pattern in _NODES:
        if match := pattern.search(whole):
            name = f" {match['name']!r}" if match["name"] else ""
            check = match["said"].rpartition(" failed at ")[2] if " Check '" in match["said"] else match["said"]
            return f"{match['op']}{name}: {_without_places(check).strip(' :') or NO_KERNEL}"
    return ""


def _rest(said: list[str]) -> str:
    """The last line that is not only a place in the source for OpenVINO, which puts these before it; all of it for the others."""
    plain = [line for line in said if not _AROUND.match(line)]
    around = len(plain) < len(said)
    return _without_places((plain or said)[-1] if around and said else " ".join(plain)).strip()


def _without_places(text: str) -> str:
    return _PLACE.sub("", _FUNCTION.sub("", text))
