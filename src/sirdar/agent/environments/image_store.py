"""The images that this agent uses: which of them it brought here itself, when each was used last, and which may go.

``images.json`` in the agent's home keeps that. Nothing is ever removed that the agent did not pull or build.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sirdar.agent.environments.base import EnvironmentFailed, Ready
from sirdar.agent.environments.engines import Engine, find_engine, run
from sirdar.agent.environments.registry import Credentials
from sirdar.agent.events import get_logger
from sirdar.agent.home import write_private
from sirdar.agent.wraps.seccomp import without

log = get_logger(__name__)

FILE_NAME = "images.json"
AUTH_NAME = "auth.json"
FILTER_NAME = "containers-seccomp.json"


@dataclass(slots=True)
class Kept:
    """One image. ``image``: its id in the engine's storage, or its file; ``own``: we brought it here; ``used_at``: wall clock."""

    identity: str
    image: str
    size_bytes: int
    own: bool
    used_at: float

    def ready(self) -> Ready:
        return Ready(self.identity, image=self.image)


class ImageStore:
    """``bound_bytes``: how much the agent's own images may take, by their whole sizes (layers that they share count for each)."""

    def __init__(self, home: Path, *, engine: str, bound_bytes: int) -> None:
        self.home = home
        self.folder = home / "images"
        self.credentials = Credentials(home / AUTH_NAME)
        self._file = home / FILE_NAME
        self._bound_bytes = bound_bytes
        self._wanted = engine
        self._engine: Engine | None = None
        self._opening = asyncio.Lock()
        self._probing = threading.Lock()
        self._opened = False
        self._kept: dict[str, Kept] = {}
        self._held: Counter[str] = Counter()

    @property
    def engine(self) -> Engine:
        """Known as soon as an image is ready."""
        assert self._engine is not None
        return self._engine

    async def open(self) -> Engine:
        """Finds the engine, and which images of the last life are still here. Raises EnvironmentFailed."""
        async with self._opening:
            engine = await asyncio.to_thread(self.probe)
            if not self._opened:
                self.folder.mkdir(mode=0o700, exist_ok=True)
                await asyncio.to_thread(self.credentials.ready)
                for one in self._read():
                    if await size_of(engine, one.image) is not None:
                        self._kept.setdefault(one.identity, one)
                self._opened = True
            return engine

    def probe(self) -> Engine:
        """The engine, asked for until there is one. Blocks; raises EnvironmentFailed."""
        with self._probing:
            if self._engine is None:
                self._engine = _with_filter(find_engine(self._wanted), self.home)
            return self._engine

    def labels(self, name: str, *kinds: str) -> dict[str, str]:
        """The label of an agent whose engine is one of these. Blocks."""
        try:
            engine = self.probe()
        except EnvironmentFailed as error:
            log.debug("no_container_engine", error=str(error))
            return {}
        return {name: f"{engine.kind} {engine.version}"} if engine.kind in kinds else {}

    def find(self, identity: str) -> Kept | None:
        """An image that is here. It counts as used now."""
        one = self._kept.get(identity)
        if one is not None:
            one.used_at = time.time()
        return one

    async def is_here(self, identity: str) -> bool:
        """Whether the engine still has it: its owner may have removed it."""
        one = self._kept.get(identity)
        if one is None:
            return False
        if await size_of(self.engine, one.image) is None:
            self._forget(one)
            return False
        return True

    def add(self, identity: str, image: str, size_bytes: int, *, own: bool) -> Kept:
        """``own``: it was not here before."""
        before = next((one for one in self._kept.values() if one.image == image), None)
        kept = Kept(identity, image, size_bytes, own or (before is not None and before.own), time.time())
        self._kept[identity] = kept
        self._write()
        return kept

    def hold(self, identity: str) -> None:
        self._held[identity] += 1
        self.find(identity)

    def release(self, identity: str) -> None:
        self._held[identity] -= 1
        if self._held[identity] <= 0:
            del self._held[identity]
        self.find(identity)

    async def collect(self) -> None:
        """Removes own images that no task uses, those used longest ago first, until the rest keeps within the bound."""
        if not self._opened:
            return
        for one in sorted(self._kept.values(), key=lambda one: one.used_at):
            if self._size_bytes() <= self._bound_bytes:
                break
            if one.own and one.identity not in self._held:
                self._forget(one)
                await self._remove(one)
        self._write()

    def _size_bytes(self) -> int:
        return sum({one.image: one.size_bytes for one in self._kept.values() if one.own}.values())

    def _forget(self, one: Kept) -> None:
        self._kept.pop(one.identity, None)
        self._write()

    async def _remove(self, one: Kept) -> None:
        """One that is still in use, by a container or under a name that others gave it, stays: nothing is forced."""
        if any(other.image == one.image for other in self._kept.values()):
            return
        if self.engine.kind == "apptainer":
            await asyncio.to_thread(Path(one.image).unlink, missing_ok=True)
            return
        said = await run(self.engine, ["rmi", one.image])
        event = "image_removed" if said.code == 0 else "image_stays"
        log.info(event, image=one.identity, why=None if said.code == 0 else said.last)

    def _read(self) -> list[Kept]:
        try:
            return [Kept(**one) for one in json.loads(self._file.read_text())]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            log.warning("images_unreadable", error=str(error))
            return []

    def _write(self) -> None:
        try:
            write_private(self._file, json.dumps([asdict(one) for one in self._kept.values()], indent=1) + "\n")
        except OSError as error:  # a full disk: what is not written is not removed later either
            log.warning("images_not_written", error=str(error))


def _with_filter(engine: Engine, home: Path) -> Engine:
    """Podman's own filter of system calls lets programs make user namespaces and keys, which have let some out. Ours does not."""
    if not engine.seccomp:
        return engine
    path = home / FILTER_NAME
    try:
        write_private(path, json.dumps(without(json.loads(Path(engine.seccomp).read_text()))))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailed(
            f"the engine's profile of system calls, {engine.seccomp}, cannot be read: {error}"
        ) from None
    return replace(engine, seccomp=str(path))


async def size_of(engine: Engine, image: str) -> int | None:
    """Of an image in the engine's storage, by name or id; None where there is none."""
    if engine.kind == "apptainer":
        return await asyncio.to_thread(_file_bytes, Path(image))
    said = await run(engine, ["image", "inspect", "--format", "{{.Size}}", image])
    return int(said.text) if said.code == 0 else None


def _file_bytes(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


async def id_of(engine: Engine, image: str) -> str | None:
    """The whole id of an image in the engine's storage; None where there is none of this name."""
    said = await run(engine, ["image", "inspect", "--format", "{{.Id}}", image])
    return said.text.strip().removeprefix("sha256:") if said.code == 0 else None


def must(value: "str | int | None", what: str) -> str:
    """What an engine has just made and says nothing of is not there. Raises EnvironmentFailed."""
    if value is None:
        raise EnvironmentFailed(f"{what} is not among the engine's images")
    return str(value)
