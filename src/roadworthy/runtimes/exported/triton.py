"""A model repository of Triton by its ``config.pbtxt``, with ONNX Runtime in the server's place: the server itself is not run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from roadworthy.core import registry
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.interfaces import Session
from roadworthy.core.stages import Plan
from roadworthy.core.types import Arrays, Signature, output_names
from roadworthy.other_servers import triton_config, triton_rules, versions
from roadworthy.other_servers.triton_config import FILE, INTRA, TritonConfig
from roadworthy.runtimes.exported._calls import in_parts

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("onnxruntime", "protobuf", "numpy")
FRAMEWORK = False
NATIVE = False
ON_TARGET = False

USUAL = "model.onnx"


def load(path: Path, signature: Signature, plan: Plan) -> TritonSession:
    """The newest version of the one model in the repository at ``path``, on the threads that its configuration states.

    A repository that is not finished states none: then they are those of the plan.
    Raises UsageError for a plan that the server could not carry out, StepFailed for a repository that it would not load.
    """
    if plan.spin != (plan.threads > 1):
        raise UsageError(
            "Triton's backend has no switch for spinning: several threads spin while they wait, and one has nothing to wait for"
        )
    folder = _folder(path)
    config = triton_config.parse((folder / FILE).read_bytes(), str(folder / FILE), StepFailed)
    if (stated := config.parameter(INTRA)) not in ("", str(plan.threads)):
        raise UsageError(f"the configuration states {stated} threads, and the plan {plan.threads}")
    served = config.versions.served(versions.numbered(folder))
    if not served:
        raise StepFailed(f"{folder} holds no version that its version_policy ({config.versions}) serves")
    # The runtime refuses a file that is not of the signature, and makes the choices that the server's backend makes.
    inside = replace(plan, runtime="onnxruntime", precision="int8" if plan.precision == "int8" else "fp32")
    session = registry.runtime(inside.runtime).load(folder / str(served[0]) / (config.file or USUAL), signature, inside)
    wrong = (*triton_rules.mistakes(config), *_contradictions(config, signature), *_wrong_name(config, folder))
    if wrong:
        raise StepFailed(f"Triton would not load {folder / FILE}: {'; '.join(wrong)}")
    return TritonSession(session, config, signature)


def _folder(path: Path) -> Path:
    """The only model of the repository."""
    found = [entry.parent for entry in path.glob(f"*/{FILE}")]
    if len(found) != 1:
        raise StepFailed(f"{path} holds {len(found)} folders with a {FILE}, and one is wanted")
    return found[0]


def _contradictions(config: TritonConfig, signature: Signature) -> tuple[str, ...]:
    """Where the configuration is not about the model, whose file has other names for outputs where it cannot have the signature's."""
    names = output_names(signature, [tensor.name for tensor in config.outputs])
    outputs = [replace(spec, name=name) for spec, name in zip(signature.outputs, names, strict=True)]
    return triton_rules.contradictions(config, signature.inputs, outputs)


def _wrong_name(config: TritonConfig, folder: Path) -> tuple[str, ...]:
    return (f"its name is {config.name!r}, and the folder's is {folder.name!r}",) if config.name not in ("", folder.name) else ()


class TritonSession:
    """Calls of at most ``max_batch_size`` samples, as a client of the server makes them."""

    on_target = False

    def __init__(self, session: Session, config: TritonConfig, signature: Signature) -> None:
        self._session, self._signature = session, signature
        self._most = config.max_batch_size

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name; more samples than the server takes at once go in several calls."""
        return in_parts(self._session.run, self._signature, feeds, self._most) if self._most else self._session.run(feeds)

    def close(self) -> None:
        self._session.close()
