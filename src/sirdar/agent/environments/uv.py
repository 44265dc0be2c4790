"""uv: where it is, how it is called, what it says while it works, and what its faults mean.

Where packages come from is the owner's choice, in uv's own words: ``UV_*`` variables of the agent's environment, or ``uv.toml``.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.environments.tool import ToolLog, plain_environment, run_tool

QUICK_S = 60.0
VERSION_S = 10.0
DOWNLOAD_S = 900.0
# They would lead uv to other environments, interpreters or caches than ours.
OWN = (
    "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_WORKING_DIR", "UV_NO_CACHE", "UV_FROZEN",
    "UV_LOCKED", "UV_TARGET", "UV_PREFIX", "UV_VENV_CLEAR", "UV_VENV_SEED", "UV_VENV_RELOCATABLE", "UV_MANAGED_PYTHON",
    "UV_NO_MANAGED_PYTHON", "UV_COMPILE_BYTECODE", "UV_NO_INSTALL_PROJECT", "UV_DRY_RUN",
)  # fmt: skip
_UNREACHABLE = re.compile(
    r"error sending request|dns error|failed to lookup address|connection (?:refused|reset|closed)|timed out|timeout"
    r"|network is unreachable|temporary failure|\(5\d\d [A-Z]|\b(?:502|503|504)\b.*(?:gateway|unavailable)"
    r"|could not resolve host|connection failed|network connectivity is disabled",
    re.IGNORECASE,
)
_DISK_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_NO_BUILD = re.compile(
    r"building source distributions|source distributions? .*disabled|--no-build|no usable wheels|has no wheels",
    re.IGNORECASE,
)
_FAULT = re.compile(r"^\s*(?:error:|×|╰─▶|├─▶|cause:|Caused by:|hint:)\s*(?P<text>.*)")
_SENTENCE_CHARS = 400

Hear = Callable[[str], Awaitable[None]]


def find_uv() -> str | None:
    """The one that came with the agent, whose version is known; else that of the PATH."""
    own = Path(sys.executable).parent / "uv"
    return str(own) if os.access(own, os.X_OK) else shutil.which("uv")


def version_of(path: str) -> str:
    """Empty where it does not work. Blocks, the first time."""
    try:
        return _version_of(path, os.stat(path).st_mtime_ns)  # noqa: PTH116
    except OSError:
        return ""


@lru_cache(maxsize=8)
def _version_of(path: str, changed_at: int) -> str:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=VERSION_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = done.stdout.split()
    return words[1] if done.returncode == 0 and words[:1] == ["uv"] and len(words) > 1 else ""


@dataclass(slots=True)
class Uv:
    """One uv. Its cache lies beside the environments, on their file system: it links what it installs."""

    path: str
    cache: Path
    downloads: bool = False
    version: str = ""

    @property
    def major(self) -> str:
        return self.version.partition(".")[0]

    async def list_pythons(self) -> str:
        """As JSON."""
        return await self._quick("python", "list", "--only-installed", "--output-format", "json", sign="[")

    async def install_python(self, wanted: str) -> None:
        """Brings the newest that fits from where uv's builds lie. Raises EnvironmentFailed."""
        log = ToolLog()
        code = await self.run(
            ["python", "install", wanted or "3"], self.cache, log, _hear_nothing, lambda pid: None, DOWNLOAD_S
        )
        if code:
            raise failure(f"a Python for {wanted} could not be downloaded", log.text)

    async def run(
        self,
        words: Sequence[str],
        cwd: Path,
        log: ToolLog,
        hear: Hear,
        started: Callable[[int], None],
        within_s: float,
        more: Mapping[str, str] | None = None,
    ) -> int:
        """Its exit code. ``more``: variables over those that it gets anyway."""
        log.add("$ uv " + " ".join(words))
        env = {**self.environment(), **(more or {})}
        return await run_tool(
            [self.path, *words], cwd=cwd, env=env, log=log, hear=hear, started=started, within_s=within_s
        )

    def environment(self) -> dict[str, str]:
        """The agent's, without what would lead elsewhere; links, where the file system can."""
        given = {name: value for name, value in plain_environment(os.environ).items() if name not in OWN}
        given.setdefault("UV_LINK_MODE", "hardlink")
        return given | {
            "UV_CACHE_DIR": str(self.cache / "uv"),
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "manual" if self.downloads else "never",
            "UV_PYTHON_INSTALL_BIN": "0",
            "NO_COLOR": "1",
        }

    async def _quick(self, *words: str, sign: str = "") -> str:
        """The last line that begins with ``sign``, of all that it says. Raises EnvironmentFailed."""
        log = ToolLog()
        said = ""

        async def hear(line: str) -> None:
            nonlocal said
            said = line if line.startswith(sign) and line else said

        try:
            code = await self.run(words, self.cache, log, hear, lambda pid: None, QUICK_S)
        except OSError as error:
            raise EnvironmentFailed(f"uv cannot be started on this machine: {error}") from None
        if code:
            raise failure("uv does not work on this machine", log.text)
        return said


async def _hear_nothing(line: str) -> None:
    return


class Progress:
    """What uv's lines say of how far it is, in words for a job's status."""

    def __init__(self, say: Hear) -> None:
        self._say = say
        self._total = 0
        self._fetched = 0

    async def hear(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        if word == "Resolved" and rest.split(" ", 1)[0].isdecimal():
            self._total = int(rest.split(" ", 1)[0])
            await self._say(f"building environment: fetching {_packages(self._total)}")
        elif word in {"Downloading", "Building", "Updating"}:
            await self._say(f"building environment: {word.lower()} {rest}{self._count()}")
        elif word in {"Downloaded", "Built", "Updated"}:
            self._fetched += 1
        elif word == "Prepared":
            await self._say(f"building environment: installing {_packages(self._total)}")

    def _count(self) -> str:
        large = f"; {self._fetched} large ones are here" if self._fetched > 1 else ""
        return f", of {_packages(self._total)}{large}" if self._total else ""


def _packages(count: int) -> str:
    return "1 package" if count == 1 else f"{count} packages"


def failure(what: str, log: str, *, may_build: bool = True) -> EnvironmentFailed:
    """``what`` has failed, because of what the log says last."""
    if _DISK_FULL.search(log):
        return EnvironmentFailed(f"{what}: the disk of the resource is full", log=log, transient=True)
    if why := sentence(log):
        what = f"{what}: {why}"
    if not may_build and _NO_BUILD.search(log):
        advice = "policy.yaml: environments: {builds: all}"
        what += f"; packages without a wheel are not built here for other people than this machine's owner ({advice})"
    return EnvironmentFailed(what, log=log, transient=_UNREACHABLE.search(log) is not None)


def sentence(log: str) -> str:
    """What of a log says why, in one line."""
    lines = log.splitlines()
    first = next((no for no in range(len(lines)) if _FAULT.match(lines[no])), None)
    if first is None:
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:_SENTENCE_CHARS]
    said = []
    for line in lines[first:]:
        match = _FAULT.match(line)
        text = (match["text"] if match is not None else line.strip("│ \t")).strip()
        if text:
            said.append(text)
    return "; ".join(said)[:_SENTENCE_CHARS]
