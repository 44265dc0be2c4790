"""What the exchange does with an answer, apart from the network: a journal without room."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sirdar.agent.attempts import Attempts
from sirdar.agent.exchange import Exchange, OffersNotKept
from sirdar.agent.journal import JournalBroken
from sirdar.agent.outbox import Outbox
from sirdar.agent.seal import Seal
from sirdar.agent.settings import Settings
from sirdar.wire.agent import Capabilities, Offer, OfferedJob, Program, SyncReply, SyncRequest

OFFER = SyncReply(
    offers=[Offer(key="job-0-0", token="t")],
    jobs={"job": OfferedJob(program="p")},
    programs={"p": Program(description={"sirdar": 1, "alias": "a", "command": "true"})},
)


class NarrowJournal:
    """Keeps what it has room for."""

    def __init__(self) -> None:
        self.room = False
        self.kept: list[Any] = []

    def write(self, records: Iterable[Any]) -> None:
        if not self.room:
            raise JournalBroken("no room")
        self.kept += records


def test_an_offer_is_accepted_only_when_it_is_written_down(tmp_path: Path) -> None:
    async def scenario() -> None:
        outbox, journal = Outbox(started_delay_s=0.0, finals_per_sync=10), NarrowJournal()

        async def answer(request: SyncRequest) -> SyncReply:
            return OFFER

        exchange = Exchange(
            Settings(home=tmp_path),
            link=cast(Any, SimpleNamespace(sync=answer)),
            attempts=Attempts(),
            outbox=outbox,
            journal=cast(Any, journal),
            run_task=cast(Any, None),
            blobs=cast(Any, SimpleNamespace(version=0)),
            seal=Seal(tmp_path),
            capabilities=Capabilities(cpus=1, memory_bytes=0, slots=1),
            life=1,
        )
        with pytest.raises(OffersNotKept):
            await exchange.sync(SyncRequest(session="s"))
        assert not outbox.accepts
        journal.room = True
        for _ in range(2):  # the server does not hear the first acceptance, and offers it once more
            await exchange.sync(SyncRequest(session="s"))
            assert list(outbox.accepts) == ["job-0-0"]
        assert [record["t"] for record in journal.kept] == ["program", "job", "offers"]

    asyncio.run(scenario())
