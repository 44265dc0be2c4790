"""The environments of this agent's tasks: which provider makes each, which are in use, and for whom one is being made."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from sirdar.agent.attempts import Attempt, Common
from sirdar.agent.environments.base import AS_IT_IS, EnvironmentFailed, Files, Provider, Ready
from sirdar.agent.events import get_logger
from sirdar.domain.environment import Environment

log = get_logger(__name__)

Find = Callable[[str], Path | None]


class Environments:
    """``tell`` passes on what a provider says of its work, for one attempt; ``trusts``: whose code may run outside of a sandbox."""

    def __init__(
        self,
        providers: Sequence[Provider],
        find: Find,
        tell: Callable[[Attempt, str], None],
        trusts: Callable[[Common], bool],
    ) -> None:
        self._providers = providers
        self._find = find
        self._tell = tell
        self._trusts = trusts
        self._held: dict[str, tuple[Provider, str]] = {}  # by attempt

    def labels(self) -> dict[str, str]:
        """What this machine can provide."""
        return {key: value for provider in self._providers for key, value in provider.labels().items()}

    def known(self, common: Common) -> Ready | None:
        """The environment of a job's tasks, if it is here."""
        wanted = common.app.environment
        if not wanted.kind:
            return AS_IT_IS
        provider = self._provider(wanted)
        files = self._files(common)
        return provider.known(wanted, files) if provider is not None and files is not None else None

    def digests(self, common: Common) -> dict[str, int]:
        """Blobs that its making needs, with their sizes: a build may read any of the application's own files."""
        if not common.app.environment.kind or not any(True for _ in common.app.environment.paths()):
            return {}
        return {sha256: size for _, sha256, size, _ in _entries(common)}

    async def ensure(self, attempt: Attempt, common: Common) -> Ready:
        """Makes it where it is not here; the blobs of ``digests`` are. Raises EnvironmentFailed."""
        wanted = common.app.environment
        if not wanted.kind:
            return AS_IT_IS
        provider, files = self._provider(wanted), self._files(common)
        if provider is None:
            raise EnvironmentFailed(f"this agent cannot provide an environment with {wanted.kind}")
        if files is None:
            raise EnvironmentFailed("the application's own files are not here", transient=True)
        told: list[str] = []

        def say(text: str) -> None:
            told.append(text)
            self._tell(attempt, text)

        ready = await provider.ensure(wanted, files, say, trusted=self._trusts(common))
        if told:
            self._tell(attempt, "")  # how far it is says nothing any more
        return ready

    def hold(self, attempt: Attempt, common: Common, ready: Ready) -> None:
        """The attempt's program will run in it."""
        provider = self._provider(common.app.environment)
        if provider is not None and ready.identity and attempt.key not in self._held:
            provider.hold(ready.identity)
            self._held[attempt.key] = (provider, ready.identity)

    def take_up(self, attempt: Attempt, common: Common) -> None:
        """An earlier agent has started its program, which may still run in it."""
        self.hold(attempt, common, Ready(attempt.environment))

    def release(self, key: str) -> None:
        """It has ended."""
        if (held := self._held.pop(key, None)) is not None:
            provider, identity = held
            provider.release(identity)

    async def run(self, every_s: float) -> None:
        """Keeps them within their bounds, for ever."""
        while True:
            for provider in self._providers:
                try:
                    await provider.collect()
                except OSError as error:
                    log.warning("environments_not_collected", error=str(error))
            await asyncio.sleep(every_s)

    def _provider(self, wanted: Environment) -> Provider | None:
        return next((one for one in self._providers if one.handles(wanted)), None)

    def _files(self, common: Common) -> Files | None:
        """The application's own files by their paths; none where it needs none, None where one is missing here."""
        if not any(True for _ in common.app.environment.paths()):
            return {}
        found = {path: self._find(sha256) for path, sha256, _, _ in _entries(common)}
        here = {path: place for path, place in found.items() if place is not None}
        return here if len(here) == len(found) else None


def _entries(common: Common) -> Sequence[tuple[str, str, int, int]]:
    return common.program.files if common.job.files is None else common.job.files
