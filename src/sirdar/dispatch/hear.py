"""Hear: passes on what other servers of the same database commit. Where it was deaf for a while, anything may have changed.

Without it everything still happens, later: loops and watchers look at the ledger from time to time anyway.
"""

import asyncio
import random

import structlog

from sirdar.store.engine import Store
from sirdar.store.listening import listen

log = structlog.get_logger()
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0


async def run(store: Store) -> None:
    """The loop; it ends at once where there can be no other server."""
    delay_s = FIRST_RETRY_S
    while not store.sqlite:
        try:
            async for hints in listen(store):
                delay_s = FIRST_RETRY_S
                store.heard(hints)
        except Exception as error:
            log.warning("listening_broke", error=str(error).strip(), again_in_s=round(delay_s, 1))
        await asyncio.sleep(delay_s * random.uniform(0.8, 1.2))  # noqa: S311
        delay_s = min(LAST_RETRY_S, delay_s * 2)
