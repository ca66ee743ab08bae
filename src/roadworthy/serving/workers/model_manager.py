"""Which models the server serves: it carries out the commands of clients, and follows the directories that the server was started with."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from roadworthy.core.errors import InvalidRequest, RoadworthyError, UnknownModel
from roadworthy.serving.registry import commands, repository
from roadworthy.serving.registry.catalogue import Catalogue, VersionState
from roadworthy.serving.registry.repository import FoundBundle
from roadworthy.serving.registry.transitions import redirected
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers.broadcast import Workers
from roadworthy.serving.workers.rollout import Rollout, TrialOpen

LOG = logging.getLogger(__name__)


class ModelManager:
    """Decides which versions to load and unload; its ``rollout`` does so in all workers or in none.

    Commands run one at a time; their errors go to the client.
    """

    def __init__(self, settings: Settings, workers: Workers, trial: TrialOpen) -> None:
        self.rollout = Rollout(workers, trial)
        self.failures: list[RoadworthyError] = []
        """Why bundles that the server was started with are not served."""
        self._sources = tuple(map(Path, settings.sources))
        self._newest = settings.versions
        """How many versions of a model in a directory are served, 0 for all."""
        self._command = asyncio.Lock()
        """Held while a command runs."""
        self._stamps: dict[tuple[str, str], tuple[int, int]] = {}
        """Of each version that was loaded, the stamp of its bundle."""
        self._unloaded: set[tuple[str, str]] = set()
        """Versions that clients unloaded: the watch of the directories does not load them again."""

    @property
    def catalogue(self) -> Catalogue:
        """All models with the states of their versions."""
        return self.rollout.catalogue

    async def open_all(self) -> None:
        """Load what the sources hold: each bundle, and the newest versions of each model in a directory."""
        async with self._command:
            for found in repository.wanted(self._sources, self._newest):
                try:
                    await self._load(found)
                except RoadworthyError as problem:
                    self.failures.append(problem)
            self.rollout.started = True
            await self.rollout.publish()

    async def look(self) -> None:
        """Load what is new or replaced in the sources, and unload what is no longer there."""
        async with self._command:
            wanted = {(one.name, one.version): one for one in repository.wanted(self._sources, self._newest)}
            for key, one in wanted.items():
                changed = self._stamps.get(key) != one.stamp or self.rollout.state(*key) == VersionState.UNLOADED
                if changed and key not in self._unloaded:
                    try:
                        await self._load(one)
                    except RoadworthyError as problem:
                        LOG.error("%s version %s is not served: %s", *key, problem.message)
            present = {(one.name, one.version) for one in repository.scan(self._sources)}
            self._unloaded &= present
            for key in self._stamps.keys() - present:
                await self.rollout.unload(*key, "its bundle is gone from the directory")
                del self._stamps[key]

    async def carry_out(self, command: commands.AnyCommand) -> None:
        """Carry ``command`` out in all workers; raises a RequestError, or the BundleError of a refused bundle, with nothing changed."""
        async with self._command:
            match command:
                case commands.Load(name=name):
                    found = repository.locate(self._sources, name, command.version, command.path)
                    self._unloaded.discard((name, found[-1].version))
                    # A version that is asked for by name is served beside the others.
                    await self._load(found[-1], replaces=command.version is None)
                case commands.Unload(name=name):
                    await self._unload(name, command.version)
                case commands.Configure():
                    await self._configure(command)
                case commands.Replace(models):
                    await self._replace(models)
                case commands.Scale(name=name):
                    await self._scale(name, command.version, command.instances)
                case _:
                    await self.rollout.publish(redirected(self.rollout.served(command.name), command))

    async def _load(self, found: FoundBundle, *, replaces: bool = True) -> None:
        self._stamps[found.name, found.version] = found.stamp
        # Where bundles were named one by one, each of them is served.
        in_directories = not any(map(repository.is_bundle, self._sources))
        await self.rollout.load(found, keep=self._newest if replaces and in_directories else 0)

    async def _unload(self, name: str, version: str | None) -> None:
        served = self.rollout.served(name)
        for one in [version] if version is not None else [known.version for known in served.versions]:
            if served.version(one) is None:
                raise UnknownModel(f"{name} has no version {one!r}")
            self._unloaded.add((name, one))
            await self.rollout.unload(name, one, "unloaded on request")

    async def _configure(self, wanted: commands.Configure) -> None:
        """Load what is missing first, then unload the rest, then set the labels."""
        found = repository.locate(self._sources, wanted.name, None, wanted.path)
        chosen = [one for one in found if one.version in wanted.versions] if wanted.versions else list(found[-wanted.latest :])
        if missing := set(wanted.versions) - {one.version for one in chosen}:
            raise UnknownModel(f"there is no version {missing.pop()} of {wanted.name!r} at {wanted.path}")
        for one in chosen:
            key = (one.name, one.version)
            if self.rollout.state(*key) != VersionState.READY or self._stamps.get(key) != one.stamp:
                self._unloaded.discard(key)
                await self._load(one, replaces=False)
        for version in self.rollout.served(wanted.name).ready:
            if version.version not in {one.version for one in chosen}:
                await self.rollout.unload(wanted.name, version.version, "not in the configuration")
        labels = commands.SetLabels(name=wanted.name, labels=wanted.labels)
        await self.rollout.publish(redirected(self.rollout.served(wanted.name), labels))

    async def _replace(self, models: tuple[commands.Configure, ...]) -> None:
        for configured in models:  # all of them must exist before any is changed
            repository.locate(self._sources, configured.name, None, configured.path)
        for configured in models:
            await self._configure(configured)
        for served in self.catalogue.models:
            if served.ready and served.name not in {configured.name for configured in models}:
                await self._unload(served.name, None)

    async def _scale(self, name: str, version: str | None, instances: int) -> None:
        served = self.rollout.served(name)
        if instances < 1:
            raise InvalidRequest(f"{name} needs at least one instance; unload it to have none")
        for one in [version] if version else [ready.version for ready in served.ready]:
            await self.rollout.scale(name, one, instances)
