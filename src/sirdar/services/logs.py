"""Taking chunks of running programs' streams from agents.

When an attempt has ended, its streams stand in its row (up to 16 KiB) or in a blob, and the files here go.
"""

import asyncio

from sirdar.blobs.logs import STREAMS
from sirdar.domain.ids import AttemptKey
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.store import tasks as task_store


async def append(services: Services, resource_id: str, text: str, stream: str, offset: int, chunk: bytes) -> int:
    """Take a chunk from an agent. Raises Problem where the attempt does not live on that resource."""
    if stream not in STREAMS or offset < 0:
        raise Problem("invalid_field", "A stream is stdout or stderr, an offset is not negative.", field="stream")
    try:
        key = AttemptKey.parse(text)
    except ValueError as error:
        raise Problem("not_found", str(error)) from None
    live = await services.store.read(lambda conn: task_store.lives_on(conn, key, resource_id))
    if not live:
        raise Problem("gone", f"The attempt {text} has ended; its streams are complete.")
    limit = services.settings.log_bytes
    size = await asyncio.to_thread(services.logs.append, key, stream, offset, chunk, limit)
    services.hub.ring(f"log:{key.job}")
    return size
