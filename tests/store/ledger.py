"""A ledger with the real services on a real database, a clock that tests set, agents that live in memory, and a check of
everything that must hold in the ledger between two calls."""

import asyncio
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from sirdar.dispatch.assign import Assigner
from sirdar.dispatch.desk import Desk
from sirdar.dispatch.expire import expire
from sirdar.domain.failures import FailureGroup
from sirdar.domain.ids import UserId
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.domain.states import OnFailure, State
from sirdar.services import explain
from sirdar.services import jobs as job_services
from sirdar.services.advance import advance, remove_unwanted
from sirdar.services.context import Services
from sirdar.services.hub import Hub
from sirdar.services.job_inputs import Prepared
from sirdar.services.keys import Keys
from sirdar.services.open_jobs import add_now
from sirdar.services.settings import Settings
from sirdar.services.submit import insert
from sirdar.store import preparing, resource_use, resources
from sirdar.store import tables as t
from sirdar.store.engine import Store, Tx
from sirdar.store.failures import add_failures
from sirdar.store.jobs import NewJob
from sirdar.wire.agent import (
    Capabilities,
    Claim,
    Final,
    HeartbeatRequest,
    HelloRequest,
    OwnedAttempt,
    SyncRequest,
)

T = TypeVar("T")
START = 1_800_000_000.0
USERS = ("anna", "boris")
CPUS, MEMORY = 4, 2**33
APP, VERSION = "0000000000000app", "00000000version1"
ENDED = ("DONE", "FAILED", "CANCELLED")
MET = 0.25
CRITERION = f'{{"key":"loss","maximize":false,"stop":"loss < {MET}","kinds":{{"loss":"number"}},"inputs":[]}}'


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Ledger:
    """One server's store and services. ``restart`` makes new ones on the same database, as a killed server would."""

    def __init__(self, url: str, home: Path, *, create: bool = True, people: bool = True, **settings: Any) -> None:
        self.url, self.clock = url, Clock()
        self.settings = Settings(home=home, database=url, lost_after_s=100.0, **settings)
        self.keys = Keys(b"k" * 32)
        self._numbers = itertools.count(1)
        self._runner = asyncio.Runner()
        self.resources: list[str] = []
        self._open()
        if create:
            t.metadata.create_all(self.store.write_engine)
        if people:
            self.store.write_now(_add_people_and_app)

    def beside(self) -> "Ledger":
        """Another server on the same database, at the same time by the same clock."""
        other = Ledger(self.url, self.settings.home, create=False, people=False)
        other.clock.now = self.clock.now
        return other

    def close(self) -> None:
        self.store.close()
        self._runner.close()

    def empty(self) -> None:
        """Remove every row, for the next ledger on the same database. The ledger is closed already."""
        engine = sa.create_engine(self.url)
        with engine.begin() as conn:
            conn.execute(sa.text(f"TRUNCATE {', '.join(t.metadata.tables)}"))
        engine.dispose()

    def restart(self) -> None:
        """The server dies and another one starts: what was in memory is gone."""
        self.store.close()
        self._open()
        self.write(lambda tx: resources.extend_all_leases(tx, self.settings.lease_s))

    def _open(self) -> None:
        self.store = Store(self.url, clock=self.clock)
        if self.store.sqlite:  # no power fails in these tests, and waiting for the disk would take most of their time
            sa.event.listen(self.store.write_engine, "connect", _do_not_wait_for_the_disk)
        nothing = cast(Any, None)
        self.services = Services(self.settings, self.store, self.keys, Hub(), nothing, nothing, nothing)
        self.assigner = Assigner(self.settings, self.keys)
        self.desk = Desk(self.settings, self.store, self.keys, self.assigner, nothing)
        self.store.before_commit.append(self.assigner.before_commit)
        self.store.after_commit.append(self.services.hub.publish)
        self.store.after_others += [self.desk.on_others, self.assigner.on_others, self.services.hub.publish]

        async def start() -> None:
            self.store.start()

        self._runner.run(start())

    # ------------------------------------------------------------ verbs

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)

    def write(self, command: Callable[[Tx], T]) -> T:
        return cast(T, self._runner.run(self.store.write(command)))

    def read(self, query: Callable[[sa.Connection], T]) -> T:
        return self.store.read_now(query)

    def rows(self, table: sa.Table, **equal: Any) -> list[Any]:
        """Rows in the order of their key."""
        where = [table.c[name] == value for name, value in equal.items()]
        query = sa.select(table).where(*where).order_by(*table.primary_key.columns)
        return list(self.read(lambda conn: conn.execute(query).all()))

    def submit(self, n: int = 1, *, owner: str = "anna", after: Sequence[str] = (), **values: Any) -> str:
        """A job of ``n`` tasks; its id."""
        job_id = f"job{next(self._numbers):013d}"
        if after:
            values |= {"state": State.SUBMITTED, "waits": after, "pending_json": f'{{"after": {_texts(after)}}}'}
        new = NewJob(
            id=job_id,
            owner_id=f"id-{owner}",
            app_id=APP,
            version_id=VERSION,
            name=values.pop("name", "a job"),
            inputs_json="{}",
            total=n,
            many=(many := n > 1 or "open_s" in values),
            items=[{"i": i} for i in range(n)] if many else (),
            retries=values.pop("retries", 5),
            on_failure=OnFailure(values.pop("on_failure", "continue")),
            **values,
        )
        self.write(lambda tx: insert(tx, self.services, new))
        return job_id

    def add(self, job_id: str, n: int = 0, *, last: bool = False) -> None:
        """More tasks of an open job. Raises Problem where it takes none."""
        first = self.job(job_id).total
        prepared = Prepared({}, [{"i": first + i} for i in range(n)])
        self.write(lambda tx: add_now(tx, self.settings, job_id, prepared, first=first, last=last))

    def attach(self, name: str = "", *, shared: str = "everyone") -> "Agent":
        """A resource of anna's with its agent, which has said hello."""
        number = len(self.resources)
        resource_id = f"res{number:013d}"

        def write(tx: Tx) -> None:
            resources.insert_resource(
                tx,
                id=resource_id,
                name=name or f"machine{number}",
                owner_id="id-anna",
                lost_after_s=self.settings.lost_after_s,
            )
            if shared:
                resource_use.put_share(tx, resource_id, shared)

        self.write(write)
        self.resources.append(resource_id)
        agent = Agent(self, resource_id)
        agent.hello()
        return agent

    def cancel(self, job_id: str, by: str = "anna") -> None:
        self.write(lambda tx: job_services.cancel_now(tx, self.services, [job_id], by))

    def delete(self, job_id: str) -> bool:
        return bool(self.run(job_services.delete_job(self.services, caller("anna", admin=True), job_id)))

    def expire(self) -> None:
        self.write(lambda tx: expire(tx, self.settings))

    def advance(self) -> None:
        """What the loop of that name does in one round."""
        for job_id in self.read(preparing.submitted_jobs):
            self.run(advance(self.services, job_id))
        self.run(remove_unwanted(self.services))

    def explain(self, job_id: str) -> explain.Explanation:
        who = caller("anna", admin=True)
        return self.read(lambda conn: explain.explain_now(conn, who, job_id, now=self.clock()))

    def job(self, job_id: str) -> Any:
        (row,) = self.rows(t.jobs, id=job_id)
        return row

    def task(self, job_id: str, no: int = 0) -> Any:
        (row,) = self.rows(t.tasks, job_id=job_id, no=no)
        return row

    def attempt(self, job_id: str, no: int = 0, attempt: int = 1) -> Any:
        (row,) = self.rows(t.attempts, job_id=job_id, task_no=no, no=attempt)
        return row

    def kinds(self, job_id: str) -> list[str]:
        """Kinds of the job's events, in order."""
        return [row.kind for row in self.rows(t.events, job_id=job_id)]


@dataclass
class Agent:
    """An agent as the server sees it: it calls, and may lose the answers. ``owned``: what it believes to run, by key."""

    ledger: Ledger
    resource_id: str
    session: str = "s0"
    offers: set[str] = field(default_factory=set)  # received, neither accepted nor refused
    owned: dict[str, str] = field(default_factory=dict)  # accepted: key -> phase
    outbox: dict[str, Final] = field(default_factory=dict)  # finals that nobody acknowledged yet
    cancels: set[str] = field(default_factory=set)
    loss: Any = None  # what its programs give next
    _lives: Any = field(default_factory=lambda: itertools.count(1))

    def sync(self, *, lost: bool = False, **parts: Any) -> dict[str, Any]:
        """One call. ``lost``: the answer does not arrive (it is returned all the same, for the test)."""
        try:
            reply = self._call(parts)
        except Problem as problem:  # as every agent does whose lease ran out
            assert problem.code == "unknown_session"
            self.hello()
            reply = self._call(parts)
        if not lost:
            self._take(reply)
        return reply

    def _call(self, parts: dict[str, Any]) -> dict[str, Any]:
        request = SyncRequest(session=self.session, offers_held=sorted(self.offers), **parts)
        return cast(dict[str, Any], self.ledger.run(self.ledger.desk.sync(self._resource(), request)))

    def _resource(self) -> str:
        """As every call does: the desk reads the resource where it does not know it."""
        token = f"{self.resource_id}:{int(self.ledger.clock()) + 60}"
        text = f"a1.{token}.{self.ledger.keys.sign('agent', token)}"
        row = self.ledger.run(self.ledger.desk.resource(text))
        return cast(str, row.id)

    def _take(self, reply: dict[str, Any]) -> None:
        self.offers |= {offer["key"] for offer in reply.get("offers", [])}
        for key in reply.get("accepted", []):
            self.offers.discard(key)
            self.owned.setdefault(key, "ACCEPTED")
        for key in reply.get("forget", []):
            self.forget(key)
        for key in reply.get("acked", []):
            self.outbox.pop(key, None)
            self.owned.pop(key, None)
        self.cancels |= set(reply.get("desired", {}))

    def forget(self, key: str) -> None:
        self.offers.discard(key)
        self.owned.pop(key, None)
        self.outbox.pop(key, None)
        self.cancels.discard(key)

    def claim(self, n: int = 1, *, lost: bool = False) -> list[str]:
        """Keys of what was offered."""
        reply = self.sync(lost=lost, claim=Claim(max_n=n))
        return [offer["key"] for offer in reply.get("offers", [])]

    def accept(self, keys: Iterable[str], *, lost: bool = False) -> list[str]:
        """Those that may start."""
        return cast(list[str], self.sync(lost=lost, accepts=list(keys)).get("accepted", []))

    def take(self, n: int = 1) -> list[str]:
        """Claim and accept."""
        return self.accept(self.claim(n))

    def phase(self, key: str, phase: str = "RUNNING") -> None:
        if key in self.owned:
            self.owned[key] = phase
        self.sync(started=[{"key": key, "state": phase, "at": self.ledger.clock()}])

    def final(self, key: str, reason: str = "ok", *, lost: bool = False, **values: Any) -> dict[str, Any]:
        self.outbox.setdefault(key, self.make_final(key, reason, **values))
        return self.sync(lost=lost, finals=[self.outbox[key]])

    def make_final(self, key: str, reason: str = "ok", **values: Any) -> Final:
        now = self.ledger.clock()
        code = {"ok": 0, "exit_code": 3}.get(reason)
        given = {"message": f"It ended: {reason}", "exit_code": code, "ended_at": now, "reported_at": now, **values}
        if reason == "ok":
            given.setdefault("outputs", {"loss": self.loss} if self.loss is not None else {})
        return Final(key=key, reason=reason, **given)

    def heartbeat(self, *, omit: Iterable[str] = (), lost: bool = False) -> dict[str, str]:
        """The wishes that the server answered."""
        named = [key for key in self.owned if key not in set(omit)]
        owned = [OwnedAttempt(key=key, state=self.owned[key]) for key in named]
        request = HeartbeatRequest(session=self.session, owned=owned)
        reply = self.ledger.run(self.ledger.desk.heartbeat(self._resource(), request))
        if not lost:
            self._obey(reply["desired"])
        return cast(dict[str, str], reply["desired"])

    def hello(self, *, new: bool = False, keep: Iterable[str] | None = None, lost: bool = False) -> None:
        """Begin a session (``new``: the agent began a new life and has lost its offers); it still owns ``keep``."""
        if new:
            self.session = f"s{next(self._lives)}"
            self.offers.clear()
            kept = set(self.owned if keep is None else keep)
            self.owned = {key: phase for key, phase in self.owned.items() if key in kept}
            self.outbox = {key: final for key, final in self.outbox.items() if key in kept}
        capabilities = Capabilities(cpus=CPUS, memory_bytes=MEMORY, slots=CPUS)
        request = HelloRequest(
            protocols=[1],
            agent_version="1",
            session=self.session,
            capabilities=capabilities,
            owned=[OwnedAttempt(key=key, state=phase) for key, phase in self.owned.items()],
        )
        reply = self.ledger.run(self.ledger.desk.hello(self.resource_id, request))
        if not lost:
            self._obey(reply.desired)

    def _obey(self, desired: dict[str, str]) -> None:
        for key, wish in desired.items():
            if wish == "forget":
                self.forget(key)
            elif wish == "cancel":
                self.cancels.add(key)


def caller(name: str, *, admin: bool = False) -> Caller:
    return Caller(UserId(f"id-{name}"), name, is_admin=admin)


def _texts(values: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def _do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def _add_people_and_app(tx: Tx) -> None:
    for name in USERS:
        tx.conn.execute(sa.insert(t.users).values(id=f"id-{name}", name=name, created_at=START))
    app = {"id": APP, "owner_id": "id-anna", "alias": "true", "name": "True", "latest": 1}
    tx.conn.execute(sa.insert(t.apps).values(**app, created_at=START, updated_at=START))
    version = {"id": VERSION, "app_id": APP, "number": 1, "digest": "d1", "files_json": "[]"}
    document = '{"sirdar":1,"alias":"true","name":"True","command":"true"}'
    tx.conn.execute(
        sa.insert(t.versions).values(**version, document_json=document, created_at=START, created_by="anna")
    )


def count_failures(tx: Tx, job_id: str) -> None:
    """Count failed tasks that a test wrote by itself, as the product does when they end."""
    tx.conn.execute(sa.delete(t.job_failures).where(t.job_failures.c.job_id == job_id))
    query = sa.select(t.tasks).where(t.tasks.c.job_id == job_id, t.tasks.c.state == "FAILED")
    for row in tx.conn.execute(query.order_by(t.tasks.c.no)).all():
        add_failures(tx, job_id, [FailureGroup(row.reason, row.message or "", row.exit_code, 1, row.no)])


# ---------------------------------------------------------------- what must hold between two calls


def check(ledger: Ledger) -> tuple[list[Any], list[Any]]:
    """Jobs and tasks. Raises AssertionError where the ledger contradicts itself."""
    return ledger.read(lambda conn: _check(conn, ledger.clock()))


def _check(conn: sa.Connection, now: float) -> tuple[list[Any], list[Any]]:
    jobs, *others = (_all(conn, table) for table in (t.jobs, t.tasks, t.attempts, t.events, t.job_failures))
    tasks, attempts, events, failures = (_by_job(rows) for rows in others)
    for job in jobs:
        mine = tasks.get(job.id, [])
        _check_counts(job, mine)
        _check_tries(job, mine, attempts.get(job.id, []))
        _check_events(job, events.get(job.id, []))
        _check_failures(job, mine, failures.get(job.id, []))
        _check_best(job, mine)
        if job.ended_at is None:
            said = explain.explain_now(conn, caller("anna", admin=True), job.id, now=now)
            assert said.why, f"nobody knows why {job.id} is {job.state}"
            assert said.summary, job.id
    return jobs, others[0]


def _all(conn: sa.Connection, table: sa.Table) -> list[Any]:
    return list(conn.execute(sa.select(table).order_by(*table.primary_key.columns)).all())


def _by_job(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.job_id, []).append(row)
    return found


def _check_counts(job: Any, tasks: list[Any]) -> None:
    """The job's counts are what its tasks' rows say."""
    states = Counter(task.state for task in tasks)
    unleased = [task for task in tasks if task.state not in ENDED and not task.leased]
    unexpanded = job.total - job.expanded
    never_run = unexpanded if job.cancel_requested_at is not None or job.ended_at is not None else 0
    where = f"{job} with {tasks}"
    assert [task.no for task in tasks] == list(range(job.expanded)), where
    assert all(task.state == "READY" for task in unleased), f"nobody would ever place it: {where}"
    assert all(task.state not in ENDED for task in tasks if task.leased), where
    assert job.waiting == len(unleased) + unexpanded - never_run, where
    assert job.leased == sum(1 for task in tasks if task.leased), where
    assert job.done == states["DONE"], where
    refused = never_run if job.state == "FAILED" and not job.cancelled else 0
    assert job.failed == states["FAILED"] + refused, where
    assert job.cancelled == states["CANCELLED"] + never_run - refused, where
    assert job.waiting + job.leased + job.done + job.failed + job.cancelled == job.total, where
    assert (job.ended_at is not None) == (job.waiting == 0 and job.leased == 0 and job.open_until is None), where
    assert (job.state in ENDED) == (job.ended_at is not None), where
    assert (job.reason is not None) == (job.state in ENDED), where
    if job.cancel_requested_at is not None:
        assert job.waiting == 0, f"what waits was not withdrawn: {where}"
        assert job.open_until is None, f"more would come: {where}"


def _check_tries(job: Any, tasks: list[Any], attempts: list[Any]) -> None:
    for task in tasks:
        tries = [attempt for attempt in attempts if attempt.task_no == task.no]
        live = [attempt for attempt in tries if attempt.state != "ENDED"]
        offered = [attempt.no for attempt in live if attempt.state == "OFFERED"]
        held = [attempt.no for attempt in live if attempt.state != "OFFERED"]
        where = f"{job.id} {task} with {tries}"
        assert [attempt.no for attempt in tries] == list(range(1, task.last_attempt + 1)), where
        assert len(offered) <= 1, where
        assert len(held) <= 1, f"two attempts count: {where}"
        assert all((attempt.reason is not None) == (attempt.state == "ENDED") for attempt in tries), where
        if task.state in ENDED:
            assert not live, f"an ended task has a live attempt: {where}"
            assert task.reason is not None, where
            continue
        assert not offered or task.leased, where
        assert live or not task.leased, f"leased to nobody: {where}"
        assert held == ([task.attempt] if task.attempt else []), where
        if task.state == "RUNNING":
            assert task.attempt, where
            assert task.started_at is not None, where
        if job.cancel_requested_at is not None:
            told = [attempt for attempt in live if attempt.cancel_at is not None]
            assert told == live, f"an agent has not been told of the cancellation: {where}"
            assert live, where


def _check_failures(job: Any, tasks: list[Any], groups: list[Any]) -> None:
    """What is counted of failures is what the failed tasks' rows say."""
    failed = [task for task in tasks if task.state == "FAILED"] if job.many else []
    assert sum(group.count for group in groups) == len(failed), f"{groups} for {failed}"
    for group in groups:
        alike = [task for task in failed if (task.reason, task.exit_code) == (group.reason, group.exit_code)]
        assert group.example in [task.no for task in alike], f"{group} for {alike}"


def _check_best(job: Any, tasks: list[Any]) -> None:
    """The best task is the best of those that are done, and a job stops early because one of them met its condition."""
    if job.criterion_json is None:
        assert (job.best_task, job.met_task) == (None, None), job
        return
    done = {task.no: json.loads(task.result_json or "{}").get("loss") for task in tasks if task.state == "DONE"}
    known = {no: loss for no, loss in done.items() if type(loss) in (int, float) and math.isfinite(loss)}
    best = min(known, key=lambda no: (known[no], no), default=None)
    assert (job.best_task, job.best_value) == (best, known.get(best)), f"{job} with {done}"
    if job.met_task is not None:
        assert known[job.met_task] < MET, f"{job} with {done}"
        assert job.state in ("DONE", "CANCELLED") or job.ended_at is None, job
    elif job.cancel_requested_at is None and job.ended_at is None:
        assert not any(loss < MET for loss in known.values()), f"{job} goes on with {done}"
    if job.cancel_requested_by == "stop_when: met":
        assert job.met_task is not None, job
        assert job.state in ("READY", "RUNNING", "DONE"), job
        if job.ended_at is not None:
            assert job.message.startswith(f"Stopped early: task {job.met_task} met loss < {MET}") == bool(job.cancelled)


def _check_events(job: Any, events: list[Any]) -> None:
    assert [event.seq for event in events] == list(range(1, job.event_seq + 1)), f"{job.id}: {events}"
    ends = [event for event in events if event.kind == "state" and '"state":"' in event.data_json and _ends(event)]
    assert len(ends) == (1 if job.ended_at is not None else 0), f"{job.id}: {events}"


def _ends(event: Any) -> bool:
    return any(f'"state":"{state}"' in event.data_json for state in ENDED)
