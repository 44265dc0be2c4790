"""The Python interpreters of this machine, and which of them an environment is made with."""

import asyncio
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.environments.uv import Uv

LOOK_AGAIN_S = 60.0
ASK_PATIENCE_S = 20.0
LOOKS = ((False, False), (True, False), (True, True))  # at what is known, anew, and after uv has brought one
QUESTION = """
import json, os, sys, sysconfig
executable = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
print(json.dumps([executable, sys.base_prefix, sys.implementation.name, sys.version_info[:3],
                  sysconfig.get_config_var("SOABI") or "", sysconfig.get_platform()]))
"""
_PART = re.compile(r"\s*(===|==|~=|!=|<=|>=|<|>)?\s*(\d+(?:\.\d+)*)(\.\*)?\s*")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """``executable`` is outside of any virtual environment; ``prefix``: where its library lies; ``abi``: what it can load."""

    executable: str
    prefix: str
    version: tuple[int, ...]
    abi: str

    @property
    def name(self) -> str:
        return ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True)
class Candidate:
    """As uv lists it."""

    path: str
    version: tuple[int, ...]
    usual: bool = True  # CPython, released, with its lock


class Interpreters:
    """Asks uv which there are, at most once a minute, and each interpreter once."""

    def __init__(self, *, downloads: bool) -> None:
        self._downloads = downloads
        self._listed: tuple[float, list[Candidate]] = (0.0, [])
        self._asked: dict[str, Interpreter] = {}
        self._lock = asyncio.Lock()

    async def choose(self, uv: Uv, wanted: Sequence[str]) -> Interpreter:
        """One that fits all of ``wanted``, as in ``>=3.11``. Raises EnvironmentFailed that names those that there are.

        The ``python3`` of the agent's PATH where it fits, as by hand; else the newest.
        """
        async with self._lock:
            for anew, bring in LOOKS if self._downloads else LOOKS[:2]:
                if bring:
                    await uv.install_python(",".join(filter(None, wanted)))
                for candidate in _fitting(await self._all(uv, anew=anew), wanted):
                    if (found := await self._ask(candidate.path)) is not None:
                        return found
        raise EnvironmentFailed(self._none(wanted))

    async def _all(self, uv: Uv, *, anew: bool = False) -> list[Candidate]:
        listed_at, found = self._listed
        if not found or (anew and time.monotonic() - listed_at > LOOK_AGAIN_S) or (anew and self._downloads):
            found = parse_list(await uv.list_pythons())
            own = Candidate(sys.executable, tuple(sys.version_info[:3]))
            found = in_order([*found, own], shutil.which("python3"))
            self._listed = (time.monotonic(), found)
        return found

    async def _ask(self, path: str) -> Interpreter | None:
        """None where it does not start."""
        if (known := self._asked.get(path)) is not None and os.path.exists(known.executable):  # noqa: PTH110, ASYNC240
            return known
        try:
            async with asyncio.timeout(ASK_PATIENCE_S):
                executable, prefix, kind, version, soabi, system = json.loads(await _answer(path))
        except (TimeoutError, ValueError, OSError):
            return None
        self._asked[path] = Interpreter(executable, prefix, tuple(version), f"{kind} {soabi} {system}")
        return self._asked[path]

    def _none(self, wanted: Sequence[str]) -> str:
        first = {one.version: one.path for one in reversed(self._listed[1])}
        names = [f"{'.'.join(map(str, version))} ({first[version]})" for version in sorted(first, reverse=True)]
        here = f"there are {', '.join(names[:8])}" if names else "there is none"
        if self._downloads:
            return f"no Python for {_spoken(wanted)} can be had on this machine: {here}"
        advice = "its owner can install one, or allow uv's (policy.yaml: environments: {downloads: true})"
        return f"no Python on this machine fits {_spoken(wanted)}: {here}; {advice}"


async def _answer(path: str) -> bytes:
    """What an interpreter says of itself. Raises OSError where it cannot be started."""
    process = await asyncio.create_subprocess_exec(
        path,
        "-I",
        "-S",
        "-c",
        QUESTION,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        answer, _ = await process.communicate()
        return answer
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def parse_list(text: str) -> list[Candidate]:
    """What ``uv python list --output-format json`` says. Empty where it cannot be read."""
    try:
        rows = json.loads(text)
    except ValueError:
        return []
    found = []
    for row in rows if isinstance(rows, list) else ():
        parts, path = row.get("version_parts") or {}, row.get("path")
        if path and "minor" in parts:
            version = (parts["major"], parts["minor"], parts.get("patch", 0))
            released = re.fullmatch(r"[\d.]+", str(row.get("version", ""))) is not None
            usual = released and row.get("implementation") == "cpython" and row.get("variant") == "default"
            found.append(Candidate(path, version, usual))
    return found


def in_order(candidates: Iterable[Candidate], first: str | None) -> list[Candidate]:
    """Unusual ones last, ``first`` before the others, then by version, the newest first; each path once."""
    once = {one.path: one for one in reversed(list(candidates))}
    return sorted(
        once.values(), key=lambda one: (not one.usual, one.path != first, tuple(-part for part in one.version))
    )


def _fitting(candidates: Iterable[Candidate], wanted: Sequence[str]) -> list[Candidate]:
    return [one for one in candidates if all(fits(one.version, text) for text in wanted)]


def fits(version: Sequence[int], specifier: str) -> bool:
    """Whether a released version is in the set, as PEP 440 has it; a bare ``3.12`` is ``==3.12.*``. Empty: any.

    Raises EnvironmentFailed where it cannot be read.
    """
    if not specifier.strip():
        return True
    return all(_fits_one(tuple(version), part) for part in specifier.split(",") if part.strip())


def _fits_one(version: tuple[int, ...], part: str) -> bool:
    match = _PART.fullmatch(part)
    if match is None:
        raise EnvironmentFailed(f"{part.strip()[:80]!r} says no versions of Python; it is written as in >=3.11")
    sign, text, star = match[1] or "", match[2], match[3]
    given = tuple(map(int, text.split(".")))
    prefix = version[: len(given)] == given[: len(version)]
    whole = given + (0,) * (len(version) - len(given))
    if sign == "" or (sign in {"==", "!="} and star):
        return prefix is (sign != "!=")
    if sign == "~=":
        return version >= whole and version[: len(given) - 1] == given[:-1]
    tests = {
        "==": version == whole,
        "===": version == whole,
        "!=": version != whole,
        "<=": version <= whole,
        ">=": version >= whole,
        "<": version < whole,
        ">": version > whole,
    }
    return tests[sign]


def _spoken(wanted: Sequence[str]) -> str:
    return " and ".join(text.strip() for text in wanted if text.strip()) or "at all"
