"""The last act of a deployment: a fresh process opens the new bundle as a server does, each of its variants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from roadworthy.bundle import store
from roadworthy.bundle.acceptance import Acceptance, AcceptanceRequest
from roadworthy.bundle.manifest import Manifest, Variant
from roadworthy.core.errors import BundleError, RoadworthyError
from roadworthy.core.host import this_host
from roadworthy.core.types import TensorSpec
from roadworthy.serving.engine.model import Model, golden_errors, open_variant, read_golden


def accept(request: AcceptanceRequest) -> Acceptance:
    """A step, run in a process of its own: the bundle is whole, and every variant gives the original's golden answers.

    Raises BundleError that names the variant which a server would refuse.
    """
    manifest = store.read(request.path)
    unsteady: set[int] = set()
    for variant in manifest.variants:
        try:
            unsteady |= _unsteady(request, manifest, variant)
        except RoadworthyError as problem:
            raise BundleError(
                f"a server refuses the new bundle's variant {variant.name}: {problem.message}", detail=problem.detail
            ) from None
    if unsteady:
        return Acceptance(tuple(sorted(unsteady)))
    with Model.open(request.path, spin=False) as model:
        golden, first = read_golden(request.path, manifest), manifest.signature.outputs[0]
        model.rank({first.name: first.to_call(golden.outputs[first.name])})
        if model.variant.name != manifest.variants[0].name:
            raise BundleError(f"a server refuses the new bundle's winner: {'; '.join(model.notes)}")
    return Acceptance()


def _unsteady(request: AcceptanceRequest, manifest: Manifest, variant: Variant) -> set[int]:
    golden = read_golden(request.path, manifest)
    # Whole numbers are looked at below, where a sample may be exchanged; the gate of everything else is the server's own.
    whole = [spec.name for spec in manifest.signature.outputs if _counts(spec)]
    lenient = replace(golden, outputs={name: array for name, array in golden.outputs.items() if name not in whole})
    session, _ = open_variant(request.path, manifest, variant, this_host(), lenient, threads=None, spin=False)
    with session:
        errors = golden_errors(session, manifest.signature, golden)
    return {int(row) for name in whole for row in np.flatnonzero(~(errors[name] <= variant.gate))}


def _counts(spec: TensorSpec) -> bool:
    """Whether ``spec`` is an output of whole numbers: an index or a count, where one step is another answer."""
    return spec.quantization is None and np.dtype(spec.dtype).kind in "iub"
