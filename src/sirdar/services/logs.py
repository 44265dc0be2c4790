"""Taking chunks of running programs' streams from agents.

When an attempt has ended, its streams stand in its row (up to 16 KiB) or in a blob, and the files here go.
"""

import asyncio
import re

from sirdar.blobs.logs import STREAMS, Mark
from sirdar.domain.ids import AttemptKey
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.store import tasks as task_store

SEEN_CHARS = 60_000
_SEEN = re.compile(r"(?:\d{1,18}:(?:\d{1,12}(?:\.\d{1,6})?)?(?:,|$))*")


async def append(
    services: Services,
    resource_id: str,
    text: str,
    stream: str,
    offset: int,
    chunk: bytes,
    *,
    line: int | None = None,
    seen: str = "",
) -> int:
    """Take a chunk from an agent; gives the size so far. Raises Problem where the attempt does not live on that resource.

    ``line``: the chunk may stand apart from what came before; so many newlines of the stream stand before it.
    ``seen``: when bytes came, as ``FROM:TIME,FROM:TIME``; without a time nobody knows.
    """
    if stream not in STREAMS or offset < 0 or (line or 0) < 0:
        raise Problem("invalid_field", "A stream is stdout or stderr, an offset is not negative.", field="stream")
    try:
        key = AttemptKey.parse(text)
    except ValueError as error:
        raise Problem("not_found", str(error)) from None
    marks = _marks_of(seen)
    live = await services.store.read(lambda conn: task_store.lives_on(conn, key, resource_id))
    if not live:
        raise Problem("gone", f"The attempt {text} has ended; its streams are complete.")
    size = await asyncio.to_thread(_write, services, key, stream, offset, chunk, line, marks)
    services.hub.ring(f"log:{key.job}")
    return size


def _write(
    services: Services, key: AttemptKey, stream: str, offset: int, chunk: bytes, line: int | None, marks: list[Mark]
) -> int:
    if line is not None:
        size = services.logs.append_newest(key, stream, offset, line, chunk)
    else:
        size = services.logs.append(key, stream, offset, chunk, services.settings.log_bytes)
    if marks:
        services.logs.note(key, stream, marks)
    return size


def _marks_of(seen: str) -> list[Mark]:
    if len(seen) > SEEN_CHARS or not (found := _SEEN.fullmatch(seen)):
        raise Problem(
            "invalid_field", "seen is no list of places and times.", field="seen", expected="0:1763841.2,512:"
        )
    marks = (mark.partition(":") for mark in found[0].split(",") if mark)
    return [(int(start), float(at) if at else None) for start, _, at in marks]
