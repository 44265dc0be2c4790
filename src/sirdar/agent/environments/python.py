"""Environments of Python packages, made by uv: of a list of requirements, of a lock, or of an interpreter alone."""

import asyncio
import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from sirdar.agent.environments.base import EnvironmentFailed, Files, Ready, Say
from sirdar.agent.environments.builds import tell
from sirdar.agent.environments.interpreters import Interpreter, Interpreters
from sirdar.agent.environments.keys import contents, lay_out
from sirdar.agent.environments.locks import check_pylock, check_uv_lock, python_of, read_lock
from sirdar.agent.environments.requirements import included, read_text
from sirdar.agent.environments.store import Draft, EnvironmentStore
from sirdar.agent.environments.stored import StoredEnvironments
from sirdar.agent.environments.tool import ToolLog, run_tool
from sirdar.agent.environments.uv import Progress, Uv, failure, find_uv, version_of
from sirdar.domain.environment import LABELS, Environment

KINDS = ("requirements", "lock", "python")
FORMAT = 1  # of what a key is made of, and of how an environment is made
COMPILE_S = 600.0
NO_UV = "this machine has no uv, which makes environments: pip install 'sirdar[agent]' brings it, or put uv on the agent's PATH"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an environment is made of: the application's files, of which ``main`` is given to uv, and which interpreters fit."""

    kind: str  # requirements, uv.lock, pylock or python
    paths: Sequence[str]
    pythons: Sequence[str]

    @property
    def main(self) -> str:
        return self.paths[0] if self.paths else ""


class PythonEnvironments(StoredEnvironments):
    """A Provider. ``downloads``: uv may bring interpreters."""

    def __init__(
        self,
        store: EnvironmentStore,
        *,
        downloads: bool = False,
        retry_s: float = 60.0,
        build_s: float = 3600.0,
        find: Callable[[], str | None] = find_uv,
    ) -> None:
        super().__init__(store, retry_s=retry_s, build_s=build_s)
        self._downloads = downloads
        self._find = find
        self._interpreters = Interpreters(downloads=downloads)
        self._uv: Uv | None = None

    def labels(self) -> Mapping[str, str]:
        path = self._find()
        version = version_of(path) if path is not None else ""
        return {LABELS["python"]: f"uv {version}"} if version else {}

    def handles(self, wanted: Environment) -> bool:
        return wanted.kind in KINDS

    async def ensure(self, wanted: Environment, files: Files, say: Say, *, trusted: bool) -> Ready:
        recipe = await asyncio.to_thread(read_recipe, wanted, files)
        uv = await self._tool()
        interpreter = await self._interpreters.choose(uv, recipe.pythons)
        key = await asyncio.to_thread(key_of, recipe, files, interpreter, uv.major)
        self._keys.remember(wanted, files, recipe.paths, key)
        if (found := self._store.find(key)) is not None:
            return found
        make = partial(self._make, recipe, files, interpreter, uv, key, trusted)
        return await self._builds.share((key, trusted), make, say)

    # ------------------------------------------------------------ making

    async def _tool(self) -> Uv:
        if self._uv is None or not os.access(self._uv.path, os.X_OK):
            path = self._find()
            if path is None:
                raise EnvironmentFailed(NO_UV)
            version = await asyncio.to_thread(version_of, path)
            if not version:
                raise EnvironmentFailed(f"uv does not work on this machine: {path} --version says nothing")
            self._uv = Uv(path, self._store.cache, downloads=self._downloads, version=version)
        return self._uv

    async def _make(
        self, recipe: Recipe, files: Files, interpreter: Interpreter, uv: Uv, key: str, trusted: bool, say: Say
    ) -> Ready:
        async def fill(draft: Draft) -> Ready:
            await tell(say, f"building environment: Python {interpreter.name}")
            build = _Build(self._store, draft, recipe, interpreter, uv, trusted, self._build_s)
            await asyncio.to_thread(build.lay_out, files)
            await build.install(say)
            await tell(say, "building environment: compiling")
            await build.compile()
            return await asyncio.to_thread(build.finish)

        return await self._made(key, fill)


@dataclass(slots=True)
class _Build:
    """One making of one environment."""

    store: EnvironmentStore
    draft: Draft
    recipe: Recipe
    interpreter: Interpreter
    uv: Uv
    trusted: bool
    within_s: float

    def lay_out(self, files: Files) -> None:
        """Copies what uv reads under the names that it expects."""
        lay_out(self.recipe.paths, files, self.draft.build / "app")
        if self.recipe.kind != "uv.lock":  # so that uv does not look for settings further up
            (self.draft.build / "uv.toml").touch()

    async def install(self, say: Say) -> None:
        """Raises EnvironmentFailed."""
        log = ToolLog()
        progress = Progress(partial(tell, say))
        for words in self._commands():
            cwd = self.draft.build / "app" / PurePosixPath(self.recipe.main).parent
            cwd.mkdir(parents=True, exist_ok=True)
            code = await self.uv.run(words, cwd, log, progress.hear, self._note, self.within_s, self._variables())
            if code:
                raise failure("the environment could not be made", log.text, may_build=self.trusted)

    def _commands(self) -> list[list[str]]:
        folder, python = str(self.draft.folder), f"{self.draft.folder}/bin/python"
        main = PurePosixPath(self.recipe.main).name
        wheels = (
            [] if self.trusted else ["--no-build"]
        )  # making a wheel runs the package's own code, here, without a sandbox
        made = ["venv", "--quiet", "--no-project", "--python", self.interpreter.executable, folder]
        install = {
            "requirements": [["pip", "install", "--python", python, *wheels, "-r", main]],
            "pylock": [["pip", "sync", "--python", python, *wheels, "--allow-empty-requirements", main]],
            "uv.lock": [
                [
                    "sync",
                    "--frozen",
                    "--no-install-project",
                    "--no-dev",
                    "--python",
                    self.interpreter.executable,
                    *wheels,
                ]
            ],
            "python": [],
        }
        return [made, *install[self.recipe.kind]]

    def _variables(self) -> dict[str, str]:
        temporary = self.draft.build / "tmp"
        temporary.mkdir(exist_ok=True)
        return {"UV_PROJECT_ENVIRONMENT": str(self.draft.folder), "TMPDIR": str(temporary)}

    async def compile(self) -> None:
        """With the bare interpreter: the environment's own would run code of its packages. What does not compile is no fault."""

        async def silent(line: str) -> None:
            return

        words = [self.interpreter.executable, "-I", "-m", "compileall", "-q", "-j", "0", str(self._packages())]
        env = {"PATH": os.environ.get("PATH", os.defpath)}
        await run_tool(
            words,
            cwd=self.draft.build,
            env=env,
            log=ToolLog(),
            hear=silent,
            started=self._note,
            within_s=COMPILE_S,
        )

    def finish(self) -> Ready:
        """Blocks. Raises OSError."""
        folder = str(self.draft.folder)
        ready = Ready(
            identity=self.draft.key,
            env={"VIRTUAL_ENV": folder},
            path=[f"{folder}/bin"],
            read=[folder, self.interpreter.prefix],
        )
        about = {"kind": self.recipe.kind, "python": self.interpreter.name, "uv": self.uv.version}
        probes = [self.draft.folder / "bin" / "python", self._packages()]
        return self.store.publish(self.draft, ready, probes, about)

    def _packages(self) -> Path:
        major, minor = self.interpreter.version[:2]
        return self.draft.folder / "lib" / f"python{major}.{minor}" / "site-packages"

    def _note(self, pid: int) -> None:
        self.store.note_builder(self.draft, pid)


# ---------------------------------------------------------------- what it is made of


def read_recipe(wanted: Environment, files: Files) -> Recipe:
    """Blocks. Raises EnvironmentFailed, where it asks for what cannot be given, and OSError."""
    python = wanted.python or ""
    if wanted.requirements is not None:
        return Recipe("requirements", included(wanted.requirements, files), [python])
    if wanted.lock is None:
        return Recipe("python", [], [python])
    lock = read_lock(wanted.lock, read_text(wanted.lock, files))
    pythons = [python, python_of(lock)]
    if PurePosixPath(wanted.lock).name != "uv.lock":
        check_pylock(wanted.lock, lock)
        return Recipe("pylock", [wanted.lock], pythons)
    check_uv_lock(wanted.lock, lock)
    project = str(PurePosixPath(wanted.lock).with_name("pyproject.toml"))
    read_lock(project, read_text(project, files))
    return Recipe("uv.lock", [wanted.lock, project], pythons)


def key_of(recipe: Recipe, files: Files, interpreter: Interpreter, uv: str) -> str:
    """What tells environments apart. Blocks. Raises OSError."""
    parts = [
        FORMAT,
        recipe.kind,
        contents(recipe.paths, files),
        [interpreter.executable, interpreter.name, interpreter.abi],
        [platform.system(), platform.machine()],
        uv,
    ]
    return "sha256:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()
