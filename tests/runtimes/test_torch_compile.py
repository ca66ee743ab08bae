"""torch.compile as a form to compare: offered for that alone, compiled anew for each process, and the same function."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.build import lower
from roadworthy.build.lower import LowerRequest
from roadworthy.core.host import this_host
from roadworthy.core.isolation import isolate
from roadworthy.core.stages import Plan
from support.models import torch_models

pytestmark = pytest.mark.slow


def test_it_is_a_form_and_never_a_plan_of_a_deployment(tmp_path: Path) -> None:
    graph, host = torch_models.as_module(torch_models.colour(), tmp_path), this_host()
    wanted = Plan("pytorch", threads=host.cores, flavour="compile")
    offered = lower.plans_for((graph,), host, runtimes=("pytorch",), precisions=(), calibrated=True)
    assert wanted not in [plan for plan, _ in offered.plans]
    assert wanted in [plan for plan, _ in lower.forms_for((graph,), host, "fp32").plans]


@pytest.mark.soak
def test_it_answers_as_the_original_and_leaves_what_it_compiled_beside_its_candidate(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    graph = torch_models.as_module(torch_models.colour(), tmp_path / "graph")
    plan = Plan("pytorch", threads=this_host().cores, flavour="compile")
    out = tmp_path / "candidate"
    candidate = isolate.call(lower.lower, LowerRequest(graph, plan, None, out), log=tmp_path / "log")
    answered = isolate.call(torch_models.answer, torch_models.Opening(candidate.path, plan), log=tmp_path / "log")
    wanted = torch_models.by_hand(torch_models.colour(), torch_models.images(2)).sum()
    assert answered.total == pytest.approx(float(wanted), rel=1e-4)
    assert any(list(folder.rglob("*.so")) for folder in out.glob("compiled-*"))
