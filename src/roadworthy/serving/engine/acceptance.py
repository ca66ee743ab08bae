"""The last step of a deployment: a fresh process opens the new bundle as a server does, with each of its variants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from roadworthy.bundle import store
from roadworthy.bundle.acceptance import Acceptance, AcceptanceRequest
from roadworthy.bundle.manifest import Manifest, Variant
from roadworthy.core.errors import BundleError, RoadworthyError
from roadworthy.core.types import TensorSpec
from roadworthy.serving.engine.golden_check import golden_errors, read_golden
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.engine.variant import RunOptions, open_variant


def accept(request: AcceptanceRequest) -> Acceptance:
    """Check that the bundle is complete and that every variant gives the original's golden answers; run it in a fresh process.

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
    with LocalEngine(request.path, options=RunOptions(spin=False)) as engine:
        golden, first = read_golden(request.path, manifest), manifest.signature.outputs[0]
        engine.rank({first.name: first.to_call(golden.outputs[first.name])})
        if engine.variant.name != manifest.variants[0].name:
            raise BundleError(f"a server refuses the new bundle's winner: {'; '.join(engine.notes)}")
    return Acceptance()


def _unsteady(request: AcceptanceRequest, manifest: Manifest, variant: Variant) -> set[int]:
    golden = read_golden(request.path, manifest)
    # The errors of whole numbers name samples, which the deployment may exchange; all other outputs must pass the server's gate.
    whole = [spec.name for spec in manifest.signature.outputs if _is_whole(spec)]
    lenient = replace(golden, outputs={name: array for name, array in golden.outputs.items() if name not in whole})
    found: set[int] = set()
    shares = [share.cores for share in variant.shares if share.plan not in (None, variant.plan)]
    for options in (RunOptions(spin=False), *(RunOptions(cores=cores) for cores in shares)):
        opened = open_variant(request.path, manifest, variant, lenient, options)
        with opened.session:
            errors = golden_errors(opened.session, manifest.signature, golden)
        found |= {int(row) for name in whole for row in np.flatnonzero(~(errors[name] <= variant.gate))}
    return found


def _is_whole(spec: TensorSpec) -> bool:
    """Whether ``spec`` is an output of whole numbers, such as an index or a count: a difference of one is another answer."""
    return spec.quantization is None and np.dtype(spec.dtype).kind in "iub"
