"""``deploy/``: a run script and a Dockerfile that install the packages of the winner, and nothing else."""

from __future__ import annotations

import hashlib
import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from roadworthy.build.package import wheel
from roadworthy.bundle.manifest import EXPORTS, GRAPHS, Manifest
from roadworthy.core.errors import EnvironmentFault
from roadworthy.core.host import Host

FOLDER = "deploy"


def pins(packages: tuple[str, ...]) -> tuple[str, ...]:
    """``name==version`` of each distribution as installed here; EnvironmentFault where one is not.

    The local suffix of a build (``+cpu``) is left out: no index has it, and pip accepts any build of the version without it.
    """
    found = {package: _pin(package) for package in packages}
    if missing := [package for package, pin in found.items() if pin is None]:
        raise EnvironmentFault(f"a packed variant needs {', '.join(missing)}, which is not installed here: pip install {' '.join(missing)}")
    return tuple(pin for pin in found.values() if pin)


def write(root: Path, manifest: Manifest, host: Host) -> None:
    """Write ``deploy/`` below the bundle's ``root``, for the first variant."""
    folder = root / FOLDER
    folder.mkdir()
    archive = wheel.write(folder)
    requirements = _requirements(archive, manifest)
    key = hashlib.sha256(requirements.encode() + (folder / archive).read_bytes()).hexdigest()[:12]
    python = ".".join(host.python.split(".")[:2])
    (folder / "requirements.txt").write_text(requirements)
    (folder / "run.sh").write_text(RUN.format(name=_plain(manifest.name), key=key))
    (folder / "run.sh").chmod(0o755)
    (folder / "Dockerfile").write_text(DOCKERFILE.format(python=python, wheel=archive))
    (folder / "Dockerfile.dockerignore").write_text(f"{GRAPHS}\n{EXPORTS}\n")
    (folder / "README.md").write_text(_readme(manifest, python))


def _pin(package: str) -> str | None:
    try:
        return f"{package}=={version(package).partition('+')[0]}"
    except PackageNotFoundError:
        return None


def _requirements(archive: str, manifest: Manifest) -> str:
    """Roadworthy with its server, the winner's packages, and the versions of all of these that are installed here."""
    lines = dict.fromkeys((f"./{archive}[serve]", *_needs(manifest), *filter(None, map(_pin, _serving()))))
    return "\n".join(lines) + "\n"


def _needs(manifest: Manifest) -> tuple[str, ...]:
    """What the first variant and the contract need."""
    return (*manifest.variants[0].requires, *pins(manifest.contract.packages))


def _serving() -> tuple[str, ...]:
    """The distributions that Roadworthy and its extra ``serve`` require."""
    wanted = (line.partition(";") for line in requires("roadworthy") or ())
    return tuple(
        match.group()
        for name, _, marker in wanted
        if (match := re.match(r"[\w.-]+", name)) and ("extra ==" not in marker or re.search(r"extra == ['\"]serve['\"]", marker))
    )


def _plain(name: str) -> str:
    """``name`` in the characters that a shell script, a file name and an image tag allow."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "model"


def _readme(manifest: Manifest, python: str) -> str:
    first = manifest.variants[0]
    needs = "\n".join(f"- `{pin}`" for pin in _needs(manifest)) or "- nothing beyond Roadworthy"
    flags = (
        f"It was made for a CPU with {', '.join(first.features)}. On a CPU without these the next variant is used.\n"
        if first.features
        else ""
    )
    note = FRAMEWORK_NOTE if first.framework else ""
    return README.format(
        name=_plain(manifest.name), python=python, needs=needs, flags=flags, note=note, variant=first.name, threads=first.plan.threads
    )


RUN = """\
#!/bin/sh
# Serves this bundle. The variables HOST (127.0.0.1), PORT (8000), PYTHON (python3) and VENV change the defaults.
# The virtual environment is made once, outside the bundle, so that the bundle stays as it was packed.
set -eu
bundle=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
venv=${{VENV:-${{XDG_CACHE_HOME:-$HOME/.cache}}/roadworthy/{name}-{key}}}
if [ ! -e "$venv/complete" ]; then
    "${{PYTHON:-python3}}" -m venv "$venv"
    (cd "$bundle/deploy" && "$venv/bin/python" -m pip install --quiet --requirement requirements.txt)
    : > "$venv/complete"
fi
exec "$venv/bin/roadworthy" serve "$bundle" --host "${{HOST:-127.0.0.1}}" --port "${{PORT:-8000}}"
"""

DOCKERFILE = """\
# Build from the bundle's root: docker build -f deploy/Dockerfile -t NAME .
FROM python:{python}-slim
WORKDIR /opt/roadworthy
COPY deploy/requirements.txt deploy/{wheel} ./
RUN pip install --no-cache-dir --requirement requirements.txt \\
    && useradd --system --uid 10001 --no-create-home roadworthy
COPY . /bundle
USER 10001
ENV PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \\
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
CMD ["roadworthy", "serve", "/bundle", "--host", "0.0.0.0", "--port", "8000"]
"""

README = """\
# Serving this bundle

With Python {python} on this machine, at http://127.0.0.1:8000 (`HOST` and `PORT` change that):

    sh deploy/run.sh

In a container, with a CPU for each thread that the variant was timed with:

    docker build -f deploy/Dockerfile -t {name} .
    docker run --rm --cpus {threads} -p 127.0.0.1:8000:8000 {name}

The server is ready (`GET /v2/health/ready`) when every file has its hash and the golden samples give the original's answers on that CPU.

The variant that is served is `{variant}`. {flags}It needs:

{needs}
{note}
The environment has the packages of this variant. Another variant in `variants/` is used only where its packages are installed too.
"""

FRAMEWORK_NOTE = """
This variant needs the training framework. By default pip may install its build for graphics cards. To install the CPU build, set
`PIP_EXTRA_INDEX_URL` to the framework's own index of CPU builds; the pinned version matches them.
"""
