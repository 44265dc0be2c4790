"""What the exchange does with an answer, apart from the network: a journal that takes its time."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from sirdar.agent.attempts import Attempts
from sirdar.agent.exchange import Exchange
from sirdar.agent.outbox import Outbox
from sirdar.agent.seal import Seal
from sirdar.agent.settings import Settings
from sirdar.wire.agent import Capabilities, Offer, OfferedJob, Program, SyncReply, SyncRequest

OFFER = SyncReply(
    offers=[Offer(key="job-0-0", token="t")],
    jobs={"job": OfferedJob(program="p")},
    programs={"p": Program(description={"sirdar": 1, "alias": "a", "command": "true"})},
)


class SlowJournal:
    """Says that a record is on the disk when the test says so."""

    def __init__(self) -> None:
        self.written = asyncio.Event()

    async def commit(self, records: Iterable[Any]) -> None:
        await self.written.wait()


def test_an_offer_that_comes_twice_is_not_accepted_before_it_is_written_down(tmp_path: Path) -> None:
    """Two calls are under way; the server, which cannot know, offers in the second answer what is in the first."""

    async def scenario() -> None:
        outbox, journal = Outbox(started_delay_s=0.0, finals_per_sync=10), SlowJournal()

        async def answer(request: SyncRequest) -> SyncReply:
            return OFFER

        exchange = Exchange(
            Settings(home=tmp_path),
            link=cast(Any, SimpleNamespace(sync=answer)),
            attempts=Attempts(),
            outbox=outbox,
            journal=cast(Any, journal),
            run_task=cast(Any, None),
            blobs=cast(Any, None),
            seal=Seal(tmp_path),
            capabilities=Capabilities(cpus=1, memory_bytes=0, slots=1),
        )
        first = asyncio.create_task(exchange.sync(SyncRequest(session="s")))
        await asyncio.sleep(0)
        await exchange.sync(SyncRequest(session="s"))
        assert not outbox.accepts
        journal.written.set()
        await first
        assert list(outbox.accepts) == ["job-0-0"]
        await exchange.sync(SyncRequest(session="s"))  # its acceptance was lost
        assert list(outbox.accepts) == ["job-0-0"]

    asyncio.run(scenario())
