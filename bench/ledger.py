"""A ledger with a past: users, applications and many jobs of the last three months, written in bulk while no server runs.

The mix: of a hundred jobs ninety are done, six failed, three cancelled, one waits for or runs on a cluster whose agent is far
away; one in a hundred is of fifty tasks; one user has two fifths of all jobs, one has only a few, which are old; some are shared.
"""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sirdar.domain.ids import UserId
from sirdar.domain.people import Scope
from sirdar.services import tokens
from sirdar.services.tokens import TokenRequest
from sirdar.store import apps as app_store
from sirdar.store import people, resources
from sirdar.store import tables as t
from sirdar.store.engine import Store, Tx
from sirdar.store.ids import new_id

USERS, APPS, AT_ONCE = 20, 30, 5000
SPAN_S = 90 * 86400.0
MANY_TASKS = 50
RARE_JOBS = 20
STATES = (("DONE", 900), ("FAILED", 60), ("CANCELLED", 30), ("READY", 7), ("RUNNING", 3))
REASONS = {
    "DONE": ("ok", "The program ended well", 0),
    "FAILED": ("exit_code", "The program ended with exit code 3", 3),
    "CANCELLED": ("cancelled", "Cancelled by its owner", None),
    "READY": (None, None, None),
    "RUNNING": (None, None, None),
}
NAMES = (
    "heat equation",
    "lung segmentation",
    "unit commitment",
    "tsp 500",
    "light curve fit",
    "mesh refinement",
    "word count",
)


@dataclass(frozen=True, slots=True)
class Past:
    """Tokens of two users to look with, and names to filter by."""

    busy_token: str  # owns two fifths of all jobs
    rare_token: str  # owns a few, the oldest
    app: str
    middle_seq: int  # of a job half way back


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who and what the jobs are made of."""

    owners: list[str]
    apps: list[tuple[str, str]]  # id, id of its version
    cluster: str


def fill(database: Path, jobs: int) -> Past:
    """Write ``jobs`` jobs into the database of a home whose server has made it and does not run."""
    store = Store(f"sqlite:///{database}")
    sa.event.listen(store.write_engine, "connect", _do_not_wait_for_the_disk)
    try:
        made = store.write_now(_people_and_apps)
        chance = random.Random(8848)
        rows = _jobs(made, jobs, chance, store.clock())
        while part := list(islice(rows, AT_ONCE)):
            store.write_now(lambda tx, part=part: _write(tx, part, made, chance))  # type: ignore[misc]
        return store.write_now(lambda tx: _past(tx, made))
    finally:
        store.close()
        os.sync()


def _do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def _people_and_apps(tx: Tx) -> _Cast:
    owners = [(new_id(), f"researcher{number}") for number in range(USERS)]
    rows = [{"id": user_id, "name": name, "can_publish": 1, "created_at": tx.now} for user_id, name in owners]
    tx.conn.execute(sa.insert(t.users), rows)
    cluster = new_id()
    resources.insert_resource(tx, id=cluster, name="cluster", owner_id=owners[0][0], lost_after_s=1e9)
    resources.begin_session(tx, cluster, session="far", capabilities={}, agent_version="1", lease_s=1e9)
    admin = people.user_by_name(tx.conn, "admin")
    app = app_store.find_app(tx.conn, "admin", "true")
    version = app_store.get_version(tx.conn, app.id) if app else None
    assert version is not None and admin is not None, "the application that a bench publishes first is missing"
    made = [_publish(tx, owners[number % 10], f"program{number}", version.document) for number in range(APPS)]
    return _Cast([admin.id, *(user_id for user_id, _ in owners)], made, cluster)


def _publish(tx: Tx, owner: tuple[str, str], alias: str, document: Any) -> tuple[str, str]:
    text = json.dumps({**document, "alias": alias}, sort_keys=True)
    user_id, name = owner
    words = (alias, f"What {alias} computes", f"An application of {name}")
    draft = app_store.Draft(UserId(user_id), name, *words, ("bench",), f"digest-{alias}", text, ())
    inserted = app_store.insert_version(tx, draft)
    return inserted.app.id, inserted.version_id


# ---------------------------------------------------------------- rows


def _jobs(made: _Cast, n: int, chance: random.Random, now: float) -> Iterator[dict[str, Any]]:
    """Rows of ``jobs``, the oldest first. The last owner has only the first few."""
    states, weights = [state for state, _ in STATES], [weight for _, weight in STATES]
    usual, rare = made.owners[:-1], made.owners[-1]
    shares = [len(usual), *[1.5] * (len(usual) - 1)]
    for number in range(n):
        state = chance.choices(states, weights)[0]
        owner = rare if number < RARE_JOBS else chance.choices(usual[1:] + usual[:1], shares)[0]
        created_at = now - SPAN_S * (1 - number / n)
        yield _job(made, state, owner, created_at, chance)


def _job(made: _Cast, state: str, owner: str, created_at: float, chance: random.Random) -> dict[str, Any]:
    app_id, version_id = chance.choice(made.apps)
    total = MANY_TASKS if chance.random() < 0.01 else 1
    reason, message, exit_code = REASONS[state]
    counts = dict.fromkeys(("waiting", "leased", "done", "failed", "cancelled"), 0)
    counts[{"READY": "waiting", "RUNNING": "leased"}.get(state, state.lower())] = total
    started_at = None if state == "READY" else created_at + chance.expovariate(1 / 30)
    return {
        "id": new_id(),
        "owner_id": owner,
        "app_id": app_id,
        "version_id": version_id,
        "name": f"{chance.choice(NAMES)} {chance.randrange(1000)}",
        "state": state,
        "inputs_json": json.dumps({"power": chance.randrange(9), "label": "x" * chance.randrange(200)}),
        "resources_json": json.dumps([made.cluster]) if reason is None else "[]",
        "retries": 5,
        "many": int(total > 1),
        "total": total,
        "expanded": 0 if state == "READY" else total,
        **counts,
        "created_at": created_at,
        "ready_at": created_at,
        "started_at": started_at,
        "ended_at": started_at + chance.expovariate(1 / 600) if started_at and reason else None,
        "reason": reason,
        "message": message,
        "exit_code": exit_code,
        "code_version": "v1.2 3f9c2ab 2026-10-01",
        "event_seq": 4,
    }


def _write(tx: Tx, rows: list[dict[str, Any]], made: _Cast, chance: random.Random) -> None:
    tx.conn.execute(sa.insert(t.jobs), rows)
    tasks = [_task(job, no, made.cluster) for job in rows if job["expanded"] for no in range(job["total"])]
    tx.conn.execute(sa.insert(t.tasks), tasks)
    tx.conn.execute(sa.insert(t.attempts), [_attempt(task) for task in tasks])
    tx.conn.execute(sa.insert(t.events), [event for job in rows for event in _events(job)])
    shared = [job["id"] for job in rows if chance.random() < 0.005]
    tx.conn.execute(sa.insert(t.job_shares), [{"job_id": job_id, "subject": "user:admin"} for job_id in shared])


def _task(job: dict[str, Any], no: int, cluster: str) -> dict[str, Any]:
    ended = job["ended_at"] is not None
    stats = {"cpu_user_s": 1.5, "cpu_system_s": 0.1, "max_rss_bytes": 2**26}
    return {
        "job_id": job["id"],
        "no": no,
        "state": job["state"],
        "attempt": 1,
        "last_attempt": 1,
        "leased": int(not ended),
        "resource_id": cluster,
        "ready_at": job["ready_at"],
        "staging_at": job["started_at"],
        "started_at": job["started_at"],
        "ended_at": job["ended_at"],
        "reported_at": job["ended_at"],
        "reason": job["reason"],
        "message": job["message"],
        "exit_code": job["exit_code"],
        "result_json": json.dumps({"total": no}) if job["state"] == "DONE" else None,
        "stats_json": json.dumps(stats) if ended else None,
    }


def _attempt(task: dict[str, Any]) -> dict[str, Any]:
    same = ("job_id", "resource_id", "started_at", "ended_at", "reason", "message", "exit_code")
    return {
        **{name: task[name] for name in same},
        "task_no": task["no"],
        "no": 1,
        "state": "ENDED" if task["reason"] else "RUNNING",
        "session": "far",
        "offered_at": task["ready_at"],
        "accepted_at": task["ready_at"],
    }


def _events(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    said = {"tasks": [[0, 1]]}
    for seq, kind in enumerate(("submitted", "offered", "running", "state"), 1):
        yield {
            "job_id": job["id"],
            "seq": seq,
            "at": job["created_at"] + seq,
            "kind": kind,
            "data_json": json.dumps({**said, "state": job["state"]}),
        }


def _past(tx: Tx, made: _Cast) -> Past:
    wanted = TokenRequest(label="bench", scopes=(Scope.ALL,), lifetime_s=86400.0)
    busy, rare = (
        tokens.issue(tx, UserId(owner), wanted, default_s=86400.0).text for owner in (made.owners[1], made.owners[-1])
    )
    newest = tx.conn.execute(sa.select(sa.func.max(t.jobs.c.seq))).scalar_one()
    return Past(busy, rare, "researcher3/program3", int(newest) // 2)
