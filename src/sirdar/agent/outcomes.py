"""Why a program ended: from what the executor saw to a reason and a sentence. Pure."""

import errno
import os
import re
import signal
from dataclasses import dataclass

from sirdar.agent.executors.base import ProgramEnd
from sirdar.domain.outcome import Reason

MEMORY_WORDS = ("MemoryError", "bad_alloc", "Cannot allocate memory", "out of memory", "Out of memory")
NEAR_LIMIT = 0.9
# What a batch system did to a program. It may run again where that is nobody's wish.
CAUSES = {
    "preempted": Reason.PREEMPTED,
    "node": Reason.NODE_FAILED,
    "walltime": Reason.TIME_LIMIT,
    "elsewhere": Reason.CANCELLED,
    "refused": Reason.REFUSED,
    "vanished": Reason.PORTER_LOST,
}
LAST_WORDS = 200  # letters of the last line of stderr that a verdict repeats
_UNSEEN = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A reason, a sentence for a person, and the exit code if a program ended."""

    reason: Reason
    message: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What was asked of the executor, to explain an end by it."""

    memory_bytes: int | None
    time_s: float | None
    disk_bytes: int | None
    address_space_only: bool  # memory is limited by RLIMIT_AS, which kills nobody: the program sees an allocation fail


def judge(end: ProgramEnd, limits: Limits, *, cancelled: bool, disk_exceeded: bool, stderr_tail: str) -> Verdict:
    """The verdict on a program's end, before its outputs are looked at."""
    if end.cause in CAUSES:
        return Verdict(CAUSES[end.cause], end.error, end.exit_code)
    if end.lost:
        return Verdict(
            Reason.PORTER_LOST, "the process that carries the tasks on this machine died; the program was ended with it"
        )
    if end.error_number is not None:
        return _not_started(end)
    code = end.exit_code
    if disk_exceeded:
        return Verdict(Reason.OUTPUT_LIMIT, f"the task's directory grew over {size(limits.disk_bytes)}", code)
    if end.by == "time":
        return Verdict(Reason.TIME_LIMIT, f"the program ran longer than {duration(limits.time_s)} and was ended", code)
    if end.by == "porter":
        return Verdict(Reason.PORTER_LOST, "the process that carries the tasks on this machine was told to end", code)
    if end.by == "stop" or (cancelled and end.dropped):  # also where the agent that asked for it has died since
        return Verdict(Reason.CANCELLED, "cancelled before it started" if end.dropped else "cancelled", code)
    if code is None:
        return Verdict(Reason.START, "the program was not started")
    if code != 0 and _memory(end, limits, stderr_tail):
        return Verdict(Reason.OUT_OF_MEMORY, f"the program used more memory than {size(limits.memory_bytes)}", code)
    if code < 0:
        return Verdict(Reason.SIGNAL, f"the program was ended by {_signal_name(-code)}", code)
    if code > 0:
        return Verdict(Reason.EXIT_CODE, f"the program ended with exit code {code}{_last_words(stderr_tail)}", code)
    return Verdict(Reason.OK, "", 0)


def _last_words(stderr_tail: str) -> str:
    """What the program said last of its fault: of a traceback the line that names it. Empty where it said nothing."""
    lines = [" ".join(_UNSEEN.sub("", line.rpartition("\r")[2]).split()) for line in stderr_tail.splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    if not last:
        return ""
    return f": {last}" if len(last) <= LAST_WORDS else f": {last[: LAST_WORDS - 1]}…"


def _not_started(end: ProgramEnd) -> Verdict:
    number = end.error_number or 0
    if end.error_at == "worker":
        return Verdict(Reason.WORKER_PROTOCOL, f"the program is to serve many tasks (keep_alive), but {end.error}")
    if end.error_at == "program" and number in {errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ELOOP}:
        name = end.error.partition(":")[0]
        if number == errno.EACCES:
            return Verdict(Reason.COMMAND_NOT_FOUND, f"{name} may not be executed: it lacks the permission for that")
        return Verdict(
            Reason.COMMAND_NOT_FOUND, f"{name} was not found: neither it nor the interpreter that it names is there"
        )
    if number == errno.E2BIG:
        return Verdict(Reason.COMMAND_NOT_FOUND, "the command and its environment are longer than the system takes")
    if end.error_at == "seen":
        return Verdict(Reason.PORTER_LOST, end.error)
    return Verdict(Reason.START, f"the program could not be started: {end.error or os.strerror(number)}")


def _memory(end: ProgramEnd, limits: Limits, stderr_tail: str) -> bool:
    if end.out_of_memory:
        return True
    if limits.memory_bytes is None or not limits.address_space_only:
        return False
    return end.max_rss_bytes > limits.memory_bytes * NEAR_LIMIT or any(word in stderr_tail for word in MEMORY_WORDS)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def size(count_bytes: int | None) -> str:
    """A number of bytes for a person."""
    value = float(count_bytes or 0)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} TiB"


def duration(time_s: float | None) -> str:
    """A time for a person."""
    value = time_s or 0.0
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 7200 else f"{value / 3600:.3g} h"
