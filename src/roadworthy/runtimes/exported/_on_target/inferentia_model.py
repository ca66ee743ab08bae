"""The model of this folder on AWS Inferentia 2: compiled by neuronx-cc, by way of torch_neuronx, and run.

    python neuron.py

compiles ``model.pt`` to ``built/model.neuron.pt`` where that is not there yet. It needs an Inf2 instance (or Trn1) with AWS's own packages
torch-neuronx 2.9 and neuronx-cc. Float32 stays float32: the compiler's default casts matrix products to bfloat16.
"""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path
from typing import Any

MODEL, TENSORS, COMPILED = "model.pt", "tensors.json", "built/model.neuron.pt"
PACKAGES = ("torch-neuronx", "neuronx-cc")
INSTALL = "python -m pip install --extra-index-url https://pip.repos.neuron.amazonaws.com 'torch-neuronx==2.9.*' 'neuronx-cc==2.*'"
PLACEHOLDER = "WRONG PACKAGE"
"""What the packages of these names say of themselves that are not AWS's own."""
DEVICE = "/dev/neuron0"
ARGUMENTS = ["--auto-cast", "none"]


def lacking() -> str:
    """In words, what this machine lacks to compile and run the model; empty where it lacks nothing."""
    for name in PACKAGES:
        try:
            said = metadata.distribution(name).read_text("METADATA") or ""
        except metadata.PackageNotFoundError:
            return f"the package {name} is not installed here; install it with: {INSTALL}"
        if PLACEHOLDER in said:
            return f"the package {name} that is installed here is a placeholder ({PLACEHOLDER}); install AWS's own with: {INSTALL}"
    return "" if Path(DEVICE).exists() else f"this machine has no Neuron device ({DEVICE}): run it on an Inf2 instance"


def device() -> str:
    """What answers."""
    count = len(list(Path("/dev").glob("neuron[0-9]*")))
    return f"AWS Neuron, {count} device{'' if count == 1 else 's'}"


def versions() -> dict[str, str]:
    """The packages that take part."""
    return {name: metadata.version(name) for name in PACKAGES}


def compiled(folder: Path) -> Any:
    """The model of ``folder`` compiled for one size of call; raises what the compiler raises."""
    import torch
    import torch_neuronx

    if not hasattr(torch_neuronx, "trace"):
        raise RuntimeError(f"this torch_neuronx cannot compile for Inferentia: it has no trace(); install {INSTALL}")
    tensors = json.loads((folder / TENSORS).read_text())
    example = tuple(torch.zeros(spec["shape"], dtype=getattr(torch, spec["dtype"])) for spec in tensors["inputs"])
    module = torch.jit.load(str(folder / MODEL), map_location="cpu").eval()
    return torch_neuronx.trace(module, example, compiler_args=ARGUMENTS)


class NeuronModel:
    """The compiled model of a folder, ready to answer."""

    def __init__(self, folder: Path) -> None:
        """Load ``built/model.neuron.pt``; it is compiled first where it is not there."""
        import torch
        import torch_neuronx  # noqa: F401 (its operator must be known before the file is read)

        file = folder / COMPILED
        if not file.is_file():
            file.parent.mkdir(exist_ok=True)
            partial = file.with_name(f"{file.name}.{os.getpid()}")
            torch.jit.save(compiled(folder), str(partial))
            partial.replace(file)
        tensors = json.loads((folder / TENSORS).read_text())
        self._inputs = [spec["name"] for spec in tensors["inputs"]]
        self._outputs = tensors["outputs"]
        self._model = torch.jit.load(str(file))

    def run(self, feeds: Any) -> dict[str, Any]:
        """The outputs by name. ``feeds`` are arrays by name, C-contiguous, of exactly the sizes that it was compiled for."""
        import torch

        with torch.no_grad():
            answer = self._model(*[torch.from_numpy(feeds[name].copy()) for name in self._inputs])
        tensors = (answer,) if isinstance(answer, torch.Tensor) else answer
        return {name: tensor.detach().cpu().numpy() for name, tensor in zip(self._outputs, tensors)}  # noqa: B905 (Python 3.9)

    def close(self) -> None:
        self._model = None


if __name__ == "__main__":
    if words := lacking():
        raise SystemExit(words)
    NeuronModel(Path(__file__).resolve().parent).close()
