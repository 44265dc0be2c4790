"""100,000 tasks waiting, as one job and as many: how long an agent's claim takes, and what the server keeps in memory for them.

Claims come from one simulated agent, one task a call without waiting, over a kept connection; each is accepted and reported as done
in calls that are not counted. Memory is set beside that of the same server, after the same claims, with almost nothing waiting.
"""

import asyncio
import time

from bench.agents import Connection, Simulated, ledger_of, simulated
from bench.bench_idle import pss_mib
from bench.product import Http, Product, publish
from bench.report import Config, Row, percentile
from sirdar.store import tables as t
from sirdar.store.engine import Store, Tx
from sirdar.store.ids import new_id

WAITING, WAITING_QUICK = 100_000, 10_000
CLAIMS, CLAIMS_QUICK = 1000, 200
OWNERS = 20
GOAL_MS, GOAL_MIB = 20.0, 50.0
AT_ONCE = 5000


def run(config: Config) -> list[Row]:
    """Claims and memory, for both kinds of queue."""
    waiting, claims = (WAITING_QUICK, CLAIMS_QUICK) if config.quick else (WAITING, CLAIMS)
    _, few_mib = _measure(config, "few", 1, claims + 100, claims)
    rows = []
    for name, title, jobs in (("one", "one job", 1), ("many", f"{waiting} jobs of {OWNERS} users", waiting)):
        took_ms, used_mib = _measure(config, name, jobs, waiting, claims)
        rows += [
            Row(
                f"claim with {waiting} tasks waiting, {title}: p95",
                percentile(took_ms, 0.95),
                "ms",
                at_most=GOAL_MS,
                note=f"median {percentile(took_ms, 0.5):.2f}, longest {max(took_ms):.1f} of {claims}",
            ),
            Row(
                f"memory of the server for {waiting} waiting tasks, {title}",
                used_mib - few_mib,
                "MiB",
                at_most=GOAL_MIB * waiting / WAITING,
                note=f"{used_mib:.0f} against {few_mib:.0f} MiB",
            ),
        ]
    return rows


def _measure(config: Config, name: str, jobs: int, tasks: int, claims: int) -> tuple[list[float], float]:
    """Milliseconds of each claim; the server's memory afterwards, in MiB. The server is a new one that finds the queue."""
    root = config.work / name
    root.mkdir()
    product = Product(root, slots=0)
    try:
        product.start()
        http = product.http()
        publish(http, "true", command="/bin/true")
        _fill(product, http, jobs, tasks)
        http.close()
        agent = simulated(product, 1)[0]
        product.stop()
        product.start()
        agent.url = product.url
        took = asyncio.run(_claims(agent, claims))
        return took, pss_mib(product.server_pid)
    finally:
        product.close()


async def _claims(agent: Simulated, number: int) -> list[float]:
    calls, took = Connection(agent.url), []
    await agent.sign(calls)
    await agent.hello(calls)
    claim = {"session": agent.session, "claim": {"max_n": 1, "wait_s": 0.0}}
    for turn in range(number + 20):
        began = time.perf_counter()
        _, reply = await calls.post("/agent/v1/sync", claim, agent.token)
        if turn >= 20:
            took.append(1000 * (time.perf_counter() - began))
        (offer,) = reply["offers"]
        now, key = time.time(), offer["key"]
        final = {"key": key, "reason": "ok", "message": "", "exit_code": 0, "ended_at": now, "reported_at": now}
        for step in ({"accepts": [key]}, {"finals": [final]}):
            status, reply = await calls.post("/agent/v1/sync", {"session": agent.session, **step}, agent.token)
            assert status == 200 and key in (*reply.get("accepted", ()), *reply.get("acked", ())), reply
    calls.close()
    return took


def _fill(product: Product, http: Http, jobs: int, tasks: int) -> None:
    """One job through the API; many are copied from it in the ledger, to users of their own."""
    first = http.json("POST", "/api/apps/me/true", {"foreach": [{}] * (tasks if jobs == 1 else 1)})["id"]
    if jobs == 1:
        return
    with ledger_of(product) as store:
        row = dict(
            store.read_now(lambda conn: conn.execute(t.jobs.select().where(t.jobs.c.id == first)).mappings().one())
        )
        event = dict(store.read_now(lambda conn: conn.execute(t.events.select()).mappings().first()))  # type: ignore[arg-type]
        _copy(store, {k: v for k, v in row.items() if k != "seq"}, event, jobs)


def _copy(store: Store, row: dict[str, object], event: dict[str, object], jobs: int) -> None:
    owners = [new_id() for _ in range(OWNERS)]
    people = [{"id": owner, "name": f"user{n}", "created_at": store.clock()} for n, owner in enumerate(owners)]
    store.write_now(lambda tx: tx.conn.execute(t.users.insert(), people))
    for at in range(1, jobs, AT_ONCE):
        ids = [new_id() for _ in range(at, min(jobs, at + AT_ONCE))]
        rows = [row | {"id": job, "owner_id": owners[n % OWNERS], "name": f"job {n}"} for n, job in enumerate(ids, at)]

        def write(tx: Tx, ids: list[str] = ids, rows: list[dict[str, object]] = rows) -> None:
            tx.conn.execute(t.jobs.insert(), rows)
            tx.conn.execute(t.events.insert(), [event | {"job_id": job} for job in ids])
            items = [{"job_id": job, "first": 0, "items_json": "[{}]"} for job in ids]
            tx.conn.execute(t.job_items.insert(), items)

        store.write_now(write)
