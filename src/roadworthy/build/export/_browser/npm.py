"""Files of npm packages: the archive of a pinned version, downloaded by the program npm into a cache and checked at every use."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from roadworthy.build.export._browser.flavour import NpmPackage
from roadworthy.core import programs
from roadworthy.core.errors import EnvironmentFault
from roadworthy.core.text import LONGEST

ARCHIVE = "package.tgz"
LIMIT_S = 300
LICENCES = Path(__file__).with_name("licences")


def copy(package: NpmPackage, out: Path) -> None:
    """Write the files of ``package`` and its licence into the existing directory ``out``.

    Raises ProgramMissing without npm, EnvironmentFault where it cannot download the package or what came is another one.
    """
    wanted = {f"package/{path}": out / name for path, name in package.files.items()}
    licence = out / f"LICENSE-{_flat(package.name)}.txt"
    if (LICENCES / package.licence).is_file():
        shutil.copyfile(LICENCES / package.licence, licence)
    else:
        wanted[f"package/{package.licence}"] = licence
    with tarfile.open(archive(package), "r|gz") as held:
        for member in held:
            if place := wanted.pop(member.name, None):
                content = held.extractfile(member)
                assert content is not None
                place.parent.mkdir(parents=True, exist_ok=True)
                with content, open(place, "wb") as file:
                    shutil.copyfileobj(content, file)
            if not wanted:
                break
    if wanted:
        raise EnvironmentFault(f"the npm package {package.name} {package.version} has no {', '.join(sorted(wanted))}")


def archive(package: NpmPackage) -> Path:
    """The checked archive in the cache; one that is damaged is downloaded again."""
    held = _held(package)
    folder = held.parent
    if held.is_file() and integrity(held) == package.integrity:
        return held
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as scratch:
        fresh = _downloaded(package, Path(scratch))
        if (found := integrity(fresh)) != package.integrity:
            raise EnvironmentFault(
                f"npm downloaded another {package.name} {package.version} than the one that was tested: its integrity is {found}, "
                f"and {package.integrity} is expected; look at the registry that npm uses: npm config get registry"
            )
        folder.mkdir(exist_ok=True)
        # Others may read the old archive, or write the same one, meanwhile.
        fresh.replace(held)
    return held


def require(package: NpmPackage) -> None:
    """Raises ProgramMissing where ``package`` is not in the cache and npm is missing."""
    if not _held(package).is_file():
        _program()


def cache() -> Path:
    """Where archives are kept."""
    return programs.libraries() / "npm"


def integrity(path: Path) -> str:
    """The integrity of a file in the words of npm."""
    with open(path, "rb") as file:
        return f"sha512-{base64.b64encode(hashlib.file_digest(file, 'sha512').digest()).decode()}"


def _downloaded(package: NpmPackage, scratch: Path) -> Path:
    npm = _program()
    what = f"{package.name}@{package.version}"
    # No script of a package is run.
    command = [str(npm), "pack", what, "--ignore-scripts", "--pack-destination", str(scratch), "--loglevel", "error"]
    try:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, errors="replace", timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(f"npm did not download {what} within {LIMIT_S} s; {_remedy(what)}") from None
    found = list(scratch.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        said = (done.stderr or done.stdout).strip()
        raise EnvironmentFault(f"npm could not download {what}: {_reason(said)}; {_remedy(what)}", detail=said)
    return found[0]


def _held(package: NpmPackage) -> Path:
    return cache() / f"{_flat(package.name)}-{package.version}" / ARCHIVE


def _program() -> Path:
    return programs.require("npm", "install Node 18 or later: apt-get install nodejs npm")


def _remedy(what: str) -> str:
    return f"run this where npm reaches its registry, and the export is then made without it: npm view {what} version"


def _reason(said: str) -> str:
    lines = [line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in said.splitlines()]
    return next((line for line in lines if line and not line.startswith("code ")), "it said nothing")[:LONGEST]


def _flat(name: str) -> str:
    return name.removeprefix("@").replace("/", "-")
