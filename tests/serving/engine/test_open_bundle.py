"""Opening: the very bundle that was proven, by the plan that was measured, as often as is asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.bundle.shares import Share
from roadworthy.core.errors import BundleError
from roadworthy.core.host import Host
from roadworthy.core.stages import Plan
from roadworthy.serving.engine import batch_plan as planning
from roadworthy.serving.engine import open_bundle
from roadworthy.serving.engine.batch_plan import BatchPlan
from roadworthy.serving.engine.open_bundle import OpenEngines, described, open_engines
from roadworthy.serving.engine.open_messages import OpenVersion
from roadworthy.serving.engine.variant import RunOptions
from roadworthy.serving.registry.repository import digest
from roadworthy.serving.settings import Settings
from support.models import bundles
from support.servers.serving import ECHO, echo_golden, variant, write_echo


def settings(**options: object) -> Settings:
    return Settings(sources=(), workers=2, **options)  # type: ignore[arg-type]


@contextmanager
def opened(wanted: OpenVersion, **options: object) -> Iterator[OpenEngines]:
    instances = open_engines(wanted, settings(**options))
    try:
        yield instances
    finally:
        for model in instances.engines:
            model.close()


def want(path: Path, **more: object) -> OpenVersion:
    return OpenVersion(name="mine", version="9", path=str(path), **more)  # type: ignore[arg-type]


def test_one_instance_by_a_measured_plan_under_the_name_that_was_asked_for(null_bundle: Path) -> None:
    with opened(want(null_bundle)) as instances:
        (model,) = instances.engines
        assert (model.name, model.version) == ("mine", "9")
        plan = instances.opened.plan
        assert plan.instances == 1 and plan.threads >= 1 and plan.batch >= 1 and plan.seconds[1] > 0
        assert instances.opened.digest == digest(null_bundle)
        assert model.run({"x": np.ones((2, 12), np.float32)})


def test_what_the_owner_says_is_not_measured(null_bundle: Path) -> None:
    with opened(want(null_bundle), threads=1, batch=7) as instances:
        assert instances.opened.plan == BatchPlan(1, 1, 7)


def test_a_plan_that_is_given_is_followed(null_bundle: Path) -> None:
    plan = BatchPlan(3, 1, 5, {1: 0.5})
    with opened(want(null_bundle, plan=plan, digest=digest(null_bundle)), batch=2) as instances:
        assert len(instances.engines) == 3 and instances.opened.plan == plan
        assert len({id(model) for model in instances.engines}) == 3


def test_a_batch_that_gains_is_found(tmp_path: Path) -> None:
    """The flavour takes two milliseconds for any batch."""
    with opened(want(write_echo(tmp_path / "steady", "steady"))) as instances:
        assert instances.opened.plan.batch > 1


def test_another_bundle_at_the_same_path_is_refused(null_bundle: Path, tmp_path: Path) -> None:
    there = shutil.copytree(null_bundle, tmp_path / "linear")
    proven = digest(there)
    shutil.rmtree(there)
    bundles.write_bundle(there, scale=2.0)
    with pytest.raises(BundleError, match="another bundle than the one that was loaded as mine version 9"):
        open_engines(want(there, plan=BatchPlan(), digest=proven), settings())


def test_a_flipped_byte_below_the_same_manifest_is_refused(null_bundle: Path, tmp_path: Path) -> None:
    there = shutil.copytree(null_bundle, tmp_path / "linear")
    file = next(there.glob("variants/*/model.npz"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.npz"):
        open_engines(want(there, plan=BatchPlan(), digest=digest(there)), settings())


def test_a_missing_or_wrong_bundle_is_refused(null_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        open_engines(want(tmp_path / "nowhere"), settings())
    newer = shutil.copytree(null_bundle, tmp_path / "newer")
    manifest = json.loads((newer / "manifest.json").read_bytes())
    (newer / "manifest.json").write_text(json.dumps(manifest | {"format": 999, "schema": 999, "format_version": 999}))
    with pytest.raises(BundleError):
        open_engines(want(newer), settings())
    with pytest.raises(BundleError, match="golden"):
        open_engines(want(write_echo(tmp_path / "lying", "lying")), settings())


def test_what_was_opened_is_closed_when_the_next_instance_fails(null_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    real, left = open_bundle._open, [2]

    def failing(root: Path, wanted: OpenVersion, options: RunOptions) -> object:
        if not left[0]:
            raise BundleError("no more")
        left[0] -= 1
        model = real(root, wanted, options)
        monkeypatch.setattr(model, "close", lambda: closed.append(model.name))
        return model

    monkeypatch.setattr(open_bundle, "_open", failing)
    with pytest.raises(BundleError, match="no more"):
        open_engines(want(null_bundle, plan=BatchPlan(instances=3)), settings())
    assert closed == ["mine", "mine"]


def test_a_plan_in_words() -> None:
    assert list(described(BatchPlan(2, 1, 16, {1: 0.00123}), 4)) == ["8 x 1 thread", "up to 16 samples a call", "1.23 ms a sample"]
    assert list(described(BatchPlan(1, 4), 1)) == ["1 x 4 threads", "one request a call"]


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this host has: a worker's share is two threads, so that one is tried beside."""
    monkeypatch.setattr(planning, "share", lambda processes: 2)


@pytest.fixture
def one_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured or not, one thread would be chosen."""
    monkeypatch.setattr(planning, "one_is_enough", lambda single, several, feeds: True)


def test_a_thread_count_that_answers_wrongly_is_not_served(tmp_path: Path, two_cores: None, one_pays: None) -> None:
    """OpenVINO's int8 was right on two threads and nonsense on one: the plan that would be faster is not taken."""
    bundle = write_echo(tmp_path / "echo", "errs-on-1", threads=2)
    with opened(want(bundle)) as instances:
        (model,) = instances.engines
        assert instances.opened.plan.threads == 2
        assert any("one thread" in note and "golden answers are off" in note for note in instances.opened.notes)
        assert np.array_equal(model.run({"x": np.ones((1, 2), np.float32)})["y"], np.ones((1, 2)))


def test_the_winner_on_more_threads_before_the_fallback_on_one(tmp_path: Path, two_cores: None, one_pays: None) -> None:
    bundle = write_echo(tmp_path / "echo", "errs-on-1", "echo", threads=2)
    with opened(want(bundle)) as instances:
        assert instances.engines[0].variant.plan.flavour == "errs-on-1" and instances.opened.plan.threads == 2
        assert any("one thread" in note for note in instances.opened.notes)


def test_one_thread_where_several_answer_wrongly(tmp_path: Path, two_cores: None) -> None:
    with opened(want(write_echo(tmp_path / "alone", "errs-on-2", threads=2))) as instances:
        assert instances.opened.plan.threads == 1 and any("on 2 threads" in note for note in instances.opened.notes)
    with opened(want(write_echo(tmp_path / "two", "errs-on-2", "echo", threads=2))) as instances:
        assert instances.engines[0].variant.plan.flavour == "errs-on-2" and instances.opened.plan.threads == 1


def test_a_runtime_that_keeps_its_first_threads_serves_on_them(tmp_path: Path, two_cores: None) -> None:
    with opened(want(write_echo(tmp_path / "echo", "one-process", threads=2))) as instances:
        assert instances.opened.plan.threads == 2


@pytest.mark.parametrize("options", [{"threads": 1}, {}])
def test_the_threads_that_are_asked_for_are_proven(tmp_path: Path, options: dict[str, int]) -> None:
    """By the owner, or by a plan: of another worker, or of a model that was scaled."""
    bundle = write_echo(tmp_path / "echo", "errs-on-1", threads=2)
    wanted = want(bundle) if options else want(bundle, plan=BatchPlan(2, 1, 1))
    with pytest.raises(BundleError, match="golden answers are off"):
        open_engines(wanted, settings(**options))
    with opened(want(write_echo(tmp_path / "two", "errs-on-1", "echo", threads=2), plan=BatchPlan(2, 1, 1))) as instances:
        assert [model.variant.plan.flavour for model in instances.engines] == ["echo", "echo"]
        assert any("errs-on-1" in note for note in instances.opened.notes)


@pytest.mark.parametrize("wanted", [{}, {"plan": BatchPlan(2, 1, 16)}])
@pytest.mark.parametrize("options", [{}, {"batch": 20}])
def test_a_batch_that_answers_wrongly_is_not_served(tmp_path: Path, wanted: dict[str, BatchPlan], options: dict[str, int]) -> None:
    """Calls take two milliseconds whatever they hold, so that a large batch is chosen; from 16 samples on the answers are wrong."""
    with pytest.raises(BundleError, match=r"golden answers are off .* in calls of 16 samples"):
        open_engines(want(write_echo(tmp_path / "alone", "errs-at-16"), **wanted), settings(**options))
    with opened(want(write_echo(tmp_path / "two", "errs-at-16", "steady"), **wanted), **options) as instances:
        assert {model.variant.plan.flavour for model in instances.engines} == {"steady"}
        assert instances.opened.plan.batch >= 16
        assert any("errs-at-16" in note for note in instances.opened.notes)


def shared(target: Path, flavour: str, *shares: Share, host: Host | None = None, plan: Plan | None = None) -> Path:
    """A bundle whose one variant was proven on ``shares``."""
    one = variant(flavour, threads=2)
    one = replace(one, shares=shares, plan=plan or one.plan)
    return bundles.write_bundle(target, name="echo", signature=ECHO, variants=(one,), golden=echo_golden(), host=host)


@pytest.fixture
def on_cores(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Whatever this host has: so many usable cores."""
    return lambda cores: monkeypatch.setattr(planning, "usable_cores", lambda: cores)


ONE, TWO = Plan("testkit", flavour="steady"), Plan("testkit", flavour="steady", threads=2)


def test_the_plan_of_the_share_is_served_and_nothing_is_tried_beside_it(
    tmp_path: Path, on_cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "one_is_enough", lambda *arguments: pytest.fail("the build host has decided"))
    bundle = shared(tmp_path / "echo", "steady", Share(2, TWO), Share(4, ONE))
    for cores, threads in ((4, 2), (8, 1)):
        on_cores(cores)
        with opened(want(bundle)) as instances:
            assert instances.engines[0].plan.threads == instances.opened.plan.threads == threads
            assert instances.engines[0].proven and instances.opened.notes == ()


def test_a_share_that_was_never_verified_is_named_and_the_golden_samples_decide(tmp_path: Path, on_cores: Callable[[int], None]) -> None:
    on_cores(2)
    with opened(want(shared(tmp_path / "echo", "steady", Share(2, TWO)))) as instances:
        assert instances.opened.plan.threads == 1 and not instances.engines[0].proven
        assert any("testkit-fp32-steady-t1 was not verified when the bundle was made" in note for note in instances.opened.notes)
    with pytest.raises(BundleError, match="golden answers are off"):
        open_engines(want(shared(tmp_path / "errs", "errs-on-1")), settings(threads=1))


def test_on_another_cpu_the_threads_are_measured(tmp_path: Path, on_cores: Callable[[int], None], one_pays: None) -> None:
    on_cores(4)
    with opened(want(shared(tmp_path / "echo", "steady", Share(2, TWO), host=bundles.other_host()))) as instances:
        assert instances.opened.plan.threads == 1


@pytest.mark.parametrize("host", [None, bundles.other_host()])
def test_threads_that_were_wrong_are_used_nowhere(tmp_path: Path, on_cores: Callable[[int], None], host: Host | None) -> None:
    """The golden samples pass on one thread; the whole evaluation did not. Without a fallback it runs on more than its share."""
    on_cores(2)
    bundle = shared(tmp_path / "echo", "steady", Share(1, None, "not the same function"), Share(2, TWO), host=host)
    with opened(want(bundle)) as instances:
        assert instances.opened.plan.threads == 2
        assert any("more than the 1 of its worker's share" in note and "not the same function" in note for note in instances.opened.notes)
    with pytest.raises(BundleError, match="rejected on 1 thread when the bundle was made: not the same function"):
        open_engines(want(bundle), settings(threads=1))


def test_two_workers_never_bind_their_threads_to_the_same_cores(tmp_path: Path, on_cores: Callable[[int], None]) -> None:
    """The bundle was certified on two cores, alone; here are four, for two workers: bound, both would sit on the first two."""
    on_cores(4)
    bound = replace(TWO, options=("pinned",))
    bundle = shared(tmp_path / "echo", "steady", Share(2, bound), plan=bound)
    with opened(want(bundle)) as instances:
        assert instances.engines[0].plan == TWO and not instances.engines[0].proven
    on_cores(2)
    with open_alone(bundle, want(bundle)) as instances:
        assert instances.engines[0].plan == bound and instances.engines[0].proven
    with open_alone(bundle, want(bundle, plan=BatchPlan(2, 2, 1))) as instances:
        assert {engine.plan for engine in instances.engines} == {TWO}


@contextmanager
def open_alone(bundle: Path, wanted: OpenVersion) -> Iterator[OpenEngines]:
    """In the only worker."""
    instances = open_engines(wanted, Settings(sources=(), workers=1))
    try:
        yield instances
    finally:
        for model in instances.engines:
            model.close()
