"""What providers have in common whose environments are directories of one store."""

import asyncio
from collections.abc import Awaitable, Callable

from sirdar.agent.environments.base import Files, Ready
from sirdar.agent.environments.builds import Builds
from sirdar.agent.environments.keys import Keys
from sirdar.agent.environments.store import Draft, EnvironmentStore
from sirdar.domain.environment import Environment


class StoredEnvironments:
    """``retry_s``: how long a failure is remembered; ``build_s``: how long a making may take."""

    def __init__(self, store: EnvironmentStore, *, retry_s: float, build_s: float) -> None:
        self._store = store
        self._build_s = build_s
        self._builds: Builds[Ready] = Builds(retry_s)
        self._keys = Keys()
        self._tidying: asyncio.Task[None] | None = None

    def known(self, wanted: Environment, files: Files) -> Ready | None:
        """Of what was asked for before in this life of the agent: a few looks at files."""
        key = self._keys.find(wanted, files)
        return self._store.find(key) if key is not None else None

    def hold(self, identity: str) -> None:
        self._store.hold(identity)

    def release(self, identity: str) -> None:
        self._store.release(identity)

    async def collect(self) -> None:
        await asyncio.to_thread(self._store.collect)

    async def _made(self, key: str, fill: Callable[[Draft], Awaitable[Ready]]) -> Ready:
        """A draft, filled and published by ``fill``; nothing of it is left where that fails."""
        draft = await asyncio.to_thread(self._store.begin, key)
        try:
            ready = await fill(draft)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._store.discard, draft))
            raise
        self._tidying = asyncio.create_task(self.collect())  # something new has come
        self._tidying.add_done_callback(lambda task: task.cancelled() or task.exception())
        return ready
