"""Environments of conda packages, by whichever of its tools this machine has. None of them comes with Sirdar.

What stands in an ``environment.yml`` may run code of its own while it is installed, so only people whose programs need no sandbox
may have one made.
"""

import asyncio
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from sirdar.agent.environments.base import EnvironmentFailed, Files, Ready, Say
from sirdar.agent.environments.builds import tell
from sirdar.agent.environments.keys import contents, lay_out
from sirdar.agent.environments.requirements import included, includes_of, read_text
from sirdar.agent.environments.store import Draft, EnvironmentStore
from sirdar.agent.environments.stored import StoredEnvironments
from sirdar.agent.environments.tool import ToolLog, plain_environment, run_tool
from sirdar.agent.environments.uv import failure
from sirdar.domain.environment import LABELS, Environment

TOOLS = ("micromamba", "mamba", "conda", "pixi")  # the first that is there is taken
FORMAT = 1
STAGES = (
    "solving",
    "collecting",
    "downloading",
    "extracting",
    "linking",
    "preparing",
    "verifying",
    "executing",
    "installing",
)
NONE = f"this machine has none of {', '.join(TOOLS)}, which make environments of conda: its owner can install one"
REFUSED = (
    "environments of conda run code of their packages while they are made, and are made here for this machine's owner only "
    "(policy.yaml: environments: {builds: all})"
)


@dataclass(frozen=True, slots=True)
class CondaTool:
    """One of ``TOOLS``."""

    name: str
    path: str

    def commands(self, folder: Path, file: str) -> list[list[str]]:
        """What makes the environment of ``file`` in ``folder``, in this order."""
        if self.name == "micromamba":
            return [[self.path, "create", "-y", "-p", str(folder), "-f", file]]
        if self.name == "pixi":
            return [
                [self.path, "init", "--import", file, str(folder)],
                [self.path, "install", "--manifest-path", str(folder / "pixi.toml")],
            ]
        return [[self.path, "env", "create", "-p", str(folder), "-f", file]]  # asks nothing, as ``environment`` says

    def prefix(self, folder: Path) -> Path:
        return folder / ".pixi" / "envs" / "default" if self.name == "pixi" else folder

    def environment(self, cache: Path) -> dict[str, str]:
        """Packages are kept beside the environments, on their file system: the tools link them. Nothing is asked."""
        packages = str(cache / "conda")
        return {
            **plain_environment(os.environ),
            "MAMBA_ROOT_PREFIX": str(cache / "mamba"),
            "CONDA_PKGS_DIRS": packages,
            "CONDA_ALWAYS_YES": "1",
            "MAMBA_ALWAYS_YES": "1",
            "MAMBA_NO_BANNER": "1",
            "PIXI_CACHE_DIR": str(cache / "pixi"),
            "PIXI_NO_PROGRESS": "1",
            "NO_COLOR": "1",
        }


def find_tool() -> CondaTool | None:
    found = ((name, shutil.which(name)) for name in TOOLS)
    return next((CondaTool(name, path) for name, path in found if path is not None), None)


class CondaEnvironments(StoredEnvironments):
    """A Provider."""

    def __init__(
        self,
        store: EnvironmentStore,
        *,
        retry_s: float = 60.0,
        build_s: float = 3600.0,
        find: Callable[[], CondaTool | None] = find_tool,
    ) -> None:
        super().__init__(store, retry_s=retry_s, build_s=build_s)
        self._find = find

    def labels(self) -> Mapping[str, str]:
        tool = self._find()
        return {LABELS["conda"]: tool.name} if tool is not None else {}

    def handles(self, wanted: Environment) -> bool:
        return wanted.conda is not None

    async def ensure(self, wanted: Environment, files: Files, say: Say, *, trusted: bool) -> Ready:
        paths = await asyncio.to_thread(_paths, wanted.conda or "", files)
        tool = self._find()
        if tool is None:
            raise EnvironmentFailed(NONE)
        key = await asyncio.to_thread(_key_of, paths, files, tool)
        self._keys.remember(wanted, files, paths, key)
        if (found := self._store.find(key)) is not None:
            return found
        if not trusted:
            raise EnvironmentFailed(REFUSED)
        return await self._builds.share(key, partial(self._make, tool, paths, files, key), say)

    async def _make(self, tool: CondaTool, paths: Sequence[str], files: Files, key: str, say: Say) -> Ready:
        async def fill(draft: Draft) -> Ready:
            await tell(say, f"building environment with {tool.name}")
            await asyncio.to_thread(lay_out, paths, files, draft.build / "app")
            await self._run(tool, draft, paths[0], say)
            return await asyncio.to_thread(_finish, self._store, tool, draft)

        return await self._made(key, fill)

    async def _run(self, tool: CondaTool, draft: Draft, main: str, say: Say) -> None:
        """Raises EnvironmentFailed."""
        log = ToolLog()

        async def hear(line: str) -> None:
            words = line.strip().strip("#│ ").split()
            if words and words[0].lower().strip(":.") in STAGES:
                await tell(say, f"building environment: {' '.join(words)[:80].lower()}")

        file = draft.build / "app" / main
        for words in tool.commands(draft.folder, str(file)):
            log.add("$ " + " ".join([tool.name, *words[1:]]))
            code = await run_tool(
                words,
                cwd=file.parent,
                env=tool.environment(self._store.cache),
                log=log,
                hear=hear,
                started=partial(self._store.note_builder, draft),
                within_s=self._build_s,
            )
            if code:
                raise failure(f"{tool.name} could not make the environment", log.text)
        if not (tool.prefix(draft.folder) / "bin").is_dir():
            raise EnvironmentFailed(f"{tool.name} said that it made the environment, and did not", log=log.text)


def _finish(store: EnvironmentStore, tool: CondaTool, draft: Draft) -> Ready:
    """Blocks. Raises OSError."""
    prefix = tool.prefix(draft.folder)
    ready = Ready(
        identity=draft.key,
        env={"CONDA_PREFIX": str(prefix)},
        path=[str(prefix / "bin")],
        read=[str(draft.folder)],
    )
    probes = [prefix / "bin", *(path for path in [prefix / "conda-meta"] if path.is_dir())]
    return store.publish(draft, ready, probes, {"kind": "conda", "tool": tool.name})


def _paths(main: str, files: Files) -> list[str]:
    """The file, and lists of requirements that its ``pip:`` includes. Blocks. Raises EnvironmentFailed and OSError."""
    try:
        document = yaml.safe_load(read_text(main, files))
    except yaml.YAMLError as error:
        raise EnvironmentFailed(f"{main} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, Mapping) or not isinstance(document.get("dependencies"), list):
        raise EnvironmentFailed(f"{main} has no list of dependencies")
    found = [main]
    for target in includes_of(main, _pip_lines(document["dependencies"])):
        if target not in files:
            raise EnvironmentFailed(f"{main} includes {target}, which is no file of the application")
        found += [path for path in included(target, files) if path not in found]
    return found


def _pip_lines(dependencies: Sequence[Any]) -> list[str]:
    parts = [part["pip"] for part in dependencies if isinstance(part, Mapping) and isinstance(part.get("pip"), list)]
    return [str(line) for part in parts for line in part]


def _key_of(paths: Sequence[str], files: Files, tool: CondaTool) -> str:
    parts = [FORMAT, "conda", contents(paths, files), tool.name, platform.system(), platform.machine()]
    return "sha256:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()
