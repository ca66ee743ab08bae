"""OpenVINO Model Server's ``config.json`` as data, both ways, with the rules that the server holds it against.

The rules are those of the JSON schema in the server's source (openvinotoolkit/model_server, ``src/schema.cpp``) in our words: which names
there are, of which kind, and that there are no others. What the schema allows and the server ignores is in ``acts_in_silence``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from roadworthy.core.errors import RoadworthyError
from roadworthy.other_servers.versions import VersionPolicy

FILE = "config.json"
LONGEST = 2**20
"""Bytes of a configuration that are read at most."""
PRECISION, STREAMS, THREADS = "INFERENCE_PRECISION_HINT", "NUM_STREAMS", "INFERENCE_NUM_THREADS"
LIST = "model_config_list"


@dataclass(frozen=True)
class OvmsModel:
    """One model of the configuration. ``base_path`` holds a folder for each version; it is the server's path, not this machine's.

    ``plugin`` are OpenVINO's properties as text. ``batch_size`` and ``shape`` change the model's own sizes; empty where they do not.
    """

    name: str
    base_path: str
    plugin: tuple[tuple[str, str], ...] = ()
    target_device: str = ""
    nireq: int = 0
    batch_size: str = ""
    shape: tuple[tuple[str, str], ...] = ()
    versions: VersionPolicy = VersionPolicy()  # noqa: RUF009 (it is frozen)
    graph: bool = False
    custom_loader: bool = False

    def property(self, name: str) -> str:
        """The value of one of OpenVINO's properties, empty where it is not stated."""
        return dict(self.plugin).get(name, "")


def parse(data: bytes, what: str, error: type[RoadworthyError]) -> tuple[OvmsModel, ...]:
    """The models of the configuration in ``data``; raises ``error``, naming ``what`` and each rule that is broken."""
    if len(data) > LONGEST:
        raise error(f"{what} is larger than the {LONGEST} bytes of a configuration that are read")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise error(f"{what} is not valid JSON: {problem}") from None
    if broken := mistakes(found):
        raise error(f"{what} is not a configuration of OpenVINO Model Server: {'; '.join(broken[:4])}")
    return tuple(_model(one["config"]) for one in found[LIST])


def text(models: tuple[OvmsModel, ...]) -> str:
    """``models`` as the text of a ``config.json``."""
    return json.dumps({LIST: [{"config": _written(model)} for model in models]}, indent=2) + "\n"


def mistakes(found: Any) -> tuple[str, ...]:
    """Each rule that a decoded ``config.json`` breaks, in one sentence."""
    return tuple(_object(found, "the configuration", TOP, required=(LIST,)))


def acts_in_silence(model: OvmsModel) -> tuple[str, ...]:
    """What the server does otherwise than the configuration reads, without a word."""
    said = []
    if not model.property(PRECISION):
        said.append(f"{PRECISION} is not stated: on a CPU with AMX or AVX512-BF16 the model computes in bf16; state f32")
    if model.batch_size and model.shape:
        said.append("batch_size and shape are both stated: the server ignores batch_size")
    if model.target_device in ("", "AUTO"):
        said.append("target_device is not stated: the server chooses the device")
    return tuple(said)


Rule = Callable[[Any, str], Iterator[str]]


def _object(found: Any, where: str, rules: Mapping[str, Rule], *, required: tuple[str, ...] = ()) -> Iterator[str]:
    if not isinstance(found, dict):
        yield f"{where} is not an object"
        return
    yield from (f"{where} has no {name!r}" for name in required if name not in found)
    for name, value in found.items():
        if name not in rules:
            yield f"{where} has {name!r}, which the server does not know"
        else:
            yield from rules[name](value, f"{name!r} of {where}")


def _of(kind: type | tuple[type, ...], called: str, *, least: int | None = None) -> Rule:
    def rule(value: Any, where: str) -> Iterator[str]:
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            yield f"{where} is not {called}"
        elif least is not None and isinstance(value, int | float) and value < least:
            yield f"{where} is {value}, below {least}"

    return rule


def _each(rule: Rule) -> Rule:
    def every(value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{where} is not a list"
        else:
            for number, one in enumerate(value):
                yield from rule(one, f"entry {number} of {where}")

    return every


def _with(rules: Mapping[str, Rule], *required: str) -> Rule:
    return lambda value, where: _object(value, where, rules, required=required)


def _values(rule: Rule) -> Rule:
    def every(value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where} is not an object"
        else:
            for name, one in value.items():
                yield from rule(one, f"{name!r} of {where}")

    return every


def _text_or_texts(value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield from _values(TEXT)(value, where)


def _policy(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, dict) and len(value) != 1:
        yield f"{where} has {len(value)} policies, and one is wanted"
    else:
        yield from _object(value, where, POLICIES)


TEXT = _of(str, "text")
WHOLE = _of(int, "a whole number", least=0)
POLICIES: dict[str, Rule] = {
    "all": _with({}),
    "latest": _with({"num_versions": _of(int, "a whole number", least=1)}, "num_versions"),
    "specific": _with({"versions": _each(_of(int, "a whole number", least=1))}, "versions"),
}
MODEL: dict[str, Rule] = {
    "name": TEXT, "base_path": TEXT, "graph_path": TEXT, "subconfig": TEXT, "target_device": TEXT,
    "batch_size": _of((int, str), "a whole number or text", least=0),
    "nireq": WHOLE, "max_sequence_number": WHOLE,
    "model_version_policy": _policy,
    "shape": _text_or_texts, "layout": _text_or_texts,
    "plugin_config": _values(_of((str, bool, int, float), "text, a number, true or false")),
    "allow_cache": _of(bool, "true or false"), "stateful": _of(bool, "true or false"),
    "idle_sequence_cleanup": _of(bool, "true or false"), "low_latency_transformation": _of(bool, "true or false"),
    "custom_loader_options": _of(dict, "an object"),
}  # fmt: skip
TOP: dict[str, Rule] = {
    LIST: _each(_with({"config": _with(MODEL, "name")}, "config")),
    "custom_loader_config_list": _each(_of(dict, "an object")),
    "pipeline_config_list": _each(_of(dict, "an object")),
    "mediapipe_config_list": _each(_of(dict, "an object")),
    "custom_node_library_config_list": _each(_of(dict, "an object")),
    "monitoring": _of(dict, "an object"),
}


def _model(config: Mapping[str, Any]) -> OvmsModel:
    shape = config.get("shape", {})
    return OvmsModel(
        name=config["name"],
        base_path=config.get("base_path", ""),
        plugin=tuple((name, _as_text(value)) for name, value in config.get("plugin_config", {}).items()),
        target_device=config.get("target_device", ""),
        nireq=config.get("nireq", 0),
        batch_size=str(config.get("batch_size", "")),
        shape=tuple(shape.items()) if isinstance(shape, dict) else (("", shape),),
        versions=_versions(config.get("model_version_policy", {})),
        graph="graph_path" in config,
        custom_loader="custom_loader_options" in config,
    )


def _versions(policy: Mapping[str, Any]) -> VersionPolicy:
    if "all" in policy:
        return VersionPolicy(latest=None)
    if "specific" in policy:
        return VersionPolicy(specific=tuple(policy["specific"]["versions"]))
    return VersionPolicy(policy.get("latest", {}).get("num_versions", 1))


def _as_text(value: str | bool | float) -> str:
    return ("YES" if value else "NO") if isinstance(value, bool) else str(value)


def _written(model: OvmsModel) -> dict[str, Any]:
    written: dict[str, Any] = {"name": model.name, "base_path": model.base_path}
    optional = {"target_device": model.target_device, "nireq": model.nireq, "batch_size": model.batch_size, "shape": dict(model.shape)}
    written |= {name: value for name, value in optional.items() if value}
    if model.plugin:
        written["plugin_config"] = dict(model.plugin)
    return written
