"""Slurm's commands: each is run once, with a time limit, and what it says is told apart from that it failed."""

import asyncio
import contextlib
import math
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sirdar.agent.executors.slurm.states import (
    ACCOUNT_FIELDS,
    QUEUE_FORMAT,
    Queue,
    Seen,
    read_accounts,
    read_queue,
    read_shown,
)

PASSED = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "LD_LIBRARY_PATH", "SLURM_CONF", "SLURM_CLUSTERS"}
LATER = (
    "Unable to contact slurm controller", "Connection refused", "try again", "temporarily", "slurmctld is", "MaxSubmit",
    "SubmitJob", "Slurm controller", "Unable to establish", "Resource temporarily unavailable", "MUNGE", "Munge", "munge",
)  # fmt: skip
CUT_OFF = (
    "timed out",
    "receive failure",
    "Zero Bytes were transmitted",
    "Transport endpoint",
    "Connection reset",
)  # it may be there
NO_JOB = re.compile(r"Invalid job id|^Job \S+ not found", re.MULTILINE)  # the second: of a member of an array
DISABLED = ("accounting storage is disabled", "You are not running a supported accounting_storage")
MOST_IDS = 500  # on one command line
_ID = re.compile(r"(\d+)(;.*)?")
_SPEAKER = re.compile(r"^(\w+: )?error: ")


class CommandFailed(Exception):
    """It gave no answer, or one that cannot be read: nothing is known. The message says which and why."""


class Refused(Exception):
    """Slurm does not take this job; the message has its words."""


class Unsure(Exception):
    """It is not known whether the job was taken."""


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str

    def why(self) -> str:
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return _SPEAKER.sub("", lines[-1] if lines else f"exit code {self.code}")[:300]

    def has(self, signs: Sequence[str]) -> bool:
        return any(sign in self.err for sign in signs)


class Commands:
    """``last_s``: how long the last query of the queue took."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self.user = _user()
        self.last_s = 0.0
        self._kept_s: float | None = None
        self.accounting: bool | None = None  # whether ``sacct`` has answers here; None: not known yet

    async def run(self, words: Sequence[str]) -> Said:
        """Raises CommandFailed where it cannot be run, or takes too long."""
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env=_environment(), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise CommandFailed(f"{words[0]}: {error.strerror}") from None
        try:
            async with asyncio.timeout(self._timeout_s):
                out, err = await process.communicate()
        except TimeoutError:
            raise CommandFailed(f"{words[0]} gave no answer in {self._timeout_s:g} s") from None
        finally:
            if process.returncode is None:
                _kill_all(process.pid)
                await process.wait()
        return Said(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))

    async def submit(self, words: Sequence[str]) -> str:
        """The new job's id. Raises Refused, Unsure, or CommandFailed where it was certainly not taken and may be later."""
        try:
            said = await self.run(["sbatch", "--parsable", *words])
        except CommandFailed as error:
            if "gave no answer" in str(error):
                raise Unsure(str(error)) from None
            raise
        lines = [match for line in said.out.splitlines() if (match := _ID.fullmatch(line.strip()))]
        if said.code == 0 and lines:
            return lines[-1][1]
        if said.code == 0:
            raise Unsure(f"sbatch said {said.out[:80]!r}")
        if said.has(CUT_OFF):
            raise Unsure(f"sbatch: {said.why()}")
        if said.has(LATER):
            raise CommandFailed(f"sbatch: {said.why()}")
        raise Refused(said.why())

    async def queue(self) -> Queue:
        """All jobs of this user that the queue knows, those that ended a while ago too. Raises CommandFailed."""
        began = time.monotonic()
        try:
            said = await self.run(["squeue", "-h", "-r", "-t", "all", "-u", self.user, "-o", QUEUE_FORMAT])
        finally:
            self.last_s = time.monotonic() - began
        if said.code != 0:
            raise CommandFailed(f"squeue: {said.why()}")
        try:
            return read_queue(said.out)
        except ValueError as error:
            raise CommandFailed(str(error)) from None

    async def accounts(self, ids: Sequence[str] = (), names: Sequence[str] = ()) -> Queue:
        """What accounting knows of these; nothing where there is none here. Raises CommandFailed."""
        found: dict[str, Seen] = {}
        for begin in range(0, len(ids), MOST_IDS):
            found |= await self._accounts("-j", ",".join(ids[begin : begin + MOST_IDS]))
        for begin in range(0, len(names), MOST_IDS):
            some = ",".join(names[begin : begin + MOST_IDS])
            found |= await self._accounts("-S", "now-7days", "-u", self.user, "--name", some)
        return found

    async def _accounts(self, *chosen: str) -> Queue:
        try:
            said = await self.run(["sacct", "-n", "-P", "-X", *chosen, "-o", ACCOUNT_FIELDS])
        except CommandFailed as error:
            if "No such file" in str(error):  # it is not installed
                self.accounting = False
                return {}
            raise
        if said.code != 0 and any(sign in said.err + said.out for sign in DISABLED):
            self.accounting = False
            return {}
        if said.code != 0:
            raise CommandFailed(f"sacct: {said.why()}")
        try:
            found = read_accounts(said.out)
        except ValueError as error:
            raise CommandFailed(str(error)) from None
        self.accounting = True
        return found

    async def shown(self, job: str) -> Seen | None:
        """What the controller says of this one job; None where it has none of that number. Raises CommandFailed.

        Of an array it says what is first: the part of it that no member was taken out of, if there is one.
        """
        said = await self.run(["scontrol", "show", "job", "--oneliner", job])
        if said.code != 0 and NO_JOB.search(said.err + said.out):
            return None
        if said.code != 0:
            raise CommandFailed(f"scontrol: {said.why()}")
        try:
            return read_shown(job, said.out)
        except ValueError as error:
            raise CommandFailed(str(error)) from None

    async def cancel(self, ids: Sequence[str], *, how: Sequence[str] = ()) -> None:
        """Raises CommandFailed. That some of them have ended is no failure."""
        for begin in range(0, len(ids), MOST_IDS):
            said = await self.run(["scancel", *how, *ids[begin : begin + MOST_IDS]])
            if said.code != 0 and said.has((*LATER, *CUT_OFF)):
                raise CommandFailed(f"scancel: {said.why()}")

    async def cancel_named(self, name: str) -> None:
        """All jobs of this user that have this name. Raises CommandFailed. That there are none is no failure."""
        said = await self.run(["scancel", f"--user={self.user}", f"--name={name}"])
        if said.code != 0 and said.has((*LATER, *CUT_OFF)):
            raise CommandFailed(f"scancel: {said.why()}")

    async def array_most(self) -> int | None:
        """The most members that an array may have here; None where Slurm does not say."""
        with contextlib.suppress(CommandFailed):
            found = await self._configured("MaxArraySize")
            return found - 1 if found is not None else None
        return None

    async def kept_s(self) -> float:
        """How long the controller shows a job after its end, at least; 0 where it does not say. Raises CommandFailed.

        Slurm's ``MinJobAge``: at 0 it never drops one.
        """
        if self._kept_s is None:
            found = await self._configured("MinJobAge")
            self._kept_s = 0.0 if found is None else float(found) or math.inf
        return self._kept_s

    async def _configured(self, name: str) -> int | None:
        """A number of Slurm's configuration. Raises CommandFailed."""
        said = await self.run(["scontrol", "show", "config"])
        if said.code != 0:
            raise CommandFailed(f"scontrol: {said.why()}")
        found = re.search(rf"^{name}\s*=\s*(\d+)", said.out, re.MULTILINE)
        return int(found[1]) if found else None


def _user() -> str:
    """Its number: Slurm goes by it too, whatever USER and LOGNAME say."""
    if sys.platform == "win32":
        return ""
    return str(os.geteuid())


def _kill_all(group: int) -> None:
    """With what a site's own script around the command has started."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Not the agent's own, which has its token in it: a job inherits what ``sbatch`` sees."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or name.startswith(("LC_", "SBATCH_", "MUNGE"))
    }
