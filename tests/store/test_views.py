"""What lists, pages and ``explain`` are told: filters, paging, tasks without a row, words for every situation."""

import time
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.ledger import APP, START, Agent, Ledger, caller

from sirdar.domain.people import Caller
from sirdar.domain.states import State
from sirdar.services import resources as resource_service
from sirdar.services.explain import explain_now
from sirdar.services.jobs import visible_to
from sirdar.services.signin import token_hash
from sirdar.store import job_lists, job_shares, job_views, resources, task_views
from sirdar.store import tables as t
from sirdar.store.engine import Tx
from sirdar.store.job_lists import JobFilter

ANNA, BORIS = visible_to(caller("anna")), visible_to(caller("boris"))


def ids(ledger: Ledger, limit: int = 40, **wanted: Any) -> list[str]:
    narrowed = JobFilter(**{"visible_to": ANNA, **wanted})
    return [job.id for job in ledger.read(lambda conn: job_lists.list_jobs(conn, narrowed, limit))]


def tasks(ledger: Ledger, job_id: str, **wanted: Any) -> list[tuple[int, str]]:
    def read(conn: sa.Connection) -> list[task_views.TaskView]:
        job = job_views.find_job(conn, job_id)
        assert job is not None
        return task_views.list_tasks(conn, job, **wanted)

    return [(task.no, task.state) for task in ledger.read(read)]


def share(ledger: Ledger, job_id: str, subject: str) -> None:
    ledger.write(lambda tx: tx.conn.execute(sa.insert(t.job_shares).values(job_id=job_id, subject=subject)) and None)


# ---------------------------------------------------------------- lists of jobs


def test_the_newest_first_page_by_page(ledger: Ledger) -> None:
    made = [ledger.submit() for _ in range(7)]
    first = ledger.read(lambda conn: job_lists.list_jobs(conn, JobFilter(visible_to=ANNA), 3))
    assert [job.id for job in first] == made[:3:-1]
    second = ids(ledger, 3, before_seq=first[-1].seq)
    assert second == [made[3], made[2], made[1]]
    ledger.submit()
    assert ids(ledger, 3, before_seq=first[-1].seq) == second, "new jobs do not move the pages"


def test_own_jobs_and_those_that_are_shared(ledger: Ledger) -> None:
    mine, other, shared, everyones = (ledger.submit(owner=owner) for owner in ("anna", "boris", "boris", "boris"))
    share(ledger, shared, "user:anna")
    share(ledger, everyones, "everyone")
    assert ids(ledger) == [everyones, shared, mine]
    assert ids(ledger, owner="boris") == [everyones, shared]

    def again(wanted: JobFilter) -> list[str]:
        these = [mine, other, shared, everyones, "gone"]
        return [job.id for job in ledger.read(lambda conn: job_lists.list_these(conn, wanted, these))]

    assert again(JobFilter(visible_to=ANNA)) == [everyones, shared, mine]
    assert again(JobFilter(owner="boris")) == [everyones, shared, other, mine], (
        "an administrator, whatever the filter says"
    )
    assert ids(ledger, owner="anna") == [mine]
    assert ids(ledger, owner="nobody") == []
    assert ids(ledger, visible_to=BORIS) == [everyones, shared, other]
    assert ids(ledger, visible_to=None) == [everyones, shared, other, mine]
    assert ids(ledger, 2, visible_to=BORIS) == [everyones, shared]


def test_filters(ledger: Ledger) -> None:
    one = ledger.submit(name="Sweep of 100% a_b")
    ledger.clock.now += 100
    two = ledger.submit(name="another", parent_job=one, parent_task=0)
    agent = ledger.attach()
    (key,) = agent.take()
    agent.phase(key)
    assert ids(ledger, state=["RUNNING"]) == [one]
    assert ids(ledger, state=["RUNNING", "READY", "RUNNING"]) == [two, one]
    assert ids(ledger, state=["DONE"]) == []
    assert ids(ledger, app="anna/true") == ids(ledger, app="true") == ids(ledger, app=APP) == [two, one]
    assert ids(ledger, app="anna/true@1") == [two, one]
    for unknown in ("boris/true", "anna/false", "anna/true@2", "anna/true@x", "anna/true@" + "9" * 30, "@", "/"):
        assert ids(ledger, app=unknown) == [], unknown
    assert ids(ledger, apps=frozenset({APP}), state=["READY"]) == [two]
    assert ids(ledger, apps=frozenset()) == []
    assert ids(ledger, since=START + 50) == [two]
    assert ids(ledger, until=START + 50) == [one]
    assert ids(ledger, parent=one) == [two]
    assert ids(ledger, name="another") == [two]


@pytest.mark.parametrize(
    ("text", "found"),
    [("SWEEP", 1), ("100%", 1), ("a_b", 1), ("%", 1), ("_", 1), ("\\", 0), ("TRU", 2), ("job000", 2), ("'; --", 0)],
)
def test_text_stands_in_name_id_or_alias(ledger: Ledger, text: str, found: int) -> None:
    ledger.submit(name="Sweep of 100% a_b")
    ledger.submit(name="another")
    assert len(ids(ledger, text=text)) == found


# ---------------------------------------------------------------- tasks, with and without rows


def test_tasks_that_have_no_row_yet_are_listed(ledger: Ledger) -> None:
    job = ledger.submit(6)
    assert tasks(ledger, job) == [(no, "READY") for no in range(6)]
    agent = ledger.attach()
    one, two = agent.take(2)
    agent.phase(one)
    agent.final(two)
    assert tasks(ledger, job, limit=4) == [(0, "RUNNING"), (1, "DONE"), (2, "READY"), (3, "READY")]
    assert tasks(ledger, job, after=3) == [(4, "READY"), (5, "READY")]
    assert tasks(ledger, job, after=5) == []
    assert tasks(ledger, job, state="READY", limit=2) == [(2, "READY"), (3, "READY")]
    assert tasks(ledger, job, state="DONE") == [(1, "DONE")]
    assert tasks(ledger, job, state="SUBMITTED") == []


def test_tasks_that_never_got_a_row_end_with_their_job(ledger: Ledger) -> None:
    job = ledger.submit(4)
    agent = ledger.attach()
    (key,) = agent.take()
    ledger.cancel(job)
    rest = [(no, "CANCELLED") for no in (1, 2, 3)]
    assert tasks(ledger, job) == [(0, "READY"), *rest], "withdrawn, while the first has not confirmed yet"
    agent.final(key, "cancelled")
    assert tasks(ledger, job) == [(0, "CANCELLED"), *rest]
    first = ledger.submit()
    refused = ledger.submit(2, after=[first])
    assert tasks(ledger, refused) == [(0, "SUBMITTED"), (1, "SUBMITTED")]
    ledger.cancel(first)
    ledger.advance()
    assert tasks(ledger, refused) == [(0, "FAILED"), (1, "FAILED")]


def test_a_task_that_never_started_says_so_and_since_when(ledger: Ledger) -> None:
    def told(job_id: str) -> list[tuple[str | None, float | None]]:
        def read(conn: sa.Connection) -> list[task_views.TaskView]:
            job = job_views.find_job(conn, job_id)
            assert job is not None
            return task_views.list_tasks(conn, job)

        return [(task.message, task.ended_at) for task in ledger.read(read)]

    many, one = ledger.submit(4), ledger.submit()
    agent = ledger.attach()
    key, _ = agent.claim(2)
    agent.accept([key])
    ledger.cancel(many)
    ledger.cancel(one)
    withdrawn = ("Cancelled by anna before it started", START)
    assert told(many) == [(None, None), withdrawn, withdrawn, withdrawn]
    assert (ledger.job(one).message, told(one)) == (withdrawn[0], [withdrawn])
    ledger.clock.now += 60
    agent.final(key, "cancelled", message="cancelled")
    assert told(many) == [("cancelled", START + 60), withdrawn, withdrawn, withdrawn]
    assert ledger.job(many).message == "Cancelled by anna: 0 of 4 tasks done, 4 cancelled"


def test_one_task(ledger: Ledger) -> None:
    job_id = ledger.submit(2)

    def states(conn: sa.Connection) -> list[str | None]:
        job = job_views.find_job(conn, job_id)
        assert job is not None
        found = [task_views.find_task(conn, job, no) for no in (-1, 0, 1, 2)]
        return [task.state if task else None for task in found]

    assert ledger.read(states) == [None, "READY", "READY", None]


# ---------------------------------------------------------------- explain


def why(ledger: Ledger, job_id: str) -> dict[str, str]:
    return {reason.code: reason.text for reason in ledger.explain(job_id).why}


def test_nobody_is_attached(ledger: Ledger) -> None:
    assert why(ledger, ledger.submit())["no_resource"].startswith("No resource is attached")


def test_it_waits_for_a_slot(ledger: Ledger) -> None:
    ledger.attach("big")
    ledger.submit()
    second = ledger.submit(2)
    assert why(ledger, second) == {"no_room": "2 task(s) wait for a free slot on big. 1 job(s) wait before it."}


def test_what_holds_the_slots_is_told(ledger: Ledger) -> None:
    first, others = ledger.submit(2), ledger.submit(owner="boris", cpus=2)
    agent = ledger.attach("big")
    keys = agent.take(4)
    waiting = ledger.submit()
    assert "held" not in why(ledger, waiting), "none of them has begun"
    for key in keys:
        agent.phase(key)
    assert why(ledger, waiting)["held"] == f"4 of 4 slot(s) of big are held: by job {first} 2, job {others} 2."

    ledger.write(lambda tx: job_shares.set_link(tx, waiting, token_hash("link")))

    def said(who: Caller | None) -> str:
        told = ledger.read(lambda conn: explain_now(conn, who, waiting, now=ledger.clock(), link="link"))
        return next(reason.text for reason in told.why if reason.code == "held")

    assert said(caller("anna")) == f"4 of 4 slot(s) of big are held: by job {first} 2, 1 job(s) of others 2."
    assert said(None) == "4 of 4 slot(s) of big are held: by 2 job(s) of others 4."


def test_how_long_an_unreachable_machine_is_waited_for_and_what_comes_then(ledger: Ledger) -> None:
    again, once = ledger.submit(), ledger.submit(retries=0)
    agent = ledger.attach("far")
    for key in agent.take(2):
        agent.phase(key)
    ledger.clock.now += 70
    ledger.expire()
    told = "Task 0 is on far, which is unreachable since 1 min 10 s. It is waited for 30 s more (lost after 1 min 40 s); then "
    assert why(ledger, again)["unreachable"] == f"{told}it is tried again elsewhere."
    assert why(ledger, once)["unreachable"] == f"{told}it fails, for no retry is left."
    ledger.clock.now += 31
    ledger.expire()
    assert "given up for lost: it is tried again" in why(ledger, again)["unreachable"]
    assert why(ledger, once)["who"] == (
        "It is the platform's fault. It is not tried again: its application allows no retries."
    )


def test_of_a_job_that_a_revocation_ended_nothing_false_is_said(ledger: Ledger) -> None:
    once, last = ledger.submit(retries=0), ledger.submit(retries=1)
    agent = ledger.attach("lab")
    for key in agent.take(2):
        agent.phase(key)
    ledger.run(resource_service.revoke(ledger.services, caller("anna", admin=True), "lab"))
    said = ledger.explain(once)
    assert said.summary == "lab was detached from the server by anna"
    words = why(ledger, once)
    assert words["meaning"].endswith("or it has no access any more.")
    assert "by themselves" not in words["who"] and "not tried again" in words["who"]
    assert "who" not in why(ledger, last), "it is tried again"


def test_of_its_own_jobs_a_few_are_named(ledger: Ledger) -> None:
    made = [ledger.submit() for _ in range(4)]
    many = ledger.submit(9)
    agent = ledger.attach("big")
    keys = agent.take(9)
    for key in sorted(keys)[:5]:
        agent.phase(key)
    named = ", ".join(f"job {job} 1" for job in made[:3])
    told = why(ledger, many)["held"]
    assert told == f"4 of 4 slot(s) of big are held: by this job 1, {named}, 1 more job(s) 1."
    assert why(ledger, many)["queued"].endswith("queued on big: its slots are taken.")


def test_it_fits_nowhere(ledger: Ledger) -> None:
    ledger.attach("big")
    assert why(ledger, ledger.submit(cpus=64)) == {"no_fit": "big has 4 cpus; the task needs 64"}
    told = why(ledger, ledger.submit(resources_json='["elsewhere"]'))["no_fit"]
    assert told == "A resource that it was sent to has been deleted."


def test_the_resource_that_it_was_sent_to_has_no_agent(ledger: Ledger) -> None:
    ledger.attach("big")
    made = ledger.run(resource_service.create(ledger.services, caller("anna", admin=True), "lab", None))
    job = ledger.submit(resources_json=f'["{made.row.id}"]')
    assert (
        why(ledger, job)["no_agent"] == "It was sent to lab, where no agent runs: sirdar agent start, on that machine."
    )
    ledger.run(resource_service.revoke(ledger.services, caller("anna", admin=True), "lab"))
    assert why(ledger, job)["no_fit"] == "It was sent to lab, whose access was revoked."


def test_the_machine_drains(ledger: Ledger) -> None:
    agent = ledger.attach("big")
    ledger.write(lambda tx: resources.set_mode(tx, agent.resource_id, "drain"))
    assert why(ledger, ledger.submit())["no_fit"] == "big is draining: it takes nothing new"


def test_the_way_of_a_task(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach("big")
    (key,) = agent.claim()
    assert why(ledger, job) == {"offered": "Task 0 is offered to big, which has not accepted it yet."}
    agent.accept([key])
    assert why(ledger, job) == {"queued": "Task 0 is queued on big: its slots are taken."}
    agent.phase(key, "STAGING_IN")
    assert why(ledger, job) == {"staging": "Task 0 is staging on big."}
    agent.phase(key)
    ledger.clock.now += 5
    assert why(ledger, job) == {"running": "Task 0 runs on big since 5 s."}
    agent.final(key, "exit_code")
    assert ledger.explain(job).summary == "It ended: exit_code"
    assert "program" in why(ledger, job)["who"]


def test_it_is_tried_again_later(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach("big")
    (key,) = agent.take()
    agent.final(key, "start")
    assert why(ledger, job)["retry"] == "Task 0 is tried again in 2 s, after 1 fault(s)."
    assert ledger.explain(job).summary.startswith("Task 0 is tried again")
    assert "no_room" not in why(ledger, job), "it does not wait for a slot"


def silence(ledger: Ledger, seconds: float) -> None:
    ledger.clock.now += seconds
    ledger.expire()


def test_its_machine_is_unreachable_then_given_up(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach("laptop")
    agent.take()
    silence(ledger, 61)
    assert "laptop, which is unreachable" in why(ledger, job)["unreachable"]
    silence(ledger, 100)
    said = why(ledger, job)
    assert "laptop, which is unreachable" in said["unreachable"]
    assert said["no_fit"] == "laptop is unreachable"


def test_a_machine_that_ran_it_before_is_not_where_it_is(ledger: Ledger) -> None:
    job = ledger.submit()
    agent = ledger.attach("laptop")
    (key,) = agent.take()
    agent.final(key, "start")
    ledger.attach("other")
    silence(ledger, 61)
    assert "unreachable" not in why(ledger, job), "it is on no machine now"


def test_it_is_being_cancelled(ledger: Ledger) -> None:
    job = ledger.submit(3)
    agent = ledger.attach("big")
    agent.take()
    ledger.cancel(job, "boris")
    said = ledger.explain(job)
    assert said.summary == "It is being cancelled for boris; 1 task(s) have not confirmed yet."


def test_it_waits_for_another_job(ledger: Ledger) -> None:
    first = ledger.submit()
    second = ledger.submit(after=[first])
    assert why(ledger, second) == {"after": f"It waits for job {first}, which is READY."}
    ledger.cancel(first)
    ledger.advance()
    assert ledger.explain(second).summary == f"Job {first}, which it waited for, is CANCELLED"


def test_it_fetches_its_files(ledger: Ledger) -> None:
    waits = '{"fetch": ["https://example.org/a.csv"], "code": true}'
    said = why(ledger, ledger.submit(state=State.SUBMITTED, pending_json=waits))
    assert said["fetching"] == "The server fetches https://example.org/a.csv."
    assert "code" in said


def test_it_was_cancelled(ledger: Ledger) -> None:
    job = ledger.submit()
    ledger.cancel(job, "boris")
    said = why(ledger, job)
    assert said["cancelled_by"] == "Cancelled by boris."


def test_many_tasks_run(ledger: Ledger) -> None:
    job = ledger.submit(30)
    agent: Agent = ledger.attach("big")
    for key in agent.take(30):
        agent.phase(key)
    assert ledger.explain(job).summary == "Task 0 runs on big since 0 s."


# ---------------------------------------------------------------- nothing is read that need not be


class Plans:
    """Collects SQLite's plan of every statement that a ledger's connections run."""

    def __init__(self) -> None:
        self.scans: list[str] = []

    def watch(self, engine: sa.Engine) -> None:
        sa.event.listen(engine, "before_cursor_execute", self._explain)

    def _explain(self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if not statement.lstrip().startswith(("SELECT", "WITH", "UPDATE", "DELETE")):
            return
        first = parameters[0] if many else parameters
        raw = conn.connection.driver_connection
        plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", first)]
        for line in plan:
            if line.startswith("SCAN") and line.split()[1] in ("jobs", "tasks", "attempts", "events", "t", "a"):
                self.scans.append(f"{line}: {statement}")
            if "TEMP B-TREE FOR ORDER BY" in line and "FROM jobs" in statement and "job_shares" not in statement:
                self.scans.append(f"{line}: {statement}")


def test_hot_statements_scan_nothing(tmp_path: Any) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'db'}", tmp_path)
    try:
        plans = Plans()
        plans.watch(ledger.store.write_engine)
        plans.watch(ledger.store.read_engine)
        job, one, late = ledger.submit(5, on_failure="stop"), ledger.submit(), ledger.submit()
        share(ledger, one, "user:boris")
        for wanted in ({}, {"state": ["DONE", "READY"]}, {"owner": "anna"}, {"app": "anna/true"}, {"before_seq": 9}):
            ids(ledger, **wanted)
        agent, other = ledger.attach(), ledger.attach()
        first, *rest = agent.take(3)
        agent.phase(first)
        agent.heartbeat()
        agent.sync(messages=[{"key": first, "seq": 1, "at": 1.0, "text": "half"}])
        agent.final(first, "start")
        agent.final(rest[0])
        other.take()
        ledger.clock.now += 200
        ledger.expire()
        other.claim(4)
        agent.hello(new=True)
        agent.final(rest[1], "exit_code")
        ledger.cancel(late)
        ledger.delete(late)
        ledger.advance()
        tasks(ledger, job)
        ledger.explain(job)
        assert not [scan for scan in plans.scans if not _is_small(scan)]
    finally:
        ledger.close()


def _is_small(scan: str) -> bool:
    """Scans that an index keeps small: of the live attempts, the queue, the jobs that wait, the few that shall be deleted."""
    return any(
        f"USING {kind} {index}" in scan
        for kind in ("INDEX", "COVERING INDEX")
        for index in ("ix_jobs_queue", "ix_jobs_pending", "ix_jobs_delete", "ix_attempts_offered", "ix_attempts_live")
    )


@pytest.mark.slow
def test_lists_and_queue_are_fast_at_100_000_jobs(tmp_path: Any) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'db'}", tmp_path)
    try:
        ledger.write(_add_100_000_jobs)
        slow = {}
        for wanted in (
            {},
            {"before_seq": 500},
            {"state": ["FAILED"]},
            {"state": ["CANCELLED"]},
            {"state": ["DONE", "FAILED"]},
            {"app": "anna/true"},
            {"app": "anna/none"},
            {"text": "job 77"},
            {"text": "needle"},
            {"text": "nothing"},
            {"owner": "anna"},
            {"since": START + 99_990},
            {"until": START + 10},
            {"visible_to": BORIS},
        ):
            times = sorted(_timed(lambda wanted=wanted: ids(ledger, **wanted)) for _ in range(7))
            if times[-2] > 1.0:
                slow[str(wanted)] = times
        assert not slow
    finally:
        ledger.close()


def _timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _add_100_000_jobs(tx: Tx) -> None:
    states = ["DONE"] * 98 + ["FAILED", "READY"]
    for first in range(0, 100_000, 10_000):
        rows = []
        for n in range(first, first + 10_000):
            state = states[n % 100]
            ended = state != "READY"
            row = {
                "id": f"{n * 7919 % 100_000:06d}0000000000",
                "owner_id": "id-anna",
                "app_id": APP,
                "version_id": "00000000version1",
                "name": "needle" if n == 50 else f"job {n}",
                "state": state,
                "inputs_json": "{}",
                "retries": 5,
                "total": 1,
                "expanded": int(ended),
                "waiting": int(not ended),
                "done": int(state == "DONE"),
                "failed": int(state == "FAILED"),
                "created_at": START + n,
                "ended_at": START + n if ended else None,
                "reason": "ok" if ended else None,
            }
            rows.append(row)
        tx.conn.execute(sa.insert(t.jobs), rows)
