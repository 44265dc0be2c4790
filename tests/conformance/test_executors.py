"""What every executor must do, asked of each that there is."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sirdar.agent.executors.base import Executor, Launch, ProgramEnd, ProgramStart
from sirdar.agent.executors.mock import MockExecutor
from sirdar.agent.executors.process import ProcessExecutor
from sirdar.agent.porter.launch import held


class Bench:
    """One executor and the words that make its programs do something."""

    def __init__(self, kind: str, home: Path, slots: int = 2) -> None:
        self.kind = kind
        self.home = home
        home.mkdir(exist_ok=True)
        self.executor: Executor = (
            MockExecutor(slots) if kind == "mock" else ProcessExecutor(home, slots, idle_s=1.0, memory="auto")
        )
        self.started: dict[str, ProgramStart] = {}
        self.ended: dict[str, ProgramEnd] = {}

    def words(self, run_for: float = 0.0, exit_code: int = 0) -> list[str]:
        if self.kind == "mock":
            return ["mock", f"run_for={run_for}", f"exit_code={exit_code}"]
        return ["sh", "-c", f"sleep {run_for}; exit {exit_code}"]

    def missing(self) -> list[str]:
        return ["mock", "start_error=ENOENT"] if self.kind == "mock" else ["no-such-program-here"]

    def launch(self, key: str, argv: list[str], *, cpus: int = 1, time_s: float | None = None) -> Launch:
        folder = self.home / "work" / key
        (folder / "dir").mkdir(parents=True, exist_ok=True)
        return Launch(
            key=key, argv=argv, env={"SIRDAR_TASK_ID": key}, base_env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            cwd=f"{folder}/dir", stdout=f"{folder}/stdout", stderr=f"{folder}/stderr", cpus=cpus, time_s=time_s, grace_s=0.5,
        )  # fmt: skip

    async def end(self, key: str) -> ProgramEnd:
        async with asyncio.timeout(20):
            while key not in self.ended:
                await self._take()
        return self.ended[key]

    async def start_of(self, key: str) -> None:
        async with asyncio.timeout(20):
            while key not in self.started:
                await self._take()

    async def _take(self) -> None:
        facts = await self.executor.facts()
        self.started.update({start.key: start for start in facts.started})
        for end in facts.ended:
            assert end.key not in self.ended, "a program ends once"
            self.ended[end.key] = end


Check = Callable[[Bench], Awaitable[None]]


@pytest.fixture(params=["mock", "process"])
def check(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Check], None]:
    def run(body: Check) -> None:
        async def work() -> None:
            bench = Bench(request.param, tmp_path / "home")
            await bench.executor.recover({})
            try:
                await body(bench)
            finally:
                await bench.executor.close(end_programs=True)

        asyncio.run(work())
        assert not held(tmp_path / "home")

    return run


def test_exit_codes_and_times(check) -> None:
    async def body(bench: Bench) -> None:
        handles = await bench.executor.start(
            [bench.launch("a", bench.words(0.05, 3)), bench.launch("b", bench.words())]
        )
        assert [handle["v"] for handle in handles] == [1, 1]
        end = await bench.end("a")
        assert (end.exit_code, end.by, end.lost) == (3, None, False)
        assert end.started_at is not None and 0.04 < end.ended_at - end.started_at < 5
        assert (await bench.end("b")).exit_code == 0

    check(body)


def test_slots_and_order(check) -> None:
    async def body(bench: Bench) -> None:
        assert (await bench.executor.probe()).slots == 2
        keys = [f"k{number}" for number in range(5)]
        await bench.executor.start([bench.launch(key, bench.words(0.05), cpus=1 + (key == "k4")) for key in keys])
        ends = [await bench.end(key) for key in keys]
        begins = [end.started_at or 0.0 for end in ends]
        assert begins == sorted(begins)
        for at in begins:
            running = [end for end in ends if (end.started_at or 0.0) <= at < end.ended_at]
            assert sum(2 if end.key == "k4" else 1 for end in running) <= 2

    check(body)


def test_stop_of_what_runs_and_of_what_waits(check) -> None:
    async def body(bench: Bench) -> None:
        await bench.executor.start([bench.launch(key, bench.words(60)) for key in ("a", "b", "c")])
        await bench.start_of("b")
        await bench.executor.stop(["a", "c", "unknown"])
        end = await bench.end("a")
        assert (end.by, end.exit_code, end.dropped) == ("stop", -signal.SIGTERM, False)
        end = await bench.end("c")
        assert (end.by, end.exit_code, end.dropped) == ("stop", None, True)
        assert "b" not in bench.ended
        await bench.executor.stop(["b"])
        await bench.end("b")

    check(body)


def test_what_waits_is_withdrawn_and_what_runs_goes_on(check) -> None:
    async def body(bench: Bench) -> None:
        words = [bench.words(60), bench.words(60), bench.words(60)]
        await bench.executor.start([bench.launch(key, argv) for key, argv in zip("abc", words, strict=True)])
        await bench.start_of("b")
        await bench.executor.stop(["a", "c", "unknown"], waiting_only=True)
        end = await bench.end("c")
        assert (end.by, end.started_at, end.dropped) == ("withdraw", None, True)
        assert not {"a", "b"} & set(bench.ended)
        await bench.executor.stop(["a", "b"])
        assert (await bench.end("a")).by == (await bench.end("b")).by == "stop"

    check(body)


def test_time_limit(check) -> None:
    async def body(bench: Bench) -> None:
        await bench.executor.start([bench.launch("a", bench.words(60), time_s=0.1)])
        end = await bench.end("a")
        assert (end.by, end.exit_code) == ("time", -signal.SIGTERM)

    check(body)


def test_what_cannot_be_started(check) -> None:
    async def body(bench: Bench) -> None:
        await bench.executor.start([bench.launch("a", bench.missing()), bench.launch("b", bench.words())])
        end = await bench.end("a")
        assert (end.error_number, end.error_at, end.exit_code) == (2, "program", None)
        assert (await bench.end("b")).exit_code == 0

    check(body)


def test_a_key_is_never_started_twice(check) -> None:
    async def body(bench: Bench) -> None:
        await bench.executor.start([bench.launch("a", bench.words(0.1))])
        await bench.executor.start([bench.launch("a", bench.words(0.1))])
        await bench.end("a")
        await bench.executor.destroy(["a"])
        await bench.executor.start([bench.launch("b", bench.words(0.1))])
        await bench.end("b")
        assert set(bench.ended) == {"a", "b"}

    check(body)


def test_recovery_answers_for_all_that_was_handed_over(tmp_path: Path) -> None:
    async def first() -> dict[str, dict[str, object]]:
        bench = Bench("process", tmp_path / "home")
        await bench.executor.recover({})
        keys = ["done", "runs"]
        launches = [bench.launch("done", bench.words(0, 4)), bench.launch("runs", bench.words(0.5, 6))]
        handles = await bench.executor.start(launches)
        await bench.end("done")
        await bench.executor.close(end_programs=False)
        return dict(zip(keys, handles, strict=True))

    async def second(handles: dict[str, dict[str, object]]) -> None:
        bench = Bench("process", tmp_path / "home")
        known = await bench.executor.recover({**handles, "never": {}})
        assert known == {"done", "runs"}
        assert (await bench.end("done")).exit_code == 4
        assert (await bench.end("runs")).exit_code == 6
        await bench.executor.close(end_programs=True)

    asyncio.run(second(asyncio.run(first())))


def test_the_mock_loses_what_an_earlier_life_ran() -> None:
    async def body() -> None:
        executor = MockExecutor(1)
        assert await executor.recover({"a": {}}) == {"a"}
        assert [end.lost for end in (await executor.facts()).ended] == [True]

    asyncio.run(body())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_handles_from_before_a_reboot_are_lost(tmp_path: Path) -> None:
    async def body() -> None:
        bench = Bench("process", tmp_path / "home")
        assert await bench.executor.recover({"a": {"boot": "another"}}) == {"a"}
        assert (await bench.end("a")).lost
        await bench.executor.close(end_programs=True)

    asyncio.run(body())
