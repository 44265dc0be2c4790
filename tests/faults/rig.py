"""The real product under faults: its processes by name, their deaths, and what must hold when all is over."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from own_server import Failed
from tests.system.product import Product, _processes_below, await_that

TEST_ID = "SIRDAR_TEST_ID"
ENDED = ("DONE", "FAILED", "CANCELLED")
ORDER = {"SUBMITTED": 0, "READY": 1, "RUNNING": 2, "DONE": 3, "FAILED": 3, "CANCELLED": 3}

# Every period scaled down. `agent_*` are the agent's own settings (see docs/explanation/agent.md).
PERIODS: Mapping[str, Any] = {
    "heartbeat_s": 0.5,
    "lease_s": 4,
    "accept_s": 3,
    "lost_after_s": 120,
    "claim_wait_s": 5,
    "expire_every_s": 0.2,
    "move_every_s": 0.2,
    "move_after_s": 0.5,
    "retry_base_s": 0.05,
    "retry_max_s": 0.5,
    "agent_evict_s": 1,
    "agent_restart_s": 0.05,
    "agent_restart_max_s": 0.4,
    "agent_retry_least_s": 0.05,
    "agent_retry_most_s": 0.3,
    "agent_request_timeout_s": 5,
    "agent_log_after_s": 0.05,
    "agent_message_poll_s": 0.1,
    "agent_porter_idle_s": 2,
}


@dataclass
class Rig(Product):
    """A ``sirdar up`` whose processes die. It keeps its port, so that clients and programs find it again."""

    fixed_port: int = 0
    porter_deaths: list[float] = field(default_factory=list)
    place: str = "server"
    test_id: str = field(default_factory=lambda: os.environ.get(TEST_ID, ""))  # whose processes they are, also later

    @property
    def home(self) -> Path:
        return self.root / self.place

    def start(self, port: int = 0) -> None:
        self.settings = {**PERIODS, **self.settings}
        with _belonging_to(self.test_id):
            super().start(port or self.fixed_port)
        self.fixed_port = self.port

    # ------------------------------------------------------------ its processes

    @property
    def server_pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def agent_pid(self) -> int:
        """The agent that holds the home; 0 where none does."""
        return _holder(self.home / "agent/agent.lock")

    @property
    def porter_pid(self) -> int:
        return _holder(self.home / "agent/porter.lock")

    def await_agent(self, within_s: float = 20.0) -> int:
        """The id of an agent that has said hello and lives."""

        def ready() -> int:
            pid = self.agent_pid
            return pid if pid and self._status().get("pid") == pid and self._status().get("porter_pid") else 0

        return int(await_that(ready, within_s, "the agent's start"))

    def _status(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.home / "agent/agent.json").read_text()))
        except (OSError, ValueError):
            return {}

    # ------------------------------------------------------------ deaths

    def kill(self, which: str) -> list[int]:
        """``kill -9`` to ``server``, ``agent``, ``porter`` or ``all``; the process ids that died."""
        names = ("server", "agent", "porter") if which == "all" else (which,)
        found = {"agent": self.agent_pid, "porter": self.porter_pid, "server": self.process and self.server_pid}
        pids = [pid for name in names if (pid := found[name])]
        if found["porter"] and "porter" in names:
            self.porter_deaths.append(time.time())
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if "server" in names:
            self.bury()
        return pids

    def bury(self) -> None:
        """Take note that the server's process has ended."""
        process = self.process
        assert process is not None and process.stdout is not None
        process.wait(30)
        process.stdout.close()
        self.process = None

    def again(self) -> None:
        """``sirdar up`` once more where it does not run, as its user would."""
        if self.process is None:
            self.start()

    def false_start(self, after_s: float) -> None:
        """``sirdar up``, and ``kill -9`` to it after so long, if it does not answer by then."""

        def strike() -> None:
            if self.process is not None:
                self.process.kill()

        timer = threading.Timer(after_s, strike)
        timer.start()
        try:
            self.start()
        except Failed:
            self.bury()
        finally:
            timer.cancel()
            timer.join()
        if self.process is not None and self.process.poll() is not None:
            self.bury()

    def freeze(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)

    def thaw(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    # ------------------------------------------------------------ what it says

    def patient(self, method: str, path: str, within_s: float = 60.0, **more: Any) -> httpx.Response:
        """A call that is repeated while the server is away."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                reply = self.admin.request(method, path, **more)
                if reply.status_code < 500:
                    return reply
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"{method} {path}: no answer within {within_s} s"
            time.sleep(0.05)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the database, read beside the server, whichever it is."""
        database = str(self.settings.get("database", ""))
        if not database:
            return super().rows(statement, *values)
        import psycopg

        with psycopg.connect(database.replace("+psycopg", "")) as connection:
            return list(connection.execute(statement.replace("?", "%s").encode(), values))

    def story(self, job_id: str) -> list[tuple[str, dict[str, Any]]]:
        """The job's events, oldest first."""
        found = self.rows("SELECT kind, data_json FROM events WHERE job_id = ? ORDER BY seq", job_id)
        return [(kind, json.loads(text)) for kind, text in found]

    def attempts(self, job_id: str) -> list[tuple[int, int, str, str | None]]:
        """(task, attempt, state, reason) of all tries."""
        query = "SELECT task_no, no, state, reason FROM attempts WHERE job_id = ? ORDER BY task_no, no"
        return [tuple(row) for row in self.rows(query, job_id)]  # type: ignore[misc]

    def attempt_is(self, job_id: str, state: str, number: int = 1) -> bool:
        return any(no == number and now == state for _, no, now, _ in self.attempts(job_id))

    def await_end(self, job_id: str, within_s: float = 60.0) -> dict[str, Any]:
        """The job at its end, also across restarts of the server."""

        def ended() -> dict[str, Any] | None:
            with contextlib.suppress(Exception):
                if self.rows("SELECT 1 FROM jobs WHERE id = ? AND ended_at IS NOT NULL", job_id):
                    return {"id": job_id}
            return None

        try:
            await_that(ended, within_s, f"the end of {job_id}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.picture(job_id)}") from None
        reply = self.patient("GET", f"/api/jobs/{job_id}")
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def picture(self, job_id: str) -> str:
        """All that can be told of a job that does not end, for the message of a failing test."""
        jobs = self.rows("SELECT state, total, expanded, waiting, leased FROM jobs WHERE id = ?", job_id)
        tasks = self.rows("SELECT * FROM tasks WHERE job_id = ?", job_id)
        resources = self.rows("SELECT name, session, seen_at, lease_until, unreachable_since FROM resources")
        agent = self.home / "agent/agent.log"
        tail = agent.read_text(errors="replace")[-3000:] if agent.exists() else ""
        parts = (jobs, tasks, self.attempts(job_id), self.story(job_id), resources, self.log()[-2000:], tail)
        return "\n".join(map(str, parts))

    # ------------------------------------------------------------ what must hold

    def check_story(self, job_id: str) -> None:
        """States only go forward, and every job and task ends once."""
        story = self.story(job_id)
        states = [data["state"] for kind, data in story if kind == "state"]
        ranks = [ORDER[state] for state in states]
        assert ranks == sorted(set(ranks)), (job_id, states)
        assert ranks[-1] == 3, (job_id, states)
        ends = [entry[0] for kind, data in story if kind == "ended" for entry in data["tasks"]]
        assert len(ends) == len(set(ends)), f"{job_id}: a task ended twice: {story}"

    def check_quiet(self, within_s: float = 10.0) -> None:
        """Nothing lives in the ledger, and nothing is left on the disk that only running tasks need."""
        live = "SELECT job_id, task_no, no, state FROM attempts WHERE state <> 'ENDED'"
        await_that(lambda: not self.rows(live), within_s, f"the end of {self.rows(live)}")
        leased = self.rows("SELECT id FROM jobs WHERE leased > 0 OR ended_at IS NULL")
        assert not leased, leased
        await_that(lambda: not self.leftovers(), within_s, f"the removal of {self.leftovers()}")
        if not self.settings.get("database"):
            assert self.rows("PRAGMA integrity_check") == [("ok",)]

    def leftovers(self) -> list[str]:
        """Files of tasks, drafts and live logs."""
        places = ("agent/work/*/dir/*", "blobs/tmp/*", "agent/cache/tmp/*", "logs/*/*")
        return [str(path.relative_to(self.home)) for place in places for path in self.home.glob(place)]


@contextlib.contextmanager
def _belonging_to(test_id: str) -> Iterator[None]:
    """What is started within belongs to the test, or to the module's fixture, that made it."""
    before = os.environ.get(TEST_ID, "")
    os.environ[TEST_ID] = test_id
    try:
        yield
    finally:
        os.environ[TEST_ID] = before


def _holder(lock: Path) -> int:
    """The process that holds a lock file, 0 where nobody does. Looks only: to try the lock could hinder who takes it."""
    try:
        inode = lock.stat().st_ino
    except FileNotFoundError:
        return 0
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4])
    return 0


@dataclass
class LooseAgent:
    """An agent of the test's own on a server that was started with ``slots=0``, so that the test may stand between them."""

    home: Path
    server: str
    join: str
    slots: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    test_id: str = field(default_factory=lambda: os.environ.get(TEST_ID, ""))
    environment: dict[str, str] = field(default_factory=dict)  # over that of the tests
    inside: tuple[str, ...] = ()  # a command that starts the agent's: in namespaces of its own, say

    def start(self) -> "LooseAgent":
        words = [*self.inside, sys.executable, "-m", "sirdar.agent", "--home", str(self.home), "--server", self.server]
        words += ["--join", self.join, "--slots", str(self.slots)]
        mine = {name.removeprefix("agent_"): value for name, value in PERIODS.items() if name.startswith("agent_")}
        mine = {name: value for name, value in mine.items() if not name.startswith(("restart", "evict"))}
        for name, value in {**mine, **self.settings}.items():
            words += ["--set", f"{name}={value}"]
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with (self.home.parent / "agent.err").open("ab") as errors, _belonging_to(self.test_id):
            self.process = subprocess.Popen(
                words, env=os.environ | self.environment, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
            )
        return self

    @property
    def porter_pid(self) -> int:
        return _holder(self.home / "porter.lock")

    def status(self) -> dict[str, Any]:
        """What it last said of itself."""
        try:
            return dict(json.loads((self.home / "agent.json").read_text()))
        except (OSError, ValueError):
            return {}

    def pids(self) -> list[int]:
        """Of the agent, its porter, and all that they run."""
        found = list(_processes_below(self.home / "work"))
        if porter := self.porter_pid:
            found.append(porter)
        if self.process is not None and self.process.poll() is None:
            found.append(self.process.pid)
        return found

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def power_off(self) -> None:
        """All of its machine dies at once."""
        while pids := self.pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.kill()

    def close(self) -> None:
        """Programs, porter and agent end; what does not is killed."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGUSR1)
            try:
                self.process.wait(45)
            except subprocess.TimeoutExpired:
                self.kill()
        if pid := self.porter_pid:
            os.kill(pid, signal.SIGTERM)
            await_that(lambda: not self.porter_pid, 10, "the porter's end")


def hold(condition: Callable[[], Any], for_s: float) -> None:
    """Checks that something stays true for a while."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        assert condition()
        time.sleep(0.05)
