"""Domain, services and store under any order of submissions, claims, lost answers, deaths, silences, late facts, cancels.

``SIRDAR_LONG=1`` runs it for much longer, with new examples each time.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.store.ledger import CRITERION, ENDED, Agent, Ledger, check

from sirdar.domain.problems import Problem
from sirdar.store import tables as t

LONG = os.environ.get("SIRDAR_LONG") == "1"
AGENTS = 3
REASONS = ["ok", "ok", "ok", "exit_code", "signal", "start", "stage_in", "porter_lost", "preempted", "cancelled"]
agents = st.integers(0, AGENTS - 1)
picks = st.integers(0, 30)  # which of those that are there
lost = st.booleans()


class Ledgers(RuleBasedStateMachine):
    """One server, three machines, and everything that can happen to them."""

    make: ClassVar[Any] = None  # makes an empty ledger

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger = self.make()
        self.agents: list[Agent] = []
        self.states: dict[tuple[str, int], str] = {}
        self.history: list[tuple[int, str]] = []  # (agent, key) of everything ever offered
        self.jobs: list[str] = []

    def teardown(self) -> None:
        try:
            self.finish({0, 1, 2} - {len(self.history) % 5})
        finally:
            self.ledger.close()

    @initialize()
    def attach(self) -> None:
        self.agents = [self.ledger.attach() for _ in range(AGENTS)]

    # ------------------------------------------------------------ users

    @rule(
        n=st.sampled_from([1, 1, 1, 2, 3, 6]),
        owner=st.sampled_from(["anna", "boris"]),
        on_failure=st.sampled_from(["continue", "stop", "ignore"]),
        retries=st.integers(0, 2),
        priority=st.integers(-1, 0),
    )
    def submit(self, **values: Any) -> None:
        self.jobs.append(self.ledger.submit(**values))

    @rule(n=st.sampled_from([2, 3, 6]), on_failure=st.sampled_from(["continue", "stop", "ignore"]))
    def submit_search(self, **values: Any) -> None:
        """It seeks the least loss, and stops where one is small."""
        self.jobs.append(self.ledger.submit(criterion_json=CRITERION, **values))

    @rule(n=st.sampled_from([1, 2, 3]), on_failure=st.sampled_from(["continue", "stop", "ignore"]), seeks=st.booleans())
    def submit_open(self, n: int, on_failure: str, seeks: bool) -> None:
        sought = {"criterion_json": CRITERION} if seeks else {}
        self.jobs.append(self.ledger.submit(n, on_failure=on_failure, open_s=self.ledger.settings.open_s, **sought))

    @precondition(lambda self: self.jobs)
    @rule(pick=picks, n=st.sampled_from([0, 1, 2, 3]), last=st.booleans())
    def add(self, pick: int, n: int, last: bool) -> None:
        """By a client of an open job, or of one that takes no more."""
        job = self.jobs[pick % len(self.jobs)]
        before = self.ledger.job(job)
        try:
            self.ledger.add(job, n, last=last)
        except Problem as problem:
            assert problem.code == "conflict" and before.open_until is None, problem
            assert self.ledger.job(job) == before
        else:
            after = self.ledger.job(job)
            assert (after.total, after.open_until is None) == (before.total + n, last)

    @rule(who=agents, loss=st.sampled_from([None, 0.1, 0.5, 0.5, 1, -1.5, 7.0, float("nan"), "text", True]))
    def programs_give(self, who: int, loss: Any) -> None:
        self.agents[who].loss = loss

    @precondition(lambda self: self.jobs)
    @rule(pick=picks, n=st.sampled_from([1, 2]))
    def submit_after(self, pick: int, n: int) -> None:
        self.jobs.append(self.ledger.submit(n, after=[self.jobs[pick % len(self.jobs)]]))

    @precondition(lambda self: self.jobs)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        self.ledger.cancel(self.jobs[pick % len(self.jobs)])

    @precondition(lambda self: self.jobs)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        job = self.jobs[pick % len(self.jobs)]
        if self.ledger.delete(job):
            self._gone(job)

    # ------------------------------------------------------------ agents

    @rule(who=agents, n=st.integers(1, 4), lost=lost)
    def claim(self, who: int, n: int, lost: bool) -> None:
        for key in self.agents[who].claim(n, lost=lost):
            if (who, key) not in self.history:
                self.history.append((who, key))

    @precondition(lambda self: any(agent.offers for agent in self.agents))
    @rule(who=agents, n=st.integers(1, 4), lost=lost)
    def accept(self, who: int, n: int, lost: bool) -> None:
        agent = self.agents[who]
        agent.accept(sorted(agent.offers)[:n], lost=lost)

    @rule(who=agents, n=st.integers(1, 4))
    def take(self, who: int, n: int) -> None:
        self.claim(who, n, False)
        self.accept(who, n, False)

    @precondition(lambda self: any(agent.offers for agent in self.agents))
    @rule(who=agents, pick=picks)
    def refuse(self, who: int, pick: int) -> None:
        if key := _pick(self.agents[who].offers, pick):
            self.agents[who].offers.discard(key)
            self.agents[who].sync(refusals={key: "The owner does not allow it"})

    @precondition(lambda self: any(agent.owned for agent in self.agents))
    @rule(who=agents, pick=picks, phase=st.sampled_from(["STAGING_IN", "RUNNING", "RUNNING", "STAGING_OUT"]))
    def start(self, who: int, pick: int, phase: str) -> None:
        if key := _pick(self.agents[who].owned, pick):
            self.agents[who].phase(key, phase)

    @precondition(lambda self: any(agent.owned for agent in self.agents))
    @rule(who=agents, pick=picks)
    def say(self, who: int, pick: int) -> None:
        if key := _pick(self.agents[who].owned, pick):
            self.agents[who].sync(messages=[{"key": key, "seq": 1, "at": 1.0, "text": "half", "progress": 0.5}])

    @precondition(lambda self: any(agent.owned for agent in self.agents))
    @rule(who=agents, pick=picks, reason=st.sampled_from(REASONS), lost=lost, ran=st.booleans())
    def end(self, who: int, pick: int, reason: str, lost: bool, ran: bool) -> None:
        if key := _pick(self.agents[who].owned, pick):
            self.agents[who].final(key, reason, lost=lost, started_at=self.ledger.clock() if ran else None)

    @precondition(lambda self: any(agent.owned for agent in self.agents))
    @rule(who=agents, pick=picks, lost=lost)
    def give_back(self, who: int, pick: int, lost: bool) -> None:
        """Whatever the server has asked: what has not started is given back, and what has, by an agent that is confused."""
        agent = self.agents[who]
        key = _pick(set(agent.owned) - set(agent.outbox), pick)
        if key is not None:
            agent.sync(lost=lost, given_back=[key])

    @precondition(lambda self: any(agent.outbox for agent in self.agents))
    @rule(who=agents, lost=lost)
    def deliver(self, who: int, lost: bool) -> None:
        """The outbox, with the next claim: one call."""
        agent = self.agents[who]
        agent.sync(lost=lost, finals=list(agent.outbox.values()), accepts=sorted(agent.offers), claim={"max_n": 2})

    @precondition(lambda self: any(len(agent.owned) > 1 for agent in self.agents))
    @rule(who=agents, reasons=st.lists(st.sampled_from(REASONS), min_size=2, max_size=4))
    def end_many(self, who: int, reasons: list[str]) -> None:
        """Several ends in one transaction."""
        agent = self.agents[who]
        for key, reason in zip(sorted(agent.owned), reasons, strict=False):
            agent.outbox.setdefault(key, agent.make_final(key, reason))
        self.deliver(who, False)

    @precondition(lambda self: any(agent.cancels for agent in self.agents))
    @rule(who=agents)
    def obey(self, who: int) -> None:
        agent = self.agents[who]
        for key in sorted(agent.cancels & set(agent.owned)):
            agent.final(key, "cancelled")
        agent.cancels.clear()

    @precondition(lambda self: self.history)
    @rule(pick=picks, what=st.sampled_from(["accept", "start", "say", "final", "refuse", "other"]))
    def repeat(self, pick: int, what: str) -> None:
        """A fact of anything that was ever offered: late, doubled, out of order, or of another agent."""
        who, key = self.history[pick % len(self.history)]
        agent = self.agents[who]
        if what == "accept" and (key in agent.offers or key in agent.owned):
            agent.accept([key])
        elif what == "start":
            agent.sync(lost=True, started=[{"key": key, "state": "STAGING_IN", "at": 1.0}])
        elif what == "say":
            agent.sync(lost=True, messages=[{"key": key, "seq": 1, "at": 1.0, "text": "late"}])
        elif what == "final" and key not in agent.owned:
            agent.sync(finals=[agent.make_final(key, "exit_code")])
        elif what == "refuse" and key not in agent.owned:
            agent.sync(refusals={key: "late"})
        elif what == "other":
            stranger = self.agents[(who + 1) % AGENTS]
            stranger.sync(finals=[stranger.make_final(key)], accepts=[key])

    # ------------------------------------------------------------ life and death

    @rule(who=agents, forgets=st.booleans(), lost=lost)
    def heartbeat(self, who: int, forgets: bool, lost: bool) -> None:
        agent = self.agents[who]
        omitted = sorted(agent.owned)[:1] if forgets else []
        agent.heartbeat(omit=omitted, lost=lost)

    @rule(who=agents, n=st.integers(0, 3), lost=lost)
    def agent_restarts(self, who: int, n: int, lost: bool) -> None:
        agent = self.agents[who]
        agent.hello(new=True, keep=sorted(agent.owned)[:n], lost=lost)

    @rule(who=agents)
    def hello_again(self, who: int) -> None:
        self.agents[who].hello()

    @rule()
    def server_restarts(self) -> None:
        self.ledger.restart()

    @rule(
        seconds=st.sampled_from([1.0, 10.0, 31.0, 61.0, 61.0, 101.0, 161.0, 700.0]),
        alive=st.sets(agents, max_size=AGENTS),
    )
    def time_passes(self, seconds: float, alive: set[int]) -> None:
        self.ledger.clock.now += seconds
        for who in sorted(alive):
            self.agents[who].heartbeat()
        self.ledger.expire()

    @rule()
    def advance(self) -> None:
        self.ledger.advance()
        here = {row.id for row in self.ledger.rows(t.jobs)}
        for job in [job for job in self.jobs if job not in here]:
            self._gone(job)

    @rule(alive=st.sets(agents, min_size=1))
    def finish(self, alive: set[int]) -> None:
        """A fair run: living agents deliver everything, leases expire, time passes. Every job comes to an end."""
        for _ in range(80):
            self.ledger.advance()
            if not self.ledger.rows(t.attempts, reason=None) and all(job.ended_at for job in self.ledger.rows(t.jobs)):
                break
            for who in sorted(alive):
                self._live(self.agents[who])
            self.ledger.clock.now += 20.0
            self.ledger.expire()
            self.sound()
        left = [job for job in self.ledger.rows(t.jobs) if job.ended_at is None]
        assert not left, f"{left} never end; {self.ledger.rows(t.tasks)} {self.ledger.rows(t.attempts, reason=None)}"
        assert not self.ledger.rows(t.attempts, reason=None), "somebody still holds an attempt"
        for who in sorted(alive):
            self.agents[who].heartbeat()
            assert not self.agents[who].owned, "an agent was not told to forget"
        self.advance()

    def _live(self, agent: Agent) -> None:
        agent.heartbeat()
        for key in list(agent.owned):
            agent.final(key, "cancelled" if key in agent.cancels else "ok")
        agent.accept(sorted(agent.offers))
        for who, key in ((self.agents.index(agent), key) for key in agent.claim(4)):
            self.history.append((who, key))

    # ------------------------------------------------------------ what always holds

    @invariant()
    def sound(self) -> None:
        jobs, tasks = check(self.ledger)
        for task in tasks:
            before = self.states.get((task.job_id, task.no))
            assert before not in ENDED or task.state == before, f"{task} was {before}"
            self.states[task.job_id, task.no] = task.state
        for job in jobs:
            before = self.states.get((job.id, -1))
            assert before not in ENDED or job.state == before, f"{job} was {before}"
            self.states[job.id, -1] = job.state

    def _gone(self, job: str) -> None:
        for table in (t.tasks, t.attempts, t.events, t.job_waits):
            assert not self.ledger.rows(table, job_id=job), f"something of a deleted job is left in {table.name}"
        self.jobs.remove(job)


def _pick(keys: Any, pick: int) -> str | None:
    ordered = sorted(keys)
    return ordered[pick % len(ordered)] if ordered else None


def _run(make: Any, examples: int, steps: int) -> None:
    class Here(Ledgers):
        pass

    Here.make = staticmethod(make)
    chosen = settings(
        max_examples=examples * (40 if LONG else 1),
        stateful_step_count=steps,
        derandomize=not LONG,
        database=None,
        deadline=None,
        print_blob=LONG,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(Here, settings=chosen)


@pytest.mark.timeout(0 if LONG else 120)
def test_the_ledger_on_sqlite(tmp_path: Path) -> None:
    numbers = iter(range(10**9))

    def make() -> Ledger:
        path = tmp_path / f"{next(numbers)}.db"
        return Ledger(f"sqlite:///{path}", tmp_path)

    _run(make, 30, 50)


@pytest.fixture(scope="module")
def cluster(postgres_cluster: Any) -> Iterator[Any]:
    yield postgres_cluster


@pytest.mark.postgres
@pytest.mark.timeout(0 if LONG else 120)
def test_the_ledger_on_postgres(cluster: Any, tmp_path: Path) -> None:
    name = cluster.create_database()
    url = cluster.url(name)
    made: list[Ledger] = []

    def make() -> Ledger:
        if made:
            made[-1].empty()
        made.append(Ledger(url, tmp_path, create=not made))
        return made[-1]

    _run(make, 8, 40)
    cluster.drop_database(name)
