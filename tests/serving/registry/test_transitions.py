"""How commands change the record of a model, without any worker."""

from __future__ import annotations

import pytest

from roadworthy.core.errors import InvalidRequest, UnknownModel
from roadworthy.serving.registry.catalogue import Canary, Served, Version, VersionState
from roadworthy.serving.registry.commands import Load, SetCanary, SetDefault, SetLabels, SetShadow
from roadworthy.serving.registry.transitions import redirected, without_older


def served(*versions: str, **more: object) -> Served:
    ready = tuple(Version(version=version, path="", state=VersionState.READY) for version in versions)
    return Served(name="m", versions=(*ready, Version(version="99", path="", state=VersionState.FAILED)), **more)  # type: ignore[arg-type]


def states(model: Served) -> dict[str, str]:
    return {version.version: version.state for version in model.versions}


def test_commands_point_at_ready_versions_only() -> None:
    model = served("1", "2")
    assert redirected(model, SetDefault(name="m", version="1")).default == "1"
    assert redirected(model, SetLabels(name="m", labels={"stable": "2"})).labels == {"stable": "2"}
    assert redirected(model, SetCanary(name="m", version="2", share=0.5)).canary == Canary("2", 0.5)
    assert redirected(model, SetShadow(name="m", version="2")).shadow == "2"
    for command in (
        SetDefault(name="m", version="99"),
        SetLabels(name="m", labels={"stable": "99"}),
        SetCanary(name="m", version="99", share=0.5),
        SetShadow(name="m", version="3"),
    ):
        with pytest.raises(UnknownModel, match="load it first"):
            redirected(model, command)
    for wrong in (SetCanary(name="m", version="2", share=1.5), Load(name="m")):
        with pytest.raises(InvalidRequest):
            redirected(model, wrong)


def test_older_versions_leave_unless_something_names_them() -> None:
    assert states(without_older(served("1", "2", "3"), "3", keep=2)) == {"1": "unloaded", "2": "ready", "3": "ready", "99": "failed"}
    named = served("1", "2", "3", labels={"stable": "1"}, default="2")
    assert states(without_older(named, "3", keep=1)) == {"1": "ready", "2": "ready", "3": "ready", "99": "failed"}
    assert states(without_older(served("1", "2", "10"), "2", keep=1))["10"] == "ready", "a newer version stays"
