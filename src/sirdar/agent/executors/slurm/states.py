"""Slurm's words, and what they mean here. Pure."""

import errno
import re
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sirdar.agent.executors.base import ProgramEnd

QUEUE_FORMAT = "%i|%T|%N|%j|%r"
ACCOUNT_FIELDS = "JobID,State,NodeList,JobName,ExitCode"
NO_MEMBER = "4294967294"  # the number of a record that stands for no member any more (Slurm's NO_VAL)
MOST_MEMBERS = 100_000  # of one range: more is a line that was not understood
SIGKILL = 9  # the node's: not every machine that reads this has the name
WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
LIVE = {"RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
HELD = ("held", "hold")  # in its reasons: JobHeldUser, JobHeldAdmin, JobHoldMaxRequeue, launch failed requeued held
TIME_REASONS = {
    "PartitionTimeLimit",
    "QOSTimeLimit",
    "QOSMaxWallDurationPerJobLimit",
    "AssocMaxWallDurationPerJobLimit",
}
NODE_WORDS = {"NODE_FAIL": "the node failed", "BOOT_FAIL": "the node did not start"}
TIME_WORDS = {"TIMEOUT", "DEADLINE"}
_JOB = re.compile(r"\d+(_\d+)?")
_MEMBERS = re.compile(r"(\d+)_\[([\d,-]+)(%\d+)?\]")
_SHOWN = re.compile(r"(?<!\S)(JobState|NodeList|JobName|Reason|ArrayTaskId)=(\S*)")


@dataclass(frozen=True, slots=True)
class Seen:
    """What Slurm says of a job. ``state``: its word; ``more``: what stood behind it, as in ``CANCELLED by 1000``.

    ``members``: of an array, of which it is said, by their numbers; empty where it does not say.
    """

    job: str
    state: str
    nodes: str = ""
    name: str = ""
    reason: str = ""
    more: str = ""
    exit_code: int | None = None
    members: str = ""

    @property
    def waits(self) -> bool:
        return self.state in WAITING

    @property
    def ended(self) -> bool:
        """It will not go on. A word that is not known here is taken for one of a job that lives."""
        return self.state in ENDED


ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT",
}  # fmt: skip
TOLD = ENDED - {"COMPLETED", "FAILED", "REVOKED"}  # words that say why


def read_queue(text: str) -> dict[str, Seen]:
    """Jobs by id from ``squeue -o QUEUE_FORMAT``. Raises ValueError where it is not that."""
    found = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        words = line.split("|", 4)
        if len(words) != 5 or not _JOB.match(words[0]):
            raise ValueError(f"squeue said {line[:80]!r}")
        if _JOB.fullmatch(words[0]):  # else a range of an array, which is not ours: ours are listed one by one
            found[words[0]] = Seen(words[0], words[1], words[2], words[3], words[4].strip())
    return found


def read_accounts(text: str) -> dict[str, Seen]:
    """Jobs by id from ``sacct -P -o ACCOUNT_FIELDS``. Raises ValueError where it is not that."""
    found = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        words = line.split("|")
        if len(words) < 5 or not _JOB.match(words[0]):
            raise ValueError(f"sacct said {line[:80]!r}")
        state, _, more = words[1].partition(" ")
        code, _, number = words[4].partition(":")
        exit_code = -int(number) if number.isdecimal() and int(number) else int(code) if code.isdecimal() else None
        for job in _jobs_of(words[0]):
            found[job] = Seen(job, state.rstrip("+"), words[2], words[3], "", more, exit_code)
    return found


def _jobs_of(word: str) -> list[str]:
    """The job that accounting names, or the members of an array that never got lines of their own (``17_[0-3,7]``)."""
    if _JOB.fullmatch(word):
        return [word]
    if (match := _MEMBERS.fullmatch(word)) is None:
        return []
    ranges = [part.partition("-") for part in match[2].split(",") if part.strip("-")]
    return [
        f"{match[1]}_{number}"
        for first, _, last in ranges
        if first.isdecimal()
        for number in range(int(first), min(int(last or first), int(first) + MOST_MEMBERS) + 1)
    ]


def read_shown(job: str, text: str) -> Seen:
    """From ``scontrol show job --oneliner``; of an array, what is first of it. Raises ValueError where it is not that."""
    words = dict(_SHOWN.findall(text.partition("\n")[0]))
    if "JobState" not in words:
        raise ValueError(f"scontrol said {text[:80]!r}")
    nodes = words.get("NodeList", "").replace("(null)", "")
    members = words.get("ArrayTaskId", "")
    return Seen(
        job, words["JobState"], nodes, words.get("JobName", ""), words.get("Reason", ""),
        members=members if members[:1].isdecimal() and members != NO_MEMBER else "",
    )  # fmt: skip


def note_of(seen: Seen, asked_time: str = "") -> str:
    """Why it has not started, for a person; empty where it has. ``asked_time``: how long it may take, by its order."""
    if not seen.waits:
        return ""
    if any(word in seen.reason.lower() for word in HELD) or seen.state in {"REQUEUE_HOLD", "RESV_DEL_HOLD"}:
        return f"held in Slurm (job {seen.job}): {seen.reason or seen.state}"
    reason = seen.reason if seen.reason not in {"", "None"} else seen.state.lower()
    asks = f" (asks for {asked_time})" if asked_time and reason in TIME_REASONS else ""
    return f"waits in Slurm (job {seen.job}): {reason}{asks}"


def end_of(key: str, seen: Seen, *, asked: str | None, started_at: float | None, error: str = "") -> ProgramEnd:
    """How a task ended of which Slurm knows the job's end, and nobody wrote a record.

    ``asked``: what the agent had asked for; ``error``: what the job wrote before it could do anything.
    """
    place = f" on {seen.nodes}" if seen.nodes and not seen.nodes.startswith("(") else ""
    end = ProgramEnd(key, started_at=started_at, ended_at=time.time())
    if asked is not None:
        return _changed(end, exit_code=-SIGKILL if started_at else None, by=asked, dropped=started_at is None)
    if seen.state == "PREEMPTED":
        return _changed(end, cause="preempted", error=f"Slurm preempted job {seen.job}{place}")
    if seen.state in NODE_WORDS:
        return _changed(
            end, cause="node", error=f"{NODE_WORDS[seen.state]}{place} (Slurm's job {seen.job}: {seen.state})"
        )
    if seen.state in TIME_WORDS:
        return _changed(end, exit_code=-signal.SIGTERM, by="time", cause="walltime", error=_walltime(seen))
    if seen.state == "OUT_OF_MEMORY":
        return _changed(end, exit_code=-SIGKILL, out_of_memory=True)
    if seen.state == "CANCELLED":
        who = f" {seen.more}" if seen.more else ""
        return _changed(end, cause="elsewhere", error=f"Slurm's job {seen.job} was cancelled{who}, not through Sirdar")
    return _unexplained(end, seen, place, error)


def _unexplained(end: ProgramEnd, seen: Seen, place: str, error: str) -> ProgramEnd:
    if seen.state == "FAILED" and error:
        words = f"Slurm's job {seen.job}{place} could not begin: {error}"
        return _changed(end, error_number=errno.EIO, error_at="system", error=words)
    sentence = f"Slurm's job {seen.job}{place} ended ({seen.state}) and left no record of its program"
    return _changed(end, lost=True, cause="vanished", error=sentence)


def explained(end: ProgramEnd, seen: Seen | None) -> ProgramEnd:
    """An end by the record on the disk, with what only Slurm knows: who ended the program, where it was not the agent."""
    if seen is not None and seen.state == "OUT_OF_MEMORY" and end.exit_code != 0:
        return _changed(end, out_of_memory=True)
    if end.by != "slurm":
        return end
    if seen is not None and seen.state == "COMPLETED" and end.exit_code == 0:
        return _changed(end, by=None)  # somebody sent it a signal; Slurm did not end it
    if seen is None or seen.state not in TOLD:
        return _changed(end, by=None, cause="preempted", error="Slurm ended the job before its program had ended")
    other = end_of(end.key, seen, asked=None, started_at=end.started_at)
    return _changed(end, by=other.by, cause=other.cause, error=other.error)


def needs_word(end: ProgramEnd) -> bool:
    """Whether only Slurm can say why it ended."""
    return end.by == "slurm" or (end.by is None and end.exit_code == -SIGKILL and not end.out_of_memory)


def of_whole_array(job: str, found: Mapping[str, Seen]) -> Seen | None:
    """For a member that is not listed itself: the line of its array, where that has ended.

    Slurm writes one for all whose members were cancelled before any of them began.
    """
    array, _, member = job.partition("_")
    whole = found.get(array) if member else None
    return replace(whole, job=job) if whole is not None and whole.ended else None


def of_names(seen: Iterable[Seen], prefix: str) -> dict[str, list[Seen]]:
    """Those of ours by the name that they were given."""
    found: dict[str, list[Seen]] = {}
    for one in seen:
        if one.name.startswith(prefix):
            found.setdefault(one.name.removeprefix(prefix), []).append(one)
    return found


def _walltime(seen: Seen) -> str:
    return f"Slurm ended job {seen.job} at its time limit ({seen.state})"


def _changed(end: ProgramEnd, **changes: object) -> ProgramEnd:
    return replace(end, **changes)  # type: ignore[arg-type]


Queue = Mapping[str, Seen]
