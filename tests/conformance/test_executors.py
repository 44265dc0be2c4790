"""What every executor must do, asked of each that there is."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests import containers
from tests.containers import engine_room, podman_here
from tests.engines import stand_in

from sirdar.agent.environments.engines import Engine, find_engine
from sirdar.agent.executors.base import Executor, Launch, ProgramEnd, ProgramStart, Wrap
from sirdar.agent.executors.mock import MockExecutor
from sirdar.agent.executors.process import ProcessExecutor
from sirdar.agent.executors.slurm.jobs import SlurmExecutor
from sirdar.agent.executors.slurm.pilots import PilotExecutor
from sirdar.agent.executors.slurm.settings import PilotSettings, SlurmSettings
from sirdar.agent.porter.launch import held
from sirdar.agent.wraps.bubblewrap import sandbox
from sirdar.agent.wraps.containers import contain

__all__ = ["engine_room", "podman_here"]

PODMAN = [pytest.mark.needs(*containers.NEEDED), containers.AS_ROOT]
SLURM = SlurmSettings(query_s=0.5, look_s=0.05, gather_s=0.02, record_patience_s=5.0, limit_memory=True)
NODE_CPUS = 4  # of each of the two nodes that the tests' Slurm gives to jobs
CONTAINED = ("podman", "docker", "apptainer")
ON_SLURM = ("slurm", "pilot")
PILOT = replace(SLURM, pilots=PilotSettings(most=1, cpus=2, idle_s=1.0), limit_memory=False)
REAL = [  # those whose programs are real ones
    "process",
    pytest.param("bubblewrap", marks=pytest.mark.needs("bwrap")),
    pytest.param("podman", marks=PODMAN),
    pytest.param("docker", marks=PODMAN),  # a stand-in
    "apptainer",  # another
    pytest.param("slurm", marks=pytest.mark.needs("slurm")),
    pytest.param("pilot", marks=pytest.mark.needs("slurm")),
]


@pytest.fixture(autouse=True)
def its_cluster(request: pytest.FixtureRequest) -> None:
    """Starts the session's Slurm for those that need it."""
    names = getattr(getattr(request.node, "callspec", None), "params", {}).values()
    if any(name in ON_SLURM for name in names):
        request.getfixturevalue("slurm")


def executor_of(kind: str, home: Path, slots: int) -> Executor:
    if kind == "mock":
        return MockExecutor(slots)
    if kind == "slurm":
        return SlurmExecutor(home, slots, SLURM)
    if kind == "pilot":
        return PilotExecutor(home, slots, PILOT, address="127.0.0.1")
    return ProcessExecutor(home, slots, idle_s=1.0, memory="auto")


def engine_of(kind: str, home: Path) -> Engine:
    if kind == "podman":
        return find_engine(kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(stand_in(home / "engines", kind).parent), prepend=os.pathsep)
        return find_engine(kind)


def in_sandbox(home: Path, folder: Path) -> Wrap:
    found = sandbox(home)
    assert not found.why_not
    return found.wrap(folder, read=[], network=True)


def processes() -> list[str]:
    """Command lines of all that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


class Bench:
    """One executor and the words that make its programs do something."""

    def __init__(self, kind: str, home: Path, slots: int = 2) -> None:
        self.kind = kind
        self.home = home
        home.mkdir(exist_ok=True)
        self.executor = executor_of(kind, home, slots)
        self.engine: Engine | None = None
        self.started: dict[str, ProgramStart] = {}
        self.ended: dict[str, ProgramEnd] = {}

    def words(self, run_for: float = 0.0, exit_code: int = 0) -> list[str]:
        if self.kind == "mock":
            return ["mock", f"run_for={run_for}", f"exit_code={exit_code}"]
        return ["sh", "-c", f"sleep {run_for}; exit {exit_code}"]

    def missing(self) -> list[str]:
        return ["mock", "start_error=ENOENT"] if self.kind == "mock" else ["no-such-program-here"]

    def launch(
        self,
        key: str,
        argv: list[str],
        *,
        cpus: int = 1,
        time_s: float | None = None,
        memory_bytes: int | None = None,
        grace_s: float = 15.0,
    ) -> Launch:
        folder = self.home / "work" / key
        (folder / "dir").mkdir(parents=True, exist_ok=True)
        cpus = NODE_CPUS if self.kind == "slurm" else cpus  # so that two run side by side
        launch = Launch(
            key=key, argv=argv, env={"SIRDAR_TASK_ID": key}, base_env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            cwd=f"{folder}/dir", stdout=f"{folder}/stdout", stderr=f"{folder}/stderr", cpus=cpus, time_s=time_s, grace_s=grace_s,
            memory_bytes=memory_bytes, wrap=in_sandbox(self.home, folder) if self.kind == "bubblewrap" else None,
        )  # fmt: skip
        if self.kind not in CONTAINED:
            return launch
        if self.engine is None:
            self.engine = engine_of(self.kind, self.home)
        image = sys.executable if self.kind == "apptainer" else containers.BASE  # a file that there is
        return contain(launch, self.engine, self.home, image=image, network=False)

    def folder(self, key: str) -> Path:
        return self.home / "work" / key

    async def wrote(self, key: str, text: str) -> None:
        """Waits until the program has written this."""
        async with asyncio.timeout(20):
            path = self.folder(key) / "stdout"
            while not path.exists() or text not in path.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

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


@pytest.fixture(params=["mock", *REAL])
def check(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Check], None]:
    if request.param in {"podman", "docker"}:
        request.getfixturevalue("podman_here")

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
        in_order = all(begins[n] <= begins[n + 2] for n in range(3))  # two start at once, either of them a bit before
        assert bench.kind == "slurm" or in_order  # order, and size, are Slurm's to judge
        large = () if bench.kind == "slurm" else ("k4",)
        for at in begins:
            running = [end for end in ends if (end.started_at or 0.0) <= at < end.ended_at]
            assert sum(2 if end.key in large else 1 for end in running) <= 2

    check(body)


def test_stop_of_what_runs_and_of_what_waits(check) -> None:
    async def body(bench: Bench) -> None:
        launches = [bench.launch(key, bench.words(60)) for key in ("a", "b", "c")]
        await bench.executor.start(launches)
        await bench.start_of("a")
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
        await bench.start_of("a")
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


@pytest.mark.parametrize("check", REAL, indirect=True)
def test_a_program_that_is_stopped_before_it_has_come_to_run_is_no_success(check) -> None:
    async def body(bench: Bench) -> None:
        await bench.executor.start([bench.launch("a", bench.words(60))])
        await bench.start_of("a")
        await bench.executor.stop(["a"], 20.0)
        end = await bench.end("a")
        assert (end.by, end.exit_code) == ("stop", -signal.SIGTERM)

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


@pytest.mark.parametrize("check", REAL, indirect=True)
def test_streams_variables_and_the_directory(check) -> None:
    async def body(bench: Bench) -> None:
        script = 'echo "$SIRDAR_TASK_ID $PATH" && pwd && echo told >&2 && echo made >here && cat'
        await bench.executor.start([bench.launch("a", ["sh", "-c", script])])
        assert (await bench.end("a")).exit_code == 0
        folder = bench.folder("a")
        assert (folder / "stdout").read_text() == f"a /usr/local/bin:/usr/bin:/bin\n{folder}/dir\n"
        assert (folder / "stderr").read_text() == "told\n"
        made = folder / "dir" / "here"
        assert made.read_text() == "made\n" and made.stat().st_uid == folder.stat().st_uid

    check(body)


@pytest.mark.parametrize("check", REAL, indirect=True)
def test_a_program_that_a_signal_ends(check) -> None:
    async def body(bench: Bench) -> None:
        await bench.executor.start([bench.launch("a", ["sh", "-c", "kill -SEGV $$"])])
        end = await bench.end("a")
        assert (end.exit_code, end.by, end.error_number) == (-signal.SIGSEGV, None, None)

    check(body)


@pytest.mark.parametrize("check", REAL, indirect=True)
def test_a_program_that_is_stopped_may_tidy_up_first(check) -> None:
    async def body(bench: Bench) -> None:
        script = "trap 'echo tidy; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
        await bench.executor.start([bench.launch("a", ["sh", "-c", script])])
        await bench.wrote("a", "ready")
        await bench.executor.stop(["a"], 20.0)
        end = await bench.end("a")
        assert (end.exit_code, end.by) == (7, "stop")
        assert "tidy" in (bench.folder("a") / "stdout").read_text()

    check(body)


@pytest.mark.parametrize("check", REAL, indirect=True)
def test_a_program_that_does_not_listen_is_killed_after_the_grace(check) -> None:
    async def body(bench: Bench) -> None:
        script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
        await bench.executor.start([bench.launch("a", ["sh", "-c", script])])
        await bench.wrote("a", "ready")
        await bench.executor.stop(["a"], 0.2)
        end = await bench.end("a")
        assert (end.exit_code, end.by) == (-signal.SIGKILL, "stop")

    check(body)


@pytest.mark.parametrize("check", REAL, indirect=True)
def test_nothing_that_a_program_starts_outlives_it(check, tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        mark = f"{time.time_ns()}"
        script = f"(setsid sleep 600.{mark} &) ; (sleep 601.{mark} &) ; exit 0"
        await bench.executor.start([bench.launch("a", ["sh", "-c", script])])
        assert (await bench.end("a")).exit_code == 0
        assert not [one for one in processes() if mark in one]

    check(body)


@pytest.mark.parametrize("check", REAL, indirect=True)
def test_what_a_program_used_is_told(check) -> None:
    async def body(bench: Bench) -> None:
        code = "x = bytearray(64 << 20)\nimport time\nlast = time.process_time() + 0.2\nwhile time.process_time() < last: pass"
        await bench.executor.start([bench.launch("a", ["python3", "-c", code])])
        end = await bench.end("a")
        assert end.exit_code == 0
        if bench.kind == "docker":  # its daemon starts it: nobody knows, and what the command used is not told instead
            assert (end.cpu_user_s, end.cpu_system_s, end.max_rss_bytes) == (0, 0, 0)
            return
        assert end.cpu_user_s + end.cpu_system_s > 0.19
        assert 64 << 20 < end.max_rss_bytes < 512 << 20

    check(body)


@pytest.mark.parametrize("check", REAL, indirect=True)
def test_a_program_over_its_memory(check) -> None:
    async def body(bench: Bench) -> None:
        await bench.executor.start(
            [bench.launch("a", ["python3", "-c", "bytearray(512 << 20)"], memory_bytes=64 << 20)]
        )
        end = await bench.end("a")
        by_group = (await bench.executor.probe()).memory_limit.startswith("cgroup")
        assert (end.exit_code, end.out_of_memory) == ((-signal.SIGKILL, True) if by_group else (1, False))

    check(body)


@pytest.mark.parametrize("kind", REAL)
def test_recovery_answers_for_all_that_was_handed_over(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind in {"podman", "docker"}:
        request.getfixturevalue("podman_here")

    async def first() -> dict[str, dict[str, object]]:
        bench = Bench(kind, tmp_path / "home")
        await bench.executor.recover({})
        keys = ["done", "runs"]
        launches = [bench.launch("done", bench.words(0, 4)), bench.launch("runs", bench.words(0.5, 6))]
        handles = await bench.executor.start(launches)
        await bench.end("done")
        await bench.executor.close(end_programs=False)
        return dict(zip(keys, handles, strict=True))

    async def second(handles: dict[str, dict[str, object]]) -> None:
        bench = Bench(kind, tmp_path / "home")
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
