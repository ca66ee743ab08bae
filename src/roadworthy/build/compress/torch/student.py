"""A smaller PyTorch network of the user's own, called as the original is."""

from __future__ import annotations

from dataclasses import replace

import torch

from roadworthy.build.compress import students
from roadworthy.build.compress.stages import STUDENT, Cut, StudentRequest
from roadworthy.build.compress.torch.network import TorchNetwork, feeds_of, open_network
from roadworthy.core.errors import SourceError
from roadworthy.core.stages import Graph
from roadworthy.core.text import first_line
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.calling import AdaptedModule, OneTensorModule, adapt

FEW = 2


def student(request: StudentRequest) -> Cut:
    """As ``roadworthy.build.compress.student``; ``Cut.error`` is 0, because nothing was cut."""
    teacher = open_network(request.teacher)
    torch.manual_seed(students.SEED)
    module = students.built(request.spec, torch.nn.Module, "torch.nn.Module").eval()
    call = adapt(module, teacher.call.call) if isinstance(teacher.call, AdaptedModule) else OneTensorModule(module)
    smaller = TorchNetwork(call, module, teacher.signature)
    feeds = feeds_of(request.samples, teacher.signature, FEW, torch.float32)[0]
    try:
        answers = smaller.answers(feeds)
    except Exception as problem:
        raise SourceError(f"--student {request.spec} does not run on the training samples: {first_line(problem)}") from problem
    as_arrays = [[tensor.numpy() for tensor in tensors] for tensors in (answers, teacher.answers(feeds))]
    students.refuse_others(request.spec, *(students.named(arrays, teacher.signature) for arrays in as_arrays))
    request.out.mkdir(parents=True, exist_ok=True)
    path = torch_module.save(call, request.out)
    graph = Graph("module", path, teacher.signature, "the student", derived_from="module", compression=STUDENT)
    return Cut(replace(graph, unfolded=request.teacher.unfolded), {}, smaller.parameters, smaller.multiplications(feeds), 0.0)
