"""The fault matrix: phases of a task's life, what may strike in each of them, and what must hold afterwards.

A phase is held by real means (see ``field.PHASES``), a fault strikes, the phase is let go, the fault is over; then the task has
exactly one end. ``play`` checks the same for every pair. What is told of each fault here stands in docs/explanation/faults.md.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import PostgresCluster
from tests.faults.field import Field, Held
from tests.faults.machine import Boot, Clock, filled
from tests.faults.proxy import Call
from tests.faults.release import Release
from tests.faults.rig import hold
from tests.system.product import await_that

from sirdar.agent.home import peek_status
from sirdar.domain.outcome import Reason

# Periods so short that leases and the patience with silent agents run out while a test looks.
PERIODS: Mapping[str, Any] = {"lease_s": 1, "lost_after_s": 60, "heartbeat_s": 0.2, "accept_s": 4, "claim_wait_s": 1}
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Phase:
    """Where a task stands while a fault strikes.

    ``shows``: states of the attempt in the ledger. ``begun``: its program has started once.
    """

    name: str
    shows: tuple[str, ...]
    begun: bool = False
    gated: bool = False  # the program waits for a file
    held: str | None = None  # the phase of the field that holds it there


PHASES = (
    Phase("waiting", ()),
    Phase("offered", ("OFFERED",), held="offered"),
    Phase("accepted", ("ACCEPTED",), held="accepted"),
    Phase("staging_in", ("STAGING_IN",), held="staging_in"),
    Phase("running", ("RUNNING",), begun=True, gated=True),
    Phase("staging_out", ("STAGING_OUT",), begun=True, held="staging_out"),
    Phase("ended", ("RUNNING", "STAGING_OUT"), begun=True, gated=True, held="final_held"),
    Phase("reported", ("ENDED",), begun=True, held="final_sent"),
)
ALL = tuple(phase.name for phase in PHASES)
WORKS = ("accepted", "staging_in", "running", "staging_out")


@dataclass(slots=True)
class Scene:
    """Where a fault strikes: the field, the job, and what else can be done to their machines."""

    field: Field
    job: Held
    phase: Phase
    things: "Things"


@dataclass(slots=True)
class Things:
    """What faults need besides the field; each is made where it is used."""

    boot: Boot | None = None
    agent_clock: Clock | None = None
    server_clock: Clock | None = None
    release: Release | None = None
    database: PostgresCluster | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What strikes. ``again``: phases in which the first try ends by one of these reasons, and a second one is made.

    ``strike`` is a generator: it strikes before its ``yield``; what follows comes when the phase has been let go.
    """

    name: str
    does: str
    then: str
    strike: Callable[[Scene], Iterator[None]]
    again: Mapping[str, Collection[Reason]] = field(default_factory=dict)
    may: Mapping[str, Collection[Reason]] = field(default_factory=dict)  # phases in which that may happen, or not
    given_up: bool = False  # the agent is silent for so long that a replacement is looked for


# ---------------------------------------------------------------- the agent and its machine


def kill_agent(scene: Scene) -> Iterator[None]:
    scene.field.kill("agent")
    yield


def stop_machine(scene: Scene) -> Iterator[None]:
    """All processes of the machine stand still for longer than the lease, as in a laptop that was closed."""
    stopped: set[int] = set()
    while moving := set(scene.field.agent.pids()) - stopped:  # one may have ended, or begun another, meanwhile
        for pid in moving:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= moving
    await_that(scene.field.unreachable, 15, "the end of the lease")
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    yield


def restart_machine(scene: Scene) -> Iterator[None]:
    """Everything on it dies at once; its agent starts again in another boot."""
    assert scene.things.boot is not None
    scene.field.agent.power_off()
    scene.field.network.break_connections()
    scene.things.boot.next()
    scene.field.agent.start()
    yield


def _has_begun(field: Field) -> bool:
    """This life of the agent has a porter, and has been greeted."""
    process, status = field.agent.process, peek_status(field.agent.home)
    own = process is not None and status.get("pid") == process.pid
    return own and bool(status.get("porter_pid")) and status.get("session") == field.seen()["session"]


def fill_disk(scene: Scene) -> Iterator[None]:
    await_that(lambda: _has_begun(scene.field), 15, "the agent: without room one does not begin")
    with filled(scene.field.agent.home):
        if scene.phase.name != "running":  # the program would fail by itself, which is another matter
            yield
        hold(lambda: scene.field.agent.process is not None and scene.field.agent.process.poll() is None, 0.7)
    if scene.phase.name == "running":
        yield


def revoke(scene: Scene) -> Iterator[None]:
    """The agent ends and what it runs too; the same machine joins once more."""
    field = scene.field
    assert field.agent.process is not None
    reply = field.server.patient("POST", f"/api/resources/{field.resource}/revoke")
    assert reply.status_code == 200, reply.text
    field.network.clear()
    assert field.agent.process.wait(30) == 4, "an agent without access says so by its exit code"
    assert not field.agent.pids()
    field.join_again()
    yield


def jump_agent_clock(ahead_s: float) -> Callable[[Scene], Iterator[None]]:
    def strike(scene: Scene) -> Iterator[None]:
        assert scene.things.agent_clock is not None
        scene.things.agent_clock.set_ahead(ahead_s)
        await_calls(scene, "/token")
        yield
        scene.job.await_end()
        scene.things.agent_clock.set_ahead(0.0)

    return strike


# ---------------------------------------------------------------- the line


def cut_shortly(scene: Scene) -> Iterator[None]:
    network = scene.field.network
    network.cut()
    hold(lambda: not scene.field.unreachable(), PERIODS["lease_s"] / 2)
    network.mend()
    yield


def cut_beyond_lease(scene: Scene) -> Iterator[None]:
    scene.field.network.cut()
    await_that(scene.field.unreachable, 15, "the end of the lease")
    yield
    scene.field.network.mend()


def cut_beyond_patience(scene: Scene) -> Iterator[None]:
    """The task waits for a replacement; its own agent is the first that comes back."""
    with scene.field.patience(0.5):
        scene.field.network.cut()
        await_that(scene.field.unreachable, 15, "the end of the lease")
        await_that(lambda: not scene.field.leased(scene.job.id), 15, "the task's return")
        yield
        scene.field.network.mend()
        await_that(lambda: not scene.field.unreachable(), 15, "the agent's return")


def slow_line(scene: Scene) -> Iterator[None]:
    rule = scene.field.network.add("slow", lambda call: True)
    yield
    scene.job.await_end()
    rule.release()


def every_call_twice(scene: Scene) -> Iterator[None]:
    rule = scene.field.network.add("twice", lambda call: True)
    yield
    scene.job.await_end()
    rule.release()


def old_calls_late(scene: Scene) -> Iterator[None]:
    """Every second call of each kind gets no answer, and arrives after the one that repeats it."""
    numbers: dict[str, int] = {}

    def second(call: Call) -> bool:
        kind = call.path.partition("?")[0]
        numbers[kind] = numbers.get(kind, 0) + 1
        return numbers[kind] % 2 == 1

    rule = scene.field.network.add("late", second)
    await_that(lambda: len(rule.calls) > 2, 15, "calls that come late")
    yield
    scene.job.await_end()
    rule.release()


def expire_token(scene: Scene) -> Iterator[None]:
    """It expires while the agent cannot ask for another one."""
    deaf = scene.field.network.add("lose", lambda call: call.path.endswith("/token"), before=True)
    deaf.await_met()
    hold(lambda: True, scene.field.server.settings["agent_token_s"])
    yield
    deaf.release()


# ---------------------------------------------------------------- the server


def kill_server(scene: Scene) -> Iterator[None]:
    scene.field.kill("server")
    yield


def renew_server(scene: Scene) -> Iterator[None]:
    """It is killed, and comes back as a release with a newer schema."""
    assert scene.things.release is not None
    scene.field.server.kill("server")
    revision = scene.things.release.add_migration()
    scene.field.server.environment |= scene.things.release.environment
    scene.field.server.again()
    scene.field.network.break_connections()
    assert scene.field.server.rows("SELECT version_num FROM alembic_version") == [(revision,)]
    yield


def jump_server_clock(ahead_s: float) -> Callable[[Scene], Iterator[None]]:
    def strike(scene: Scene) -> Iterator[None]:
        assert scene.things.server_clock is not None
        scene.things.server_clock.set_ahead(ahead_s)
        heard = len(scene.field.network.calls)
        await_that(lambda: len(scene.field.network.calls) > heard + 2, 15, "calls at the new time")
        yield
        scene.job.await_end()
        scene.things.server_clock.set_ahead(0.0)

    return strike


def restart_database(scene: Scene) -> Iterator[None]:
    """It stays away for longer than the lease, and the phase is let go meanwhile where that needs no word of the server."""
    database = scene.things.database
    assert database is not None
    database.halt()
    if scene.phase.name != "waiting":
        yield
    hold(lambda: True, 1.5 * PERIODS["lease_s"])
    assert scene.field.server.admin.get("/api/jobs").json()["code"] == "unavailable"
    database.run()
    if scene.phase.name == "waiting":
        yield


def await_calls(scene: Scene, path: str) -> None:
    """A call to that path which comes from now on."""
    heard = len(scene.field.network.calls)
    await_that(lambda: any(c.path.endswith(path) for c in scene.field.network.calls[heard:]), 15, f"a call to {path}")


REBOOTED = {phase: [Reason.PORTER_LOST] for phase in WORKS}
# An end that was ready, and that nobody would hear any more, is told by the next life of the agent: it comes too late.
REVOKED = {phase: [Reason.AGENT_LOST] for phase in ("offered", *WORKS)}
REVOKED |= {phase: [Reason.AGENT_LOST, Reason.SUPERSEDED] for phase in ("staging_out", "ended")}
NO_ROOM = {
    phase: [Reason.STAGE_IN, Reason.START, Reason.STAGE_OUT]
    for phase in ("waiting", "offered", "accepted", "staging_in", "staging_out")
}

AGENT = (
    Fault("agent_killed", "`kill -9` to the agent", "it is started again and goes on", kill_agent),
    Fault("machine_stood", "all processes of the agent's machine stand still for longer than the lease",
          "they go on", stop_machine),
    Fault("machine_restarted", "the agent's machine loses its power and starts again",
          "what it had taken over is tried again (`porter_lost`); ends that were written down count",
          restart_machine, again=REBOOTED),
    Fault("disk_full", "the agent's disk is full for a while",
          "what cannot begin waits, or is tried again (`stage_in`, `start`); what runs goes on", fill_disk, may=NO_ROOM),
    Fault("revoked", "the resource's access is revoked; the machine joins again",
          "what it had is ended and tried again (`agent_lost`)", revoke, again=REVOKED),
    Fault("agent_clock_ahead", "the clock of the agent's machine jumps ahead by an hour", "nothing",
          jump_agent_clock(HOUR_S)),
    Fault("agent_clock_behind", "it jumps back by an hour", "nothing", jump_agent_clock(-HOUR_S)),
)  # fmt: skip
LINE = (
    Fault("cut_shortly", "the line is cut for less than the lease", "nothing", cut_shortly),
    Fault("cut_beyond_lease", "it is cut for longer than the lease",
          "the resource is shown as unreachable; what runs goes on and is delivered", cut_beyond_lease),
    Fault("cut_beyond_patience", "it is cut for longer than `lost_after`",
          "the task waits for a replacement; the agent that is back before has it on", cut_beyond_patience,
          given_up=True),
    Fault("slow", "the line is slow", "nothing but time", slow_line),
    Fault("twice", "every call arrives twice", "nothing", every_call_twice),
    Fault("late", "every second call arrives after the one that repeats it", "nothing", old_calls_late),
    Fault("token_expired", "the agent's token expires, and it gets no other for a while",
          "it goes on when it has one", expire_token),
)  # fmt: skip
SERVER = (
    Fault("server_killed", "`kill -9` to the server", "it is started again and goes on", kill_server),
    Fault("server_clock_ahead", "the server's clock jumps ahead by an hour", "nothing", jump_server_clock(HOUR_S)),
    Fault("server_clock_behind", "it jumps back by an hour", "nothing", jump_server_clock(-HOUR_S)),
    Fault("server_renewed", "the server comes back as a release with a newer schema", "it goes on", renew_server),
)
DATABASE = (
    Fault("database_restarted", "PostgreSQL is away for longer than the lease and comes back",
          "the server says `unavailable` meanwhile, and goes on", restart_database),
)  # fmt: skip


# ---------------------------------------------------------------- one pair


def play(field: Field, phase: Phase, fault: Fault, things: Things) -> None:
    """Brings a task to the phase, lets the fault strike, and checks what must always hold."""
    with _held(field, phase) as (job, let_go):
        scene = Scene(field, job, phase, things)
        strike = fault.strike(scene)
        next(strike)
        let_go()
        next(strike, None)
        _check(scene, fault)


@contextlib.contextmanager
def _held(field: Field, phase: Phase) -> Iterator[tuple[Held, Callable[[], None]]]:
    """A job in that phase, and what lets it go on."""
    field.network.clear()
    if phase.name == "waiting":
        field.set_mode("drain")
    rule = field.hold(phase.held) if phase.held is not None else None
    job = field.submit(gate=phase.gated, given=not phase.gated)

    def let_go() -> None:
        if phase.name == "waiting":
            field.set_mode("active")
        if rule is not None:
            rule.release()
        job.open()

    try:
        if phase.gated:
            job.await_start()
            job.await_state("RUNNING")
        if phase.name == "ended":
            job.open()
        if rule is not None:
            rule.await_met()
        if phase.shows:
            job.await_state(*phase.shows)
        yield job, let_go
    finally:
        let_go()
        field.network.clear()


def _check(scene: Scene, fault: Fault) -> None:
    field, job, phase = scene.field, scene.job, scene.phase
    job.await_done(starts=None)
    picture = lambda: field.server.picture(job.id)  # noqa: E731
    tries = field.server.attempts(job.id)
    assert [no for _, no, _, _ in tries] == list(range(1, len(tries) + 1)), picture()
    assert all(state == "ENDED" for _, _, state, _ in tries), picture()
    *faults, last = [str(reason) for *_, reason in tries]
    assert last == Reason.OK, picture()
    real = [reason for reason in faults if reason != Reason.OFFER_EXPIRED or phase.name != "offered"]
    expected = fault.again.get(phase.name)
    if expected is not None:
        assert len(real) == 1 and real[0] in expected, picture()
    else:
        assert set(real) <= set(fault.may.get(phase.name, ())), picture()
    starts = len(job.starts)
    most = 1 + (phase.begun if expected is not None else len(real))
    assert starts == most or (expected is None and 1 <= starts <= most), picture()
    told = [entry for kind, data in field.server.story(job.id) if kind == "returned" for entry in data["tasks"]]
    lost = [entry for entry in told if entry[2] == Reason.AGENT_LOST]
    assert not lost or fault.given_up or Reason.AGENT_LOST in (expected or ()), picture()
    _check_order(field, job)
    _check_nothing_left(field, job)


def _check_order(field: Field, job: Held) -> None:
    """The events of each attempt stand in the order of its life, and nothing follows its end."""
    rank = {"offered": 0, "running": 1, "message": 1, "returned": 2, "reachable": 3, "ended": 4, "superseded": 5}
    seen: dict[int, list[int]] = {}
    for kind, told in field.server.story(job.id):
        for entry in told.get("tasks", ()) if kind in rank else ():
            seen.setdefault(entry[1], []).append(rank[kind])
    for number, ranks in seen.items():
        assert ranks[0] == 0 and ranks.count(0) == 1 and ranks.count(4) <= 1, (number, field.server.story(job.id))
        assert ranks == sorted(ranks) or 3 in ranks, (number, field.server.story(job.id))
    assert sum(4 in ranks for ranks in seen.values()) == 1, field.server.story(job.id)


def _check_nothing_left(field: Field, job: Held) -> None:
    """No process, no live attempt, no file of the task, no draft of a blob; and the agent is back at work."""
    places = [
        (field.agent.home, ("work/*/dir/*", "cache/tmp/*", "cache/partial/*")),
        (field.server.home, ("blobs/tmp/*",)),
    ]

    def left() -> list[str]:
        found = [str(path) for home, names in places for name in names for path in home.glob(name)]
        live = field.server.rows("SELECT 1 FROM attempts WHERE job_id = ? AND state <> 'ENDED'", job.id)
        return [*found, *map(str, live), *map(str, job.processes())]

    await_that(lambda: not left(), 15, f"the end of {left()}")
    await_that(lambda: not field.unreachable(), 15, "the agent's return")
