"""Environments that are images of a registry: ``environment: {image: NAME}``."""

import asyncio
import time

from sirdar.agent.environments.base import EnvironmentFailed, Files, Ready, Say
from sirdar.agent.environments.builds import Builds
from sirdar.agent.environments.image_store import ImageStore, Kept, id_of, must, size_of
from sirdar.agent.environments.pulling import pull
from sirdar.agent.environments.registry import ImageName, NoSuchImage, describe
from sirdar.agent.events import get_logger
from sirdar.domain.environment import LABELS, Environment

log = get_logger(__name__)

FRESH_S = 600.0  # so long a tag is taken for what it meant when the registry was asked


class Images:
    """Pulled once by digest. A tag's meaning is asked for again after a while; where nobody answers, the last one holds."""

    def __init__(self, store: ImageStore, *, retry_s: float, fresh_s: float = FRESH_S) -> None:
        self._store = store
        self._fresh_s = fresh_s
        self._builds: Builds[Kept] = Builds(retry_s)
        self._known: dict[str, tuple[str, float]] = {}  # name -> identity, when it was asked for

    def labels(self) -> dict[str, str]:
        return self._store.labels(LABELS["image"], "podman", "docker", "apptainer")

    def handles(self, wanted: Environment) -> bool:
        return wanted.image is not None

    def known(self, wanted: Environment, files: Files) -> Ready | None:
        identity, at = self._known.get(str(ImageName.parse(wanted.image or "")), ("", 0.0))
        if not identity or time.monotonic() - at > self._fresh_s:
            return None
        kept = self._store.find(identity)
        return kept.ready() if kept is not None else None

    async def ensure(self, wanted: Environment, files: Files, say: Say, *, trusted: bool) -> Ready:
        name = ImageName.parse(wanted.image or "")
        # A refusal is not remembered beyond the credentials that were refused.
        key = (str(name), self._store.credentials.of(name))
        kept = await self._builds.share(key, lambda tell: self._find(name, tell), say)
        self._known[str(name)] = (kept.identity, time.monotonic())
        return kept.ready()

    async def _find(self, name: ImageName, say: Say) -> Kept:
        await self._store.open()
        if name.is_local:
            return await self._local(name)
        if name.digest and await self._store.is_here(str(name)) and (kept := self._store.find(str(name))):
            return kept  # it cannot mean anything else
        try:
            auth = self._store.credentials.of(name)
            described = await asyncio.to_thread(describe, name, auth)
        except EnvironmentFailed as error:
            if not error.transient or (last := await self._last(name)) is None:
                raise
            log.warning("registry_silent", image=str(name), error=str(error))
            return last
        exact = f"{name.bare}@{described.digest}"
        if await self._store.is_here(exact):
            return self._store.find(exact) or await pull(self._store, name, described, say)
        return await pull(self._store, name, described, say)

    async def _local(self, name: ImageName) -> Kept:
        """One that the machine's owner has made: it has no digest but that of its content."""
        engine = self._store.engine
        image = None if engine.kind == "apptainer" else await id_of(engine, str(name))
        if image is None:
            raise NoSuchImage(f"image {name}: this machine has no such image of its own")
        size = int(must(await size_of(engine, image), str(name)))
        return self._store.add(f"{name.bare}@sha256:{image}", image, size, own=False)

    async def _last(self, name: ImageName) -> Kept | None:
        """What the name meant when its registry answered last."""
        identity = f"{name.bare}@{name.digest}" if name.digest else self._known.get(str(name), ("", 0.0))[0]
        return self._store.find(identity) if identity and await self._store.is_here(identity) else None

    def hold(self, identity: str) -> None:
        self._store.hold(identity)

    def release(self, identity: str) -> None:
        self._store.release(identity)

    async def collect(self) -> None:
        await self._store.collect()
