"""The end of a task's streams, for its page: while it runs from what the agent has sent, afterwards from its row or blob."""

import re
from dataclasses import dataclass

from sirdar.domain.ids import AttemptKey, JobId
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.store.task_views import TaskView

STREAMS = ("stdout", "stderr")
TAIL_BYTES = 64 * 1024
TAIL_LINES = 400
_COLOURS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")  # what terminals read as commands


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of a stream. ``size_bytes``: of all that was written; ``whole``: nothing is left out above."""

    text: str
    size_bytes: int
    whole: bool


async def tail(services: Services, job_id: str, task: TaskView, stream: str) -> Tail:
    stored = task.stdout if stream == "stdout" else task.stderr
    if stored.get("text") is not None:
        content = str(stored["text"]).encode(errors="replace")
        return _tail_of(content, len(content))
    if stored.get("sha256"):
        return await _of_blob(services, str(stored["sha256"]), int(stored.get("size", 0)))
    if task.attempt < 1 or task.reason is not None:
        return Tail("", 0, True)
    return await services.blobs.in_thread(_of_live, services, AttemptKey(JobId(job_id), task.no, task.attempt), stream)


def _of_live(services: Services, key: AttemptKey, stream: str) -> Tail:
    _, size = services.logs.read(key, stream, 0, 0)
    content, size = services.logs.read(key, stream, max(0, size - TAIL_BYTES), TAIL_BYTES)
    return _tail_of(content, size)


async def _of_blob(services: Services, sha256: str, size_bytes: int) -> Tail:
    kept = await services.blobs.size(sha256)
    if kept is None:
        return Tail("", size_bytes, False)
    content = b""
    try:
        async for chunk in services.blobs.read(sha256, max(0, kept - TAIL_BYTES)):
            content += chunk
    except Problem:  # it was removed meanwhile
        return Tail("", size_bytes, False)
    return _tail_of(content, size_bytes)


def _tail_of(content: bytes, size_bytes: int) -> Tail:
    """Whole lines, the last ones; a carriage return begins its line anew, as on a terminal."""
    lines = content.decode(errors="replace").replace("\r\n", "\n").split("\n")
    cut = len(content) < size_bytes
    if cut and len(lines) > 1:
        lines = lines[1:]  # the first one is most likely a part
    if len(lines) > TAIL_LINES:
        lines, cut = lines[-TAIL_LINES:], True
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
    plain = _COLOURS.sub("", text)
    return Tail("".join(letter for letter in plain if letter.isprintable() or letter in "\n\t"), size_bytes, not cut)
