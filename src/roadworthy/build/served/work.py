"""What the winner computes beside what this host can: its operations a sample, and the peak of matrix multiplications."""

from __future__ import annotations

from roadworthy.build import benchmark, peak
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.bundle.certificate import Choice
from roadworthy.bundle.peak import ModelWork
from roadworthy.core.errors import OutOfSpace, RoadworthyError
from roadworthy.core.stages import Graph
from roadworthy.core.types import Signature


def work_of(
    choice: Choice, race: benchmark.Race, graphs: tuple[Graph, ...], signature: Signature, workspace: Workspace
) -> ModelWork | None:
    """For the winner; ``None`` where the model has no ONNX graph of its own function to count in, or no time is left.

    The operations are those of the original function, whatever a runtime makes of them: that is the work that a request asks for.
    """
    countable = (one for one in graphs if one.format == "onnx" and not (one.derived_from or one.quantized or one.unfolded))
    graph = next(countable, None)
    if graph is None or not peak.SECONDS or not workspace.seconds_left:
        return None
    workspace.begin("peak", text="matrix multiplications of this host")
    winner = next(one.verified.candidate.plan for one in race.measured if one.verified.candidate.plan.name == choice.winner)
    try:
        return workspace.step(peak.of_model, peak.WorkRequest(graph.path, signature, winner, peak.SECONDS), "peak")
    except OutOfSpace:
        raise
    except RoadworthyError:
        # A graph that ONNX itself cannot read costs a figure of the report, and no deployment.
        return None
    finally:
        workspace.notify(Progress("peak", 1, 1))
