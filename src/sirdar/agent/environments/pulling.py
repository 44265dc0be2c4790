"""Brings an image from a registry into the engine's storage, and tells how far that is."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sirdar.agent.environments.base import EnvironmentFailed, Say
from sirdar.agent.environments.engines import Engine, Said, run
from sirdar.agent.environments.image_store import ImageStore, Kept, id_of, must, size_of
from sirdar.agent.environments.registry import Described, ImageName
from sirdar.agent.events import get_logger
from sirdar.domain.units import parse_size

log = get_logger(__name__)

TELL_EVERY_S = 1.0
_BAR = re.compile(r"([0-9a-f]{12})[^\r\n]*?([\d.]+) ?([kKMGT]?i?[bB]) ?/ ?[\d.]+ ?[kKMGT]?i?[bB]")
_DONE = re.compile(r"([0-9a-f]{12})[: ]+(?:done|skipped|Pull complete|Already exists|Download complete)")
_DISK_FULL = "no space left on device"


async def pull(store: ImageStore, name: ImageName, described: Described, say: Say) -> Kept:
    """By its digest: what the name meant when it was asked for. Raises EnvironmentFailed."""
    engine = await store.open()
    exact = f"{name.bare}@{described.digest}"
    if engine.kind == "apptainer":
        return await _pull_file(store, name, exact, say)
    before = await id_of(engine, exact)
    if before is None:
        await _pull(store, engine, name, exact, described.layers, say)
        log.info("image_pulled", image=exact)
    image = must(await id_of(engine, exact), exact)
    size = int(must(await size_of(engine, image), exact))
    return store.add(exact, image, size, own=before is None)


async def _pull(
    store: ImageStore, engine: Engine, name: ImageName, exact: str, layers: Mapping[str, int], say: Say
) -> None:
    progress = Progress(layers)
    words = ["pull", exact]
    if engine.kind == "podman":
        words = ["pull", "--authfile", str(store.credentials.path)]
        words += ["--tls-verify=false", exact] if name.is_plain_http else [exact]
    telling = asyncio.create_task(_tell(name, progress, say))
    try:
        said = await run(with_logins(engine, store), words, heard=progress.hear, terminal=True)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    if said.code != 0:
        raise refused(name, said)


async def _tell(name: ImageName, progress: "Progress", say: Say) -> None:
    while True:
        answer = say(f"pulling image {name}{progress.words()}")
        if answer is not None:
            await answer
        await asyncio.sleep(TELL_EVERY_S)


async def _pull_file(store: ImageStore, name: ImageName, exact: str, say: Say) -> Kept:
    """Apptainer keeps an image in a file."""
    path = store.folder / f"{hashlib.sha256(exact.encode()).hexdigest()}.sif"
    size = await size_of(store.engine, str(path))
    if size is None:
        answer = say(f"pulling image {name}")
        if answer is not None:
            await answer
        draft = path.with_suffix(".new")
        words = ["pull", "--force", *(["--no-https"] if name.is_plain_http else []), str(draft), f"docker://{exact}"]
        said = await run(_logged_in(store, name), words)
        if said.code != 0:
            raise refused(name, said)
        draft.replace(path)
        size = path.stat().st_size
    return store.add(exact, str(path), size, own=True)


def _logged_in(store: ImageStore, name: ImageName) -> Engine:
    """Apptainer takes one login, by its environment: everybody on the machine sees command lines. Raises EnvironmentFailed."""
    try:
        user, colon, password = base64.b64decode(store.credentials.of(name)).decode().partition(":")
    except ValueError:
        raise EnvironmentFailed(f"the agent's credentials for {name.registry} are no name and password") from None
    login = {"APPTAINER_DOCKER_USERNAME": user, "APPTAINER_DOCKER_PASSWORD": password} if colon else {}
    return replace(store.engine, env={**_without_logins(store.engine.env), **login})


def _without_logins(env: Mapping[str, str]) -> dict[str, str]:
    """Those of whoever runs the agent are not the agent's."""
    return {name: value for name, value in env.items() if not name.endswith(("_DOCKER_USERNAME", "_DOCKER_PASSWORD"))}


def refused(name: ImageName, said: Said) -> EnvironmentFailed:
    """Why an engine did not pull or push: the registry was asked before, so this is mostly the network or the disk."""
    if _DISK_FULL in said.text:
        return EnvironmentFailed(f"image {name}: the disk of the resource is full", log=said.text, transient=True)
    wants = "unauthorized" in said.text or "denied" in said.text
    return EnvironmentFailed(f"image {name} could not be pulled: {said.last}", log=said.text, transient=not wants)


def with_logins(engine: Engine, store: ImageStore) -> Engine:
    """Docker takes credentials from a directory, where they have another name."""
    if engine.kind != "docker":
        return engine
    folder = store.folder / "docker"
    folder.mkdir(mode=0o700, exist_ok=True)
    link = folder / "config.json"
    if not link.is_symlink():
        link.symlink_to(Path("..") / ".." / store.credentials.path.name)
    return replace(engine, env={**engine.env, "DOCKER_CONFIG": str(folder)})


class Progress:
    """How much of an image is here, from what the engine writes on a terminal. ``layers``: sizes by digest; may be empty."""

    def __init__(self, layers: Mapping[str, int]) -> None:
        self._sizes = {digest.removeprefix("sha256:")[:12]: size for digest, size in layers.items()}
        self._done = dict.fromkeys(self._sizes, 0)
        self._rest = ""

    def hear(self, text: str) -> None:
        lines = (self._rest + text).replace("\r", "\n").split("\n")
        self._rest = lines.pop()
        for line in lines:
            if (bar := _BAR.search(line)) is not None:
                self._note(bar[1], parse_size(f"{bar[2]} {bar[3]}"))
            elif (done := _DONE.search(line)) is not None:
                self._note(done[1], self._sizes.get(done[1], 0))

    def _note(self, layer: str, size_bytes: int) -> None:
        if layer in self._sizes:  # the configuration is among them, too
            self._done[layer] = min(self._sizes[layer], max(self._done[layer], size_bytes))

    def words(self) -> str:
        """``, 340 of 900 MB``; empty where the size is not known."""
        whole = sum(self._sizes.values())
        if not whole:
            return ""
        unit, size = ("MB", 1_000_000) if whole >= 1_000_000 else ("kB", 1000)
        return f", {sum(self._done.values()) // size} of {max(1, whole // size)} {unit}"
