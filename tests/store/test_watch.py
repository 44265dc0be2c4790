"""Watching a job: counts of tasks come at a measured pace, the end at once. Watching a list: what changed, and how much is new."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.store.ledger import APP, VERSION, Ledger, caller

from sirdar.domain.problems import Problem
from sirdar.services import jobs, watch, watch_list
from sirdar.services.submit import insert
from sirdar.store.job_lists import JobFilter
from sirdar.store.jobs import NewJob
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


# ---------------------------------------------------------------- a list of jobs


class Watcher:
    """Reads a list's news in the background."""

    def __init__(self, ledger: Ledger, ids: Any, newest: int | None, who: str = "anna", **wanted: Any) -> None:
        self.told: list[watch_list.ListNews] = []
        self._came = asyncio.Event()
        news = watch_list.watch_list(ledger.services, caller(who), JobFilter(**wanted), ids, newest)
        self.task = asyncio.create_task(self._read(news))

    async def _read(self, news: AsyncIterator[watch_list.ListNews]) -> None:
        async for one in news:
            self.told.append(one)
            self._came.set()

    async def until(self, holds: Callable[[watch_list.ListNews], bool]) -> watch_list.ListNews:
        async with asyncio.timeout(WITHIN_S):
            while not (self.told and holds(self.told[-1])):
                self._came.clear()
                await self._came.wait()
        return self.told[-1]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_list, "LEAST_S", 0.01)


def submit_in(ledger: Ledger, job_id: str, owner: str = "anna", name: str = "new") -> Any:
    new = NewJob(job_id, f"id-{owner}", APP, VERSION, name, "{}", 1, 5)
    return ledger.store.write(lambda tx: insert(tx, ledger.services, new))


@pytest.mark.usefixtures("quick")
def test_a_list_is_told_which_rows_changed_and_how_many_are_new(ledger: Ledger) -> None:
    one, two, hidden = ledger.submit(), ledger.submit(), ledger.submit(owner="boris")
    newest = ledger.job(two).seq

    async def follow() -> None:
        watcher = Watcher(ledger, [one, two, hidden], newest, text="new")
        await submit_in(ledger, "jobnew1")
        assert (await watcher.until(lambda news: news.new == 1)).ids == ()
        await submit_in(ledger, "jobnew2")
        await submit_in(ledger, "jobother", name="does not fit")
        await submit_in(ledger, "jobboris", owner="boris")
        await watcher.until(lambda news: news.new == 2)
        await ledger.store.write(lambda tx: jobs.cancel_now(tx, ledger.services, [hidden, two], "anna"))
        told = await watcher.until(lambda news: bool(news.ids))
        assert (told.ids, told.new) == ((two,), 2), "what cannot be seen is not watched"
        await jobs.delete_job(ledger.services, caller("anna"), two)
        await watcher.until(lambda news: news.ids == (two,))
        await watcher.stop()

    ledger.run(follow())


@pytest.mark.usefixtures("quick")
def test_what_changed_between_the_page_and_its_events_is_told(ledger: Ledger) -> None:
    one, two = ledger.submit(), ledger.submit()
    marks = {job: ledger.job(job).event_seq for job in (one, two)}
    ledger.cancel(one)
    third = ledger.submit()

    async def follow() -> None:
        watcher = Watcher(ledger, marks, ledger.job(two).seq)
        told = await watcher.until(lambda news: bool(news.ids))
        assert (told.ids, told.new) == ((one,), 1)
        await watcher.stop()

    ledger.run(follow())
    assert third


def test_a_list_in_which_nothing_happens_is_looked_at_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_list, "quiet_s", lambda services: 0.01)
    job = ledger.submit()
    looks: list[int] = []
    look = watch_list._look

    def counted(*given: Any, **named: Any) -> Any:
        looks.append(1)
        return look(*given, **named)

    monkeypatch.setattr(watch_list, "_look", counted)

    async def follow() -> None:
        watcher = Watcher(ledger, [job], 0)
        await watcher.until(lambda news: len([one for one in watcher.told if one.quiet]) >= 20)
        await watcher.stop()

    ledger.run(follow())
    assert len(looks) == 1


def test_an_administrator_hears_of_the_jobs_of_whom_they_look_at(ledger: Ledger) -> None:
    async def follow() -> None:
        who = caller("anna", admin=True)
        news = watch_list.watch_list(ledger.services, who, JobFilter(owner="boris"), [], 0)
        waiting = asyncio.ensure_future(anext(news))
        async with asyncio.timeout(WITHIN_S):
            while "new:id-boris" not in ledger.services.hub._bells:  # noqa: ASYNC110  (nobody tells of a bell that is hung up)
                await asyncio.sleep(0)
            await ledger.store.read(lambda conn: None)  # behind the first look
        await submit_in(ledger, "jobboris", owner="boris")
        async with asyncio.timeout(WITHIN_S):
            assert (await waiting).new == 1
        await news.aclose()  # type: ignore[attr-defined]

    ledger.run(follow())


# ---------------------------------------------------------------- that one job has changed


def test_that_a_job_changed_is_told_with_the_number_of_its_last_event_until_its_end(ledger: Ledger) -> None:
    job = ledger.submit()

    async def follow() -> list[watch.Told]:
        told: list[watch.Told] = []
        async with asyncio.timeout(WITHIN_S):
            changes = await watch.watch_changes(ledger.services, caller("anna"), job, after=0)
            async for one in changes:
                told.append(one)
                if len(told) == 1:
                    await ledger.store.write(lambda tx: jobs.cancel_now(tx, ledger.services, [job], "anna"))
        return told

    told = ledger.run(follow())
    assert [one.kind for one in told] == ["changed", "changed", "end"]
    assert told[0].id == 1
    assert told[-1].id == ledger.job(job).event_seq
    assert told[-1].data == {"state": "CANCELLED"}
    with pytest.raises(Problem, match="There is no job"):
        ledger.run(watch.watch_changes(ledger.services, caller("boris"), job))
