"""A PyTorch student taught by its original."""

from __future__ import annotations

import time
from typing import Any

import torch

from roadworthy.build.compress import checkpoint, loop
from roadworthy.build.compress.batches import Batch, Batches, Changes, image_axes
from roadworthy.build.compress.outputs import OutputLoss, check_student, output_losses
from roadworthy.build.compress.requests import check_answers, check_request, check_saved, taught
from roadworthy.build.compress.stages import Taught, TeachRequest
from roadworthy.build.compress.torch.fake_int8 import weight_levels
from roadworthy.build.compress.torch.learner import TorchLearner, answered
from roadworthy.build.compress.validation import Validation, answers, first
from roadworthy.core.errors import RoadworthyError, SourceError, StepFailed
from roadworthy.core.host import this_host, usable_cores
from roadworthy.core.stages import Graph
from roadworthy.core.text import first_line
from roadworthy.core.types import Array, Arrays
from roadworthy.frameworks.torch import module, traversal
from roadworthy.frameworks.torch.session import exact_float32

TRIED = 32
"""Samples of a batch by which one number of threads is timed."""


def teach(request: TeachRequest) -> Taught:
    """The student after it learned from the teacher; see ``build.compress.teach``."""
    began = time.monotonic()
    check_request(request)
    exact_float32()
    try:
        return _taught(request, began)
    except RoadworthyError:
        raise
    except Exception as problem:
        raise StepFailed(f"the student cannot be taught: {first_line(problem)}", detail=repr(problem)) from problem


def _taught(request: TeachRequest, began: float) -> Taught:
    recipe, signature = request.recipe, request.student.signature
    student, teacher = _loaded(request.student), module.load(request.teacher.path)
    size = signature.call_size(recipe.batch)
    wanted = answers(lambda feeds: answered(teacher, feeds, signature), request.validation, signature, size)
    losses = output_losses(wanted, request.training, labels=recipe.soft < 1.0)
    _check_start(student, request, losses, wanted, size)
    heights = image_axes(signature.inputs, channels_first=True)
    changes = Changes(recipe.flip, recipe.crop)
    batches = Batches(request.training, losses, size, seed=recipe.seed, changes=changes, heights=heights)
    mark = checkpoint.fingerprint(recipe, (request.training, request.validation), (_arrays(student), _arrays(teacher)))
    learner = TorchLearner(student, teacher, signature, losses, recipe, weight_levels(this_host()))
    threads = set_quickest(learner, batches.at(0))
    validation = Validation(request.validation, signature, wanted, losses, size)
    training = loop.train(
        learner,
        batches,
        lambda: validation.metric(learner.answers),
        recipe,
        directory=request.checkpoint,
        fingerprint=mark,
        began=began,
    )
    learner.close()
    request.out.mkdir(parents=True)
    path = module.save(student, request.out)
    few = signature.to_call(request.validation.feeds(0, min(size, request.validation.count)))
    check_saved(answered(module.load(path), few, signature), answered(student, few, signature))
    return taught(request, path, training, (f"taught on {threads} thread{'s' if threads > 1 else ''}",))


def _loaded(graph: Graph) -> Any:
    """The student, whose parts can be changed; SourceError for a recorded graph, or weights that are not float32."""
    if graph.path.name != module.PICKLE:
        raise SourceError(
            "a TorchScript archive or an exported program cannot be taught: it is a recording of the model in inference mode; "
            "give the checkpoint with its class"
        )
    student = module.load(graph.path)
    found = {tensor.dtype for tensor in traversal.parameters(student) if tensor.is_floating_point()}
    if not found:
        raise SourceError("the student has no weights that can learn")
    if found != {torch.float32}:
        raise SourceError(
            f"the student's weights are {', '.join(str(dtype).removeprefix('torch.') for dtype in found)}; float32 can be taught"
        )
    return student


def _check_start(student: Any, request: TeachRequest, losses: tuple[OutputLoss, ...], wanted: Arrays, size: int) -> None:
    """Compare the student's first answers with the original's: their shapes, and whether they are probabilities."""
    signature = request.student.signature
    given = answers(lambda feeds: answered(student, feeds, signature), first(request.validation, size), signature, size)
    check_answers(given, wanted)
    check_student(losses, given)


def _arrays(model: Any) -> dict[str, Array]:
    """Every weight and buffer by its place."""
    return {str(number): tensor.detach().numpy() for number, tensor in enumerate(traversal.tensors(model))}


def set_quickest(learner: TorchLearner, batch: Batch) -> int:
    """Compute from now on in the memory layout and with the number of threads that learned a part of ``batch`` soonest; that number.

    More threads wait for each other at the end of every operation, which costs more than it gives where the machine is busy or the layers
    are small. Convolutions are often quicker with the channels last, which a model may not allow. The learner is as it was; the choice
    changes the rounding of what is learned, and nothing else.
    """
    state, cores = learner.state(), usable_cores()
    few = Batch(*({name: array[:TRIED] for name, array in arrays.items()} for arrays in (batch.feeds, batch.targets)))
    torch.set_num_threads(1)
    learner.learn(few, 0.0)

    def seconds(layout: torch.memory_format, threads: int) -> float:
        torch.set_num_threads(threads)
        learner.set_layout(layout)
        started = time.perf_counter()
        try:
            learner.learn(few, 0.0)
        except RuntimeError:
            # A view of a tensor that needs the channels first.
            return float("inf")
        return time.perf_counter() - started

    layout = min((torch.contiguous_format, torch.channels_last), key=lambda one: seconds(one, 1))
    threads: int = min(sorted({min(2**power, cores) for power in range(cores.bit_length() + 1)}), key=lambda one: seconds(layout, one))
    torch.set_num_threads(threads)
    learner.restore(state)
    return threads
