"""Watching a job: counts of tasks come at a measured pace, the end at once."""

import asyncio

import pytest
from tests.store.ledger import Ledger, caller

from sirdar.services import watch
from sirdar.wire.agent import SyncRequest

WITHIN_S = 20.0


def test_the_end_is_told_at_once_while_counts_of_tasks_are_held_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LEAST_S", 3600.0)
    job = ledger.submit()
    agent = ledger.attach()
    (key,) = agent.take()
    agent.phase(key)
    final = SyncRequest(session=agent.session, finals=[agent.make_final(key)])

    async def follow() -> list[str]:
        told: list[str] = []
        begun = asyncio.Event()

        async def listen() -> None:
            async for message in watch.watch(ledger.services, caller("anna"), job):
                told.append(message.kind)
                if message.kind == "tasks":
                    begun.set()

        watching = asyncio.create_task(listen())
        await asyncio.wait_for(begun.wait(), WITHIN_S)
        await ledger.desk.sync(agent.resource_id, final)
        await asyncio.wait_for(watching, WITHIN_S)
        return told

    told = ledger.run(follow())
    assert told[-1] == "end"
    assert told.count("tasks") == 2
