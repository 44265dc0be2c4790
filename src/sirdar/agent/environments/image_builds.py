"""Environments that are built from a Containerfile among the application's files: ``environment: {build: Containerfile}``."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from sirdar.agent.environments.base import EnvironmentFailed, Files, Ready, Say
from sirdar.agent.environments.builders import end_builder, note_builder
from sirdar.agent.environments.builds import Builds
from sirdar.agent.environments.containerfile import content, seen
from sirdar.agent.environments.engines import Engine, Said, end_tree, run
from sirdar.agent.environments.image_store import ImageStore, Kept, id_of, must, size_of
from sirdar.agent.environments.pulling import pull, with_logins
from sirdar.agent.environments.registry import Described, ImageName, NoSuchImage, describe
from sirdar.agent.events import get_logger
from sirdar.agent.porter.facts_log import boot_id
from sirdar.domain.environment import LABELS, Environment

log = get_logger(__name__)

NAME = "sirdar-build"
BUILD = "build-"
DOCUMENTS_KEPT = 200
_STEP = re.compile(r"STEP (\d+)/(\d+): (.*)|Step (\d+)/(\d+) : (.*)")
REFUSED = (
    "a Containerfile's commands run as root while it is built by this machine's engine, and are built here for its owner only "
    "(policy.yaml: environments: {builds: all}, or a podman without root)"
)
_TRANSIENT = (
    "no space left on device",
    "i/o timeout",
    "connection refused",
    "Temporary failure",
    "TLS handshake timeout",
)


class ImageBuilds:
    """``registry``: where images that were built are put and looked for, as in ``registry.example.org/sirdar``; may be empty.

    ``build_s``: how long one build may take.
    """

    def __init__(
        self,
        store: ImageStore,
        *,
        retry_s: float,
        registry: str = "",
        network: bool = True,
        build_s: float = 3600.0,
    ) -> None:
        self._store = store
        self._registry = registry.rstrip("/")
        self._network = network
        self._build_s = build_s
        self._builds: Builds[Kept] = Builds(retry_s)
        self._built: dict[str, str] = {}  # content -> identity
        self._contents: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}

    def labels(self) -> dict[str, str]:
        return self._store.labels(LABELS["build"], "podman", "docker")

    def handles(self, wanted: Environment) -> bool:
        return wanted.build is not None

    def known(self, wanted: Environment, files: Files) -> Ready | None:
        identity = self._built.get(self._contents.get(_key(wanted, files), ""), "")
        kept = self._store.find(identity) if identity else None
        return kept.ready() if kept is not None else None

    async def ensure(self, wanted: Environment, files: Files, say: Say, *, trusted: bool) -> Ready:
        path = wanted.build or ""
        parts = await asyncio.to_thread(_parts, path, files)
        name = await asyncio.to_thread(content, path, parts)
        make = partial(self._make, name, path, parts, trusted)
        kept = await self._builds.share((name, trusted), make, say)
        if len(self._contents) > DOCUMENTS_KEPT:
            self._contents.clear()
        self._contents[_key(wanted, files)] = name
        self._built[name] = kept.identity
        return kept.ready()

    async def _make(self, name: str, path: str, parts: Mapping[str, Path], trusted: bool, say: Say) -> Kept:
        """What is here, else what another agent has built, else it is built: by root's engine only for who is trusted."""
        engine = await self._store.open()
        if engine.kind == "apptainer":
            raise EnvironmentFailed("images are built by podman or docker; this agent has apptainer")
        local = f"localhost/{NAME}:{name[:32]}"
        if (known := self._built.get(name)) and await self._store.is_here(known) and (kept := self._store.find(known)):
            return kept
        shared = ImageName.parse(f"{self._registry}/{NAME}:{name[:32]}") if self._registry else None
        if shared is not None and (found := await self._shared(shared)) is not None:
            return await pull(self._store, shared, found, say)
        before = await id_of(engine, local)
        if before is None and not trusted and not engine.rootless:
            raise EnvironmentFailed(REFUSED)
        if before is None:
            await self._build(engine, local, path, parts, say)
        image = must(await id_of(engine, local), local)
        identity = await self._push(engine, local, shared, say) if shared is not None else ""
        size = int(must(await size_of(engine, image), local))
        return self._store.add(identity or f"sha256:{image}", image, size, own=True)

    async def _shared(self, name: ImageName) -> Described | None:
        """As the registry has it. Where it does not answer, the image is built here."""
        try:
            return await asyncio.to_thread(describe, name, self._store.credentials.of(name))
        except NoSuchImage:
            return None
        except EnvironmentFailed as error:
            log.warning("registry_not_asked", image=str(name), error=str(error))
            return None

    async def _build(self, engine: Engine, tag: str, path: str, parts: Mapping[str, Path], say: Say) -> None:
        steps: asyncio.Queue[str] = asyncio.Queue()
        telling = asyncio.create_task(_tell_steps(steps, say))
        place = Path(tempfile.mkdtemp(prefix=BUILD, dir=self._store.folder))
        folder, temporary = place / "context", place / "tmp"  # what a build that is broken off leaves goes with it
        temporary.mkdir()
        builder = with_logins(engine, self._store)
        builder = replace(builder, env={**builder.env, "TMPDIR": str(temporary)})
        try:
            await asyncio.to_thread(_lay_out, folder, parts)
            words = [
                "build",
                "--tag",
                tag,
                "--label",
                f"sirdar.built={tag.rpartition(':')[2]}",
                "--file",
                str(folder / path),
            ]
            words += ["--authfile", str(self._store.credentials.path)] if engine.kind == "podman" else []
            words += [] if self._network else ["--network", "none"]
            log.info("image_build", image=tag)
            async with asyncio.timeout(self._build_s):
                note = partial(note_builder, place, boot=boot_id())
                said = await run(builder, [*words, str(folder)], heard=steps.put_nowait, started=note)
        except TimeoutError:
            raise EnvironmentFailed(
                f"the image could not be built from {path} within {self._build_s:g} s, which is this agent's limit"
            ) from None
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
        if said.code != 0:
            raise EnvironmentFailed(
                f"the image could not be built from {path}: {said.last}",
                log=said.text,
                transient=any(words in said.text for words in _TRANSIENT),
            )

    async def _push(self, engine: Engine, local: str, name: ImageName, say: Say) -> str:
        """Gives it to the others; returns what it is called there. Where that fails it is used here all the same."""
        if (answer := say(f"pushing the image to {name.registry}")) is not None:
            await answer
        said = await self._pushed(engine, local, name)
        found = await self._shared(name) if said.code == 0 else None
        if found is None:
            log.warning("image_not_pushed", image=str(name), error=said.last)
            return ""
        return f"{name.bare}@{found.digest}"

    async def _pushed(self, engine: Engine, local: str, name: ImageName) -> Said:
        if engine.kind == "docker":
            said = await run(engine, ["tag", local, str(name)])
            return await run(with_logins(engine, self._store), ["push", str(name)]) if said.code == 0 else said
        words = ["push", "--authfile", str(self._store.credentials.path), "--quiet"]
        words += ["--tls-verify=false"] if name.is_plain_http else []
        return await run(engine, [*words, local, f"docker://{name}"])

    def hold(self, identity: str) -> None:
        self._store.hold(identity)

    def release(self, identity: str) -> None:
        self._store.release(identity)

    async def collect(self) -> None:
        """``Images`` does it for all that lies in the store."""


def end_forgotten_builds(folder: Path) -> None:
    """Ends the builds of an agent that was killed, and removes what they leave beside the images. Blocks."""
    for place in folder.glob(f"{BUILD}*"):
        end_builder(place, boot_id(), end_tree)
        shutil.rmtree(place, ignore_errors=True)


def _key(wanted: Environment, files: Files) -> tuple[str, tuple[tuple[str, str], ...]]:
    return wanted.build or "", tuple(sorted((name, str(place)) for name, place in files.items()))


def _parts(path: str, files: Files) -> dict[str, Path]:
    """Blocks; raises EnvironmentFailed."""
    if path not in files:
        raise EnvironmentFailed(f"the application has no file {path}")
    text = files[path].read_text(encoding="utf-8", errors="replace")
    return {name: files[name] for name in seen(text, path, files)}


def _lay_out(folder: Path, parts: Mapping[str, Path]) -> None:
    """Copies: a build must not get at the cache's own bytes. What begins as a script can be executed."""
    folder.mkdir()
    for name, place in parts.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, target)
        with target.open("rb") as file:
            target.chmod(0o755 if file.read(4)[:2] == b"#!" else 0o644)


async def _tell_steps(heard: "asyncio.Queue[str]", say: Say) -> None:
    while True:
        text = await heard.get()
        for step in _STEP.finditer(text):
            at, of, what = step.group(1, 2, 3) if step[1] else step.group(4, 5, 6)
            answer = say(f"building the image, step {at} of {of}: {what.strip()[:120]}")
            if answer is not None:
                await answer
