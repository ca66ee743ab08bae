"""Inference mode, proven and not assumed: no part trains, nothing is drawn at random, and no sample sees another.

Three runs decide. The same samples twice, under different random seeds and with another call in between, must give the
same bits (or differ by float32 rounding where threads add in another order). A sample in a batch must not notice when
its mates change, the batch's size staying as it is: the kernels are the same then, so anything beyond rounding is
coupling. A sample alone must give what it gives in the batch, within what the model itself makes of rounding: ten times
its answer to input noise of 1e-7, and never less than 1e-5 of the output's scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from roadworthy.build.load import running
from roadworthy.core.errors import NotInference
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import TensorSpec

SAME = 1e-6
"""Relative to the scale: what a sum in another order makes of float32."""
FLOOR, NOISE, FACTOR = 1e-5, 1e-7, 10.0
TELLING = 0.05
"""A limit above this is no proof, and the sentence says so."""
MEANT = "If that is meant, say so with --allow-training-behaviour"


@dataclass(frozen=True)
class Subject:
    """A model under proof: ``call`` runs ``module`` on tensors in the order of ``specs``, ``batch`` samples at once.

    ``symbolic`` says that it also takes fewer, ``rows`` that the first dimension of its inputs and outputs is the samples.
    """

    call: Callable[[list[Tensor]], Any]
    module: Any
    specs: tuple[TensorSpec, ...]
    batch: int
    symbolic: bool
    rows: bool


def settle(module: Any, *, graph: bool, allow: bool) -> tuple[str, ...]:
    """Put ``module`` into inference mode; NotInference names the parts that stay in training mode."""
    if graph:
        return ("a captured graph has no modes of its own: what it does was tested",)
    module.eval()
    stuck = [
        f"{path or 'the model itself'!r} ({type(part).__name__})"
        for path, part in module.named_modules()
        if getattr(part, "training", False)
    ]
    if stuck:
        more = f" and {len(stuck) - 4} more" if len(stuck) > 4 else ""
        sentence = f"{', '.join(stuck[:4])}{more} {'stays' if len(stuck) == 1 else 'stay'} in training mode after eval()"
        return (_found(sentence, allow),)
    return ("after eval() no part of the model is in training mode",)


def prove(subject: Subject, samples: SampleSet | None, *, allow: bool) -> tuple[str, ...]:
    """One sentence for each proof; NotInference, naming the module's path, where one fails and ``allow`` does not cover it."""
    return (_steady(subject, samples, allow), *_alone(subject, samples, allow))


def _steady(subject: Subject, samples: SampleSet | None, allow: bool) -> str:
    feeds, others = running.draw(subject.specs, subject.batch, samples), running.draw(subject.specs, subject.batch, None, seed=1)
    runs = []
    for seed, given in ((0, feeds), (1, feeds), (2, others), (3, feeds)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            runs.append(running.answer(subject.call, given, subject.module, subject.specs))
    first, second, _, third = runs
    worst = max(difference(first, second), difference(first, third))
    if worst > SAME:
        place = running.blame(subject.call, subject.module, feeds, feeds, _alike)
        sentence = f"the same input gave two answers (they differ by {worst:.1e} of the output's scale), and the first to differ is {place}"
        return _found(f"{sentence}: a dropout left on, a random number, or a state that is kept between calls", allow)
    how = "bit-identical outputs" if worst == 0 else f"outputs within {worst:.1e} of their scale"
    return f"the same {subject.batch} {_plural(subject.batch)} gave {how} three times, under different random seeds"


def _alone(subject: Subject, samples: SampleSet | None, allow: bool) -> tuple[str, ...]:
    if subject.batch < 2:
        return ("the model takes one sample a call, so no sample can see another",)
    if not subject.rows:
        return ("whether samples see each other was not tested: the model's shapes name no batch",)
    feeds = running.draw(subject.specs, subject.batch, samples)
    mates = [
        torch.cat([feed[:1], _louder(other[1:])])
        for feed, other in zip(feeds, running.draw(subject.specs, subject.batch, None, seed=2), strict=True)
    ]
    here, there = (_rows(running.answer(subject.call, given, subject.module, subject.specs), subject.batch) for given in (feeds, mates))
    coupled = difference({name: rows[:1] for name, rows in here.items()}, {name: rows[:1] for name, rows in there.items()})
    if coupled > SAME:
        place = running.blame(
            subject.call, subject.module, feeds, mates, lambda a, b: _alike(a[:1], b[:1]) if _batched(a, b, subject.batch) else True
        )
        sentence = (
            f"the answer for a sample changes with the others in its batch (by {coupled:.1e} of the output's scale), beginning at {place}"
        )
        return (
            _found(f"{sentence}: a BatchNorm that uses the batch's own statistics, or something else taken over the whole batch", allow),
        )
    proof = f"a sample's answer stayed the same when the {subject.batch - 1} others in its batch were replaced"
    return (proof, _by_itself(subject, feeds, here, allow)) if subject.symbolic else (proof,)


def _by_itself(subject: Subject, feeds: list[Tensor], batch: dict[str, Tensor], allow: bool) -> str:
    noisy = [_noisy(feed) for feed in feeds]
    noise = difference(batch, _rows(running.answer(subject.call, noisy, subject.module, subject.specs), subject.batch))
    limit = max(FLOOR, FACTOR * noise)
    worst = 0.0
    for row in range(subject.batch):
        single = _rows(running.answer(subject.call, [feed[row : row + 1] for feed in feeds], subject.module, subject.specs), 1)
        worst = max(worst, difference({name: rows[row : row + 1] for name, rows in batch.items()}, single, scales=batch))
    if worst > limit:
        one = [feed[:1] for feed in feeds]
        place = running.blame(
            subject.call, subject.module, feeds, one, lambda a, b: not _starts(a, b, subject.batch) or _near(a[:1], b, limit)
        )
        return _found(
            f"a sample alone gets another answer than inside a batch of {subject.batch} (they differ by {worst:.1e} of the output's scale, "
            f"and rounding explains {limit:.1e}), beginning at {place}: the batch's size enters the computation",
            allow,
        )
    found = f"within {worst:.1e} of the output's scale (limit {limit:.1e})"
    if limit > TELLING:
        found += f", which says little: rounding alone moves these answers by {noise:.1e} of their scale"
    return f"each of {subject.batch} samples alone gave what it gave in a batch of {subject.batch}, {found}"


def difference(first: dict[str, Tensor], second: dict[str, Tensor], *, scales: dict[str, Tensor] | None = None) -> float:
    """The largest difference of any output, relative to the largest magnitude of that output; infinite where shapes or NaNs differ."""
    worst = 0.0
    for name, a in first.items():
        b = second.get(name)
        if b is None or a.shape != b.shape or not torch.equal(torch.isnan(a), torch.isnan(b)):
            return float("inf")
        scale = (scales or first)[name].nan_to_num(0, 0, 0).abs().double().max().item() if a.numel() else 0.0
        gap = (a.double() - b.double()).nan_to_num(0).abs().max().item() if a.numel() and not torch.equal(a, b) else 0.0
        worst = max(worst, gap / scale if scale else float(gap > 0))
    return worst


def _rows(answer: dict[str, Tensor], batch: int) -> dict[str, Tensor]:
    """Outputs by sample; one that has no row for each sample is whole for every one of them."""
    return {name: tensor if _has_rows(tensor, batch) else tensor[None].expand(batch, *tensor.shape) for name, tensor in answer.items()}


def _has_rows(tensor: Tensor, batch: int) -> bool:
    return bool(tensor.ndim and tensor.shape[0] == batch)


def _batched(a: Tensor, b: Tensor, batch: int) -> bool:
    return _has_rows(a, batch) and _has_rows(b, batch)


def _starts(a: Tensor, b: Tensor, batch: int) -> bool:
    return _has_rows(a, batch) and _has_rows(b, 1) and a.shape[1:] == b.shape[1:]


def _alike(a: Tensor, b: Tensor) -> bool:
    return _near(a, b, SAME)


def _near(a: Tensor, b: Tensor, limit: float) -> bool:
    return difference({"": a}, {"": b}) <= limit


def _louder(tensor: Tensor) -> Tensor:
    return tensor * 3 + 1 if tensor.is_floating_point() else tensor


def _noisy(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    generator = torch.Generator().manual_seed(0)
    return tensor * (1 + NOISE * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))


def _found(sentence: str, allow: bool) -> str:
    if allow:
        return f"the user says it is meant: {sentence}"
    raise NotInference(f"{sentence}. {MEANT}")


def _plural(count: int) -> str:
    return "sample" if count == 1 else "samples"
