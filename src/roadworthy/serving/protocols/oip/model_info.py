"""What the Open Inference Protocol says of models, for HTTP and gRPC: metadata, configuration, statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.serving.engine.counters import Counters, Executed, Inferences, Span
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols.oip import tensors
from roadworthy.serving.registry.catalogue import Catalogue, Served

EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics")
"""The extensions that are offered, by Triton's names."""

UNLIMITED = 2**31 - 1
"""The largest batch of a model without a known limit: the largest value of the field."""

_TYPES = {datatype: f"TYPE_{datatype}" for datatype in tensors.DTYPES} | {tensors.BYTES: "TYPE_STRING"}


def metadata(model: LocalEngine, served: Served | None) -> dict[str, Any]:
    """The model's name, versions, inputs and outputs; ``properties`` describe this version.

    A quantised tensor has the ``parameters`` ``scale`` and ``zero_point``, -1 means any size. Where the model takes images, texts or
    sounds, ``properties`` say so: as BYTES [n] under one of ``item_names``, or as a whole body.
    """
    plan = model.plan
    return {
        "name": model.name,
        "versions": _versions(model, served),
        "platform": platform(model),
        "inputs": [_tensor(spec) for spec in model.signature.inputs],
        "outputs": [_tensor(spec) for spec in model.signature.outputs],
        "properties": {
            "version": model.version,
            "variant": model.variant.name,
            "precision": plan.precision,
            "plan": plan.name,
            "proof": proof(model),
            **_items(model),
        },
    }


def _items(model: LocalEngine) -> dict[str, str]:
    """What may be sent in place of tensors, under which names, and what becomes of it; empty where nothing may."""
    if model.kind is None:
        return {}
    return {"items": model.kind, "item_names": ", ".join(model.item_names), "item_steps": "; ".join(model.contract.describe())}


def proof(model: LocalEngine) -> str:
    """What proves the answers of the plan that runs here, in words."""
    return "compared with the original on the build host" if model.proven else "golden samples alone"


def platform(model: LocalEngine) -> str:
    """The runtime, in Triton's form."""
    return f"roadworthy_{model.variant.plan.runtime}"


def datatype(spec: TensorSpec) -> str:
    """The protocol's name of its dtype."""
    return tensors.DATATYPES.get(spec.dtype, tensors.BYTES)


def batch_first(signature: Signature) -> bool:
    """Whether samples share a call, and lie along the first axis throughout: Triton's batch dimension is that one, always."""
    return signature.batched and all(spec.sample_axis == 0 for spec in (*signature.inputs, *signature.outputs))


def configuration(model: LocalEngine, served: Served | None) -> dict[str, Any]:
    """Triton's ModelConfig, by its field names: the fields that clients such as perf_analyzer read, as far as they apply.

    Where samples share a call ``max_batch_size`` is not 0, and ``dims`` are without the batch.
    """
    found = served.version(model.version) if served else None
    batched = batch_first(model.signature)
    config: dict[str, Any] = {
        "name": model.name,
        "platform": platform(model),
        "backend": model.variant.plan.runtime,
        "version_policy": {"specific": {"versions": [int(version) for version in _versions(model, served) if version.isdecimal()]}},
        "max_batch_size": (model.signature.max_batch or UNLIMITED) if batched else 0,
        "input": [_config_tensor(spec, batched) for spec in model.signature.inputs],
        "output": [_config_tensor(spec, batched) for spec in model.signature.outputs],
        "instance_group": [{"name": model.name, "kind": "KIND_CPU", "count": found.instances if found else 1}],
        "parameters": {
            "variant": {"string_value": model.variant.name},
            "precision": {"string_value": model.variant.plan.precision},
            "threads": {"string_value": str(found.threads if found else model.variant.plan.threads)},
        },
    }
    if found and found.batch > 1:
        config["dynamic_batching"] = {"preferred_batch_size": [found.batch], "max_queue_delay_microseconds": 0}
    return config


def statistics(counters: Counters, catalogue: Catalogue, name: str | None = None, version: str | None = None) -> dict[str, Any]:
    """Triton's ``model_stats`` by its field names, of every ready version, or of this model's, or of this one.

    Raises InvalidRequest where none of those is ready, as Triton has it.
    """
    wanted = [
        (served.name, each.version)
        for served, each in catalogue
        if each.state == "ready" and name in (None, served.name) and version in (None, each.version)
    ]
    if name is not None and not wanted:
        raise InvalidRequest(
            f"there are no statistics of model {name!r}{f' in version {version!r}' if version else ''}: no ready version serves it"
        )
    return {"model_stats": [_counted(*pair, counters.inferences.get(pair) or Inferences()) for pair in wanted]}


def _versions(model: LocalEngine, served: Served | None) -> list[str]:
    return [version.version for version in served.ready] if served and served.ready else [model.version]


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    found: dict[str, Any] = {"name": spec.name, "datatype": datatype(spec), "shape": list(_sizes(spec))}
    if spec.quantization:
        found["parameters"] = {"scale": spec.quantization.scale, "zero_point": spec.quantization.zero_point}
    return found


def _sizes(spec: TensorSpec) -> Iterator[int]:
    return (size if isinstance(size, int) else -1 for size in spec.shape)


def _config_tensor(spec: TensorSpec, batched: bool) -> dict[str, Any]:
    return {"name": spec.name, "data_type": _TYPES[datatype(spec)], "dims": list(_sizes(spec))[batched:]}


def _counted(name: str, version: str, counted: Inferences) -> dict[str, Any]:
    none = {"count": 0, "ns": 0}
    return {
        "name": name,
        "version": version,
        "last_inference": counted.last,
        "inference_count": counted.samples,
        "execution_count": counted.executions,
        "inference_stats": {
            "success": _span(counted.succeeded),
            "fail": _span(counted.failed),
            "queue": _span(counted.waited),
            "compute_input": _span(counted.prepared),
            "compute_infer": _span(counted.ran),
            "compute_output": _span(counted.parted),
            "cache_hit": none,
            "cache_miss": none,
        },
        "response_stats": {},
        "batch_stats": [_batch(size, counted.batches[size]) for size in sorted(counted.batches)],
        "memory_usage": [],
    }


def _batch(size: int, executed: Executed) -> dict[str, Any]:
    return {
        "batch_size": size,
        "compute_input": _span(executed.prepare),
        "compute_infer": _span(executed.run),
        "compute_output": _span(executed.part),
    }


def _span(span: Span) -> dict[str, int]:
    return {"count": span.count, "ns": span.ns}
