"""Move: accepted work that has not started is asked back where an agent elsewhere has a free slot and finds the queue empty.

The wish is a column; the agent is told at once where its call is held here, else with its next call or heartbeat. It alone knows
whether a task has started, so only its word puts the task back into the queue; where it says nothing, nothing moves.
"""

import asyncio

import structlog

from sirdar.dispatch.assign import Assigner
from sirdar.dispatch.trouble import tell
from sirdar.domain.moving import moves
from sirdar.domain.placement import Place
from sirdar.services.places import informed, place_of
from sirdar.services.settings import Settings
from sirdar.store import moving
from sirdar.store import resources as resource_store
from sirdar.store.engine import Store, Tx
from sirdar.store.people import Conn

log = structlog.get_logger()
ASK_AGAIN_S = 30.0  # one that was not given back meanwhile holds no slot for its move any more


async def run(store: Store, settings: Settings, assigner: Assigner) -> None:
    """The loop. It reads only while an agent asks in vain, and writes only where something is to move."""
    while True:
        await asyncio.sleep(settings.move_every_s)
        idle = assigner.idle()
        if not idle:
            continue
        try:
            if await store.read(lambda conn: _anything(conn, settings, store.clock())):
                await store.write(lambda tx: ask_back(tx, settings, idle))  # noqa: B023  (awaited here)
        except Exception as error:
            tell("move_failed", error)


def _anything(conn: Conn, settings: Settings, now: float) -> bool:
    return bool(moving.unstarted(conn, accepted_before=now - settings.move_after_s, asked_after=now, limit=1))


def ask_back(tx: Tx, settings: Settings, idle: list[Place]) -> int:
    """One round, in one transaction; how many were asked back."""
    behind = moving.unstarted(tx.conn, accepted_before=tx.now - settings.move_after_s, asked_after=tx.now - ASK_AGAIN_S)
    holding = {one.resource for one in behind}
    rows = [row for row in resource_store.list_resources(tx.conn) if row.id in holding]
    able = [place_of(row, 0) for row in rows if row.capabilities.get("gives_back")]
    sources = {place.id: place for place in informed(tx.conn, able) if place.reachable}
    asked = moves(behind, sources, informed(tx.conn, idle))
    moving.wish_back(tx, asked)
    names = {one.key: one.resource for one in behind}
    tx.hints.resources.update(names[key] for key in asked)
    if asked:
        log.info("asked_back", attempts=[key.text for key in asked])
    return len(asked)
