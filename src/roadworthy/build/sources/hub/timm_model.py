"""A folder of timm: the model that its configuration names, with the weights of its files."""

from __future__ import annotations

from roadworthy.build.sources.hub import offline, tensors
from roadworthy.build.sources.hub.folder import HubFolder
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.torch import weights
from roadworthy.core.errors import BackendMissing, SourceError
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line
from roadworthy.core.types import BATCH, TensorSpec


def read(folder: HubFolder, source: Source) -> Opened:
    """The model with the folder's weights, its input at the size that the configuration states.

    Raises SourceError for a model that this version of timm does not have or cannot build, ArchitectureMismatch where the weights are not
    those of the model.
    """
    offline.prepare()
    try:
        import timm
    except ImportError as problem:
        raise BackendMissing(f"{source.path} {folder.not_installed or f'needs timm: {first_line(problem)}'}") from problem
    held = tensors.read(folder, source)
    try:
        module = timm.create_model(f"local-dir:{folder.path}", pretrained=False).eval()
    except Exception as problem:
        said = first_line(problem)
        raise SourceError(
            f"{source.path}: timm {timm.__version__} cannot build {folder.architecture}: {said}", detail=repr(problem)
        ) from problem
    notes = weights.fill(module, held, folder.path)
    proof = f"the tensors of {folder.architecture} are those of the files, name by name and shape by shape"
    size = module.pretrained_cfg.get("input_size")
    known = isinstance(size, list | tuple) and len(size) == 3 and all(isinstance(side, int) for side in size) and not source.inputs
    inputs = (TensorSpec("x", "float32", (BATCH, *size)),) if known else ()
    return Opened(module, inputs, proofs=(proof,), notes=notes)
