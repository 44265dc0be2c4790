"""The table of a sweep of 100,000 ended tasks: pages sorted and filtered by values, on SQLite and on PostgreSQL.

Rows are written in bulk, as the product leaves them after such a run. Every figure is a whole request for a page of 40 tasks
through REST: medians, and 95th percentiles against the issue's 100 ms. The first question, for which the values are put in
order once, and the exports of the whole table stand in rows of their own.
"""

import json
import random
import shutil
import statistics
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from bench import cluster
from bench.product import Http, Product, publish
from bench.report import Config, Row, percentile
from sirdar.store import apps as app_store
from sirdar.store import people
from sirdar.store import tables as t
from sirdar.store.engine import Store, Tx
from sirdar.store.ids import new_id
from sirdar.store.jobs import ITEMS_PER_CHUNK

TASKS, TASKS_QUICK = 100_000, 20_000
REQUESTS, REQUESTS_QUICK = 25, 8
AT_ONCE = 5000
GOAL_MS = 100.0
METHODS = ("adam", "bfgs", "cg", "ipopt", "newton", "sgd")
DESCRIPTION: dict[str, Any] = {
    "command": "true ${i} ${rate} ${method}",
    "inputs": {"i": {"type": "integer"}, "rate": {"type": "number"}, "method": {"type": "string"}},
    "outputs": {
        "loss": {"type": "number", "from": "r.json", "key": "loss"},
        "steps": {"type": "integer", "from": "r.json", "key": "steps"},
        "note": {"type": "string", "from": "r.json", "key": "note"},
    },
}
PAGES = {
    "sorted by a number that is an output": "sort=outputs.loss",
    "the largest first": "sort=-outputs.loss",
    "sorted by an input": "sort=-inputs.rate",
    "sorted by a text": "sort=outputs.note",
    "sorted by run time": "sort=runS",
    "deep in the order": "sort=outputs.loss&after=90000",
    "few fit, sorted by another": "where=outputs.loss<0.01&sort=inputs.rate",
    "half fit, sorted by another": "where=outputs.loss<0.5&sort=-inputs.rate",
    "most fit": "where=outputs.loss>=0.02&sort=outputs.steps",
    "a text and a number": "where=inputs.method=ipopt&where=outputs.steps>900&sort=outputs.loss",
    "none fits two conditions": "where=inputs.i<50000&where=inputs.i>=50000&sort=outputs.loss",
    "failed ones, by an input": "state=FAILED&sort=inputs.rate",
    "done ones, by an output": "state=DONE&sort=outputs.loss",
    "filtered, by number": "where=outputs.loss<0.01",
}


def run(config: Config) -> list[Row]:
    """A row for each kind of page and database."""
    tasks = TASKS_QUICK if config.quick else TASKS
    requests = REQUESTS_QUICK if config.quick else REQUESTS
    rows = list(_on(config.work / "sqlite", tasks, requests, "SQLite", None))
    if shutil.which("pg_config") or any(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        with cluster.running() as postgres:
            url = postgres.url(postgres.new_database())
            rows += _on(config.work / "postgres", tasks, requests, "PostgreSQL", url)
    return rows


def _on(work: Path, tasks: int, requests: int, database: str, url: str | None) -> Iterator[Row]:
    work.mkdir()
    product = Product(work, settings={"SIRDAR_DATABASE": url} if url else {})
    try:
        product.start()
        connection = product.http()
        publish(connection, "sweep", **DESCRIPTION)
        connection.close()
        product.stop()
        job = fill(url or f"sqlite:///{product.home / 'sirdar.db'}", tasks)
        product.start()
        connection = product.http()
        first_ms = [_ask(connection, job, query) for query in PAGES.values()]
        yield Row(
            f"{database}: the slowest first question, which puts columns of {tasks} values in order",
            max(first_ms),
            "ms",
        )
        for what, query in PAGES.items():
            took_ms = [_ask(connection, job, query) for _ in range(requests)]
            note = f"median {statistics.median(took_ms):.1f} ms"
            yield Row(f"{database}: {what}, p95", percentile(took_ms, 0.95), "ms", at_most=GOAL_MS, note=note)
        for form in ("csv", "json", "parquet"):
            began = time.perf_counter()
            status, body = connection.call("GET", f"/api/jobs/{job}/table?format={form}")
            assert status == 200, body[:500]
            megabytes = len(body) / 1e6
            yield Row(
                f"{database}: the whole table as {form}", time.perf_counter() - began, "s", note=f"{megabytes:.1f} MB"
            )
        connection.close()
    finally:
        product.close()


def _ask(connection: Http, job: str, query: str) -> float:
    """Milliseconds of one page."""
    query = quote(query, safe="=&.-")
    began = time.perf_counter()
    status, body = connection.call("GET", f"/api/jobs/{job}/tasks?limit=40&{query}")
    took_ms = 1000 * (time.perf_counter() - began)
    assert status == 200, body[:500]
    return took_ms


# ---------------------------------------------------------------- rows


def fill(url: str, tasks: int) -> str:
    """Write a job whose tasks have all ended into the database of a server that does not run; its id."""
    store = Store(url)
    try:
        chance = random.Random(8848)
        job = store.write_now(lambda tx: _job(tx, tasks))
        rows = _tasks(job, tasks, chance, store.clock())
        while part := list(islice(rows, AT_ONCE)):
            store.write_now(lambda tx, part=part: tx.conn.execute(sa.insert(t.tasks), part) and None)  # type: ignore[misc]
        store.write_now(lambda tx: tx.conn.exec_driver_sql("ANALYZE") and None)
        return job
    finally:
        store.close()


def _job(tx: Tx, tasks: int) -> str:
    admin, app = people.user_by_name(tx.conn, "admin"), app_store.find_app(tx.conn, "admin", "sweep")
    assert admin is not None and app is not None
    version = app_store.get_version(tx.conn, app.id)
    assert version is not None
    job, failed = new_id(), len(range(7, tasks, 100))
    values = {"id": job, "owner_id": admin.id, "app_id": app.id, "version_id": version.id, "name": "a sweep"}
    counts = {"total": tasks, "expanded": tasks, "waiting": 0, "done": tasks - failed, "failed": failed, "many": 1}
    ends = {"started_at": tx.now, "ended_at": tx.now, "reason": "tasks_failed", "message": f"{failed} failed"}
    more = {"state": "FAILED", "inputs_json": "{}", "retries": 5, "created_at": tx.now, "ready_at": tx.now}
    tx.conn.execute(sa.insert(t.jobs).values(**values, **counts, **ends, **more))
    chance = random.Random(1)
    items = [{"i": no, "rate": chance.random(), "method": chance.choice(METHODS)} for no in range(tasks)]
    chunks = [
        {"job_id": job, "first": first, "items_json": json.dumps(items[first : first + ITEMS_PER_CHUNK])}
        for first in range(0, tasks, ITEMS_PER_CHUNK)
    ]
    tx.conn.execute(sa.insert(t.job_items), chunks)
    return job


def _tasks(job: str, tasks: int, chance: random.Random, now: float) -> Iterator[dict[str, Any]]:
    stats = json.dumps({"cpu_user_s": 0.001, "cpu_system_s": 0.002, "max_rss_bytes": 2**21, "staged_in_s": 0.001})
    for no in range(tasks):
        well = no % 100 != 7
        note = f"{chance.choice(METHODS)} {chance.randrange(10**6)}"
        result = {"loss": chance.random(), "steps": chance.randrange(1000), "note": note}
        started_at = now + no / 1000
        yield {
            "job_id": job,
            "no": no,
            "state": "DONE" if well else "FAILED",
            "attempt": 1,
            "last_attempt": 1,
            "ready_at": now,
            "staging_at": started_at - 0.001,
            "started_at": started_at,
            "ended_at": started_at + chance.random(),
            "reported_at": started_at + 1,
            "reason": "ok" if well else "exit_code",
            "message": "The program ended with exit code 0" if well else "It ended with 3",
            "exit_code": 0 if well else 3,
            "result_json": json.dumps(result) if well else None,
            "stats_json": stats,
        }
