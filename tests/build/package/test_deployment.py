"""What lies in deploy/ works: the wheel installs and imports, the script is a script, the Dockerfile copies what exists."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

import roadworthy
from roadworthy.build.package import deployment, wheel
from roadworthy.bundle import store
from roadworthy.core.errors import EnvironmentFault
from roadworthy.core.host import this_host


def test_the_wheel_installs_with_pip_and_imports(bundle: Path, tmp_path: Path) -> None:
    (archive,) = (bundle / "deploy").glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", str(tmp_path), str(archive)], check=True, timeout=120)
    code = "import roadworthy, roadworthy.bundle.store, roadworthy.runtimes.null; print(roadworthy.__file__, roadworthy.__version__)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout.split() == [str(tmp_path / "roadworthy" / "__init__.py"), roadworthy.__version__]
    assert (tmp_path / "bin" / "roadworthy").is_file()
    assert (tmp_path / "roadworthy" / "build" / "package" / "report" / "report.html.j2").is_file()


def test_the_wheel_is_the_same_every_time(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert wheel.write(tmp_path / "a") == wheel.write(tmp_path / "b")
    (one,), (other,) = (tmp_path / "a").iterdir(), (tmp_path / "b").iterdir()
    assert one.read_bytes() == other.read_bytes()


def test_requirements_are_roadworthy_its_server_and_the_winner(bundle: Path) -> None:
    first, *rest = (bundle / "deploy" / "requirements.txt").read_text().split()
    archive, _, extra = first.partition("[")
    assert (bundle / "deploy" / archive).is_file() and extra == "serve]"
    names = {line.partition("==")[0] for line in rest}
    assert {"numpy", "uvloop"} <= names
    assert not names & {"torch", "onnxruntime", "openvino", "jinja2", "pytest"}


def test_only_the_first_variant_decides_what_is_installed(bundle: Path, tmp_path: Path) -> None:
    manifest = store.read(bundle)
    winner, fallback = manifest.variants
    changed = replace(manifest, variants=(replace(winner, requires=("fast==1.0",)), replace(fallback, requires=("slow==2.0",))))
    deployment.write(tmp_path, changed, this_host())
    text = (tmp_path / "deploy" / "requirements.txt").read_text()
    assert "fast==1.0" in text and "slow" not in text


def test_a_local_build_is_pinned_by_its_public_version() -> None:
    assert deployment.pins(("torch",)) == (f"torch=={version('torch').partition('+')[0]}",)
    with pytest.raises(EnvironmentFault, match="no-such-distribution"):
        deployment.pins(("no-such-distribution",))


def test_the_dockerfile_copies_what_exists_and_runs_without_privileges(bundle: Path) -> None:
    lines = (bundle / "deploy" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    sources = [source for line in lines if line.startswith("COPY") for source in line.split()[1:-1]]
    assert sources and all((bundle / source).exists() for source in sources)
    words = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert words[0] == "FROM" and set(words) <= {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "HEALTHCHECK", "CMD"}
    text = "\n".join(lines)
    assert re.search(r"^USER \d+$", text, re.M) and "/v2/health/ready" in text and "EXPOSE 8000" in text


def test_the_run_script_is_sound_and_keeps_to_loopback(bundle: Path) -> None:
    script = bundle / "deploy" / "run.sh"
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o111
    assert "${HOST:-127.0.0.1}" in script.read_text()


def test_the_run_script_makes_its_environment_once_and_starts_the_server(bundle: Path, tmp_path: Path) -> None:
    # The interpreter is a stand-in that builds a venv of scripts: what is tested is the script's own walk.
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\necho made >> "$TRACE"; mkdir -p "$3/bin"\n'
        'printf \'#!/bin/sh\\necho "pip in $(pwd): $*" >> "$TRACE"\\n\' > "$3/bin/python"\n'
        'printf \'#!/bin/sh\\necho "serve: $*" >> "$TRACE"\\n\' > "$3/bin/roadworthy"\nchmod +x "$3/bin/python" "$3/bin/roadworthy"\n'
    )
    python.chmod(0o755)
    trace = tmp_path / "trace"
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(python), "TRACE": str(trace), "HOME": str(tmp_path), "PORT": "9009"}
    for _ in range(2):
        subprocess.run(["sh", str(bundle / "deploy" / "run.sh")], env=environment, check=True, timeout=30)
    made, installed, *served = trace.read_text().splitlines()
    assert made == "made"
    assert installed == f"pip in {bundle / 'deploy'}: -m pip install --quiet --requirement requirements.txt"
    assert served == [f"serve: serve {bundle} --host 127.0.0.1 --port 9009"] * 2


@pytest.mark.parametrize("name", ["$(touch pwned)", "a b;c", "../..", "\"'`", "é"])
def test_a_hostile_name_stays_out_of_the_script(bundle: Path, tmp_path: Path, name: str) -> None:
    deployment.write(tmp_path, replace(store.read(bundle), name=name), this_host())
    text = (tmp_path / "deploy" / "run.sh").read_text()
    assert re.search(r"/roadworthy/[a-z0-9._-]+-[0-9a-f]{12}\}$", text, re.M)
    assert not re.search(r"pwned\)|\.\./\.\.-", text)
