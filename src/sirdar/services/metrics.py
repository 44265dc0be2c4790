"""What Prometheus is told: this process's own counters, and gauges read from the ledger at that moment.

The ledger is the same for all servers of a database, and so are its gauges; ask for their ``max``, not their ``sum``.
"""

import asyncio

import structlog
from prometheus_client import CollectorRegistry, Gauge, generate_latest

import sirdar
from sirdar.services import meters
from sirdar.services.context import Services
from sirdar.services.resources import views_now
from sirdar.store import counts
from sirdar.store.people import Conn

LEDGER_WITHIN_S = 5.0

log = structlog.get_logger()


async def exposition(services: Services) -> bytes:
    """The text of ``/metrics``. Where the ledger does not answer, what this process counted, and ``sirdar_ledger_up 0``."""
    now = services.store.clock()
    try:
        async with asyncio.timeout(LEDGER_WITHIN_S):
            ledger = await services.store.read(lambda conn: _of_ledger(conn, now))
    except Exception as error:
        log.warning("metrics_without_ledger", error=type(error).__name__)
        ledger = _header(up=False)
    return generate_latest(ledger) + generate_latest(meters.REGISTRY)


def _header(*, up: bool) -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("sirdar_ledger_up", "1 if the database answered this scrape", registry=registry).set(int(up))
    version = Gauge("sirdar_build_info", "1; the version stands in the label", ["version"], registry=registry)
    version.labels(sirdar.__version__).set(1)
    return registry


def _of_ledger(conn: Conn, now: float) -> CollectorRegistry:
    registry = _header(up=True)
    jobs = Gauge("sirdar_jobs", "Jobs in flight, by state", ["state"], registry=registry)
    for state, n in counts.jobs_in_flight_by_state(conn).items():
        jobs.labels(state).set(n)
    waiting, since = counts.queue(conn)
    Gauge("sirdar_queue_tasks", "Tasks that wait for a resource", registry=registry).set(waiting)
    age = Gauge(
        "sirdar_queue_age_seconds", "Seconds since the oldest job with waiting tasks became ready", registry=registry
    )
    age.set(max(0.0, now - since) if since is not None else 0.0)
    _add_resources(conn, registry)
    notices = Gauge("sirdar_notices_waiting", "Notifications that are not delivered yet", registry=registry)
    notices.set(counts.notices_waiting(conn))
    return registry


def _add_resources(conn: Conn, registry: CollectorRegistry) -> None:
    attempts = Gauge("sirdar_attempts", "Attempts with agents", ["resource", "phase"], registry=registry)
    reachable = Gauge(
        "sirdar_resource_reachable", "1 if the resource's agent holds its lease", ["resource"], registry=registry
    )
    for view in views_now(conn):
        attempts.labels(view.row.name, "accepted").set(view.accepted)
        attempts.labels(view.row.name, "running").set(view.running)
        reachable.labels(view.row.name).set(int(view.state in ("online", "draining")))
