"""A mask of CPU features: what is left of a host, what libraries are told, and that they really do as they are told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from roadworthy.core import cpu_mask, host
from roadworthy.core.errors import UsageError
from roadworthy.core.isolation import isolate
from support import hosts, isolated_steps
from support.isolated_steps import Number

X86 = pytest.mark.skipif(hosts.true_host().architecture != "x86_64", reason="levels are of x86-64 CPUs")


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU has everything up to AMX."""
    monkeypatch.setattr(host, "_cpuinfo", lambda: ("Large CPU", hosts.FEATURES["amx"][1] | {"fpu", "mmx"}))
    monkeypatch.setattr(host.platform, "machine", lambda: "x86_64")
    for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "XLA_FLAGS", cpu_mask.MASK):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("level", cpu_mask.LEVELS)
def test_a_mask_leaves_the_features_of_its_level_and_the_name_says_so(amx: None, monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv(cpu_mask.MASK, level)
    here = host.this_host()
    assert set(here.features) == cpu_mask.LEVELS[level].features
    assert here.cpu == f"Large CPU (ROADWORTHY_CPU_MASK={level})"


def test_a_mask_is_a_ceiling_and_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_cpuinfo", lambda: ("Small CPU", frozenset({"sse4_2", "avx"})))
    monkeypatch.setattr(host.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv(cpu_mask.MASK, "amx")
    assert host.this_host().features == ("sse4_2", "avx")
    assert host.library_caps() == {}, "ATen believes what it is told on any CPU"


def test_libraries_are_told_only_where_something_is_hidden_and_the_users_own_word_stays(amx: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.library_caps() == {}
    monkeypatch.setenv(cpu_mask.MASK, "avx512_vnni")
    assert host.library_caps() == {
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
        "ATEN_CPU_CAPABILITY": "avx512",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX512_VNNI",
    }
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=there")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert host.library_caps() == {"ATEN_CPU_CAPABILITY": "avx512", "XLA_FLAGS": "--xla_dump_to=there --xla_cpu_max_isa=AVX512_VNNI"}
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX")
    assert host.library_caps() == {"ATEN_CPU_CAPABILITY": "avx512"}
    monkeypatch.setenv(cpu_mask.MASK, "amx")
    assert host.library_caps() == {}


def test_a_word_that_is_no_level_and_another_architecture_are_refused(amx: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cpu_mask.MASK, "avx3")
    for ask in (host.this_host, host.library_caps):
        with pytest.raises(UsageError, match=r"ROADWORTHY_CPU_MASK=avx3 is not a level of CPU features; choose from sse4_2, avx2, .*amx"):
            ask()
    monkeypatch.setenv(cpu_mask.MASK, "avx2")
    monkeypatch.setattr(host.platform, "machine", lambda: "aarch64")
    with pytest.raises(UsageError, match="this machine is aarch64: unset it"):
        host.this_host()


@X86
def test_the_command_refuses_a_mask_that_is_none_before_it_does_anything(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("roadworthy")), "deploy", "model.npz", "-o", "bundle"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {cpu_mask.MASK: "AVX2"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ROADWORTHY_CPU_MASK=AVX2 is not a level of CPU features; choose from ")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
@X86
@pytest.mark.skipif(not hosts.has("avx2"), reason="this CPU has no more than what the mask leaves")
def test_libraries_in_a_child_use_no_more_than_the_mask_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library without the variable of another, and one whose word changed, would be seen here."""
    for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "XLA_FLAGS", cpu_mask.MASK):
        monkeypatch.delenv(name, raising=False)
    free = isolate.call(isolated_steps.used_instructions, Number(0))
    monkeypatch.setenv(cpu_mask.MASK, "sse4_2")
    masked = isolate.call(isolated_steps.used_instructions, Number(0))
    assert free.torch != "DEFAULT" and "sse4" not in free.openvino
    assert masked.torch == "DEFAULT" and "sse4" in masked.openvino
