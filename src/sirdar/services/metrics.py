"""What Prometheus may ask: jobs by state, live attempts, resources, the ages of the oldest waiting job and unsent notice."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from sirdar.services.context import Services
from sirdar.services.resources import views_now
from sirdar.store import counts
from sirdar.store.people import Conn


async def exposition(services: Services) -> bytes:
    """The text of ``/metrics``, from the ledger as it is now."""
    now = services.store.clock()
    return await services.store.read(lambda conn: _collect(conn, now))


def _collect(conn: Conn, now: float) -> bytes:
    registry = CollectorRegistry()
    jobs = Gauge("sirdar_jobs", "Jobs in flight, by state", ["state"], registry=registry)
    for state, n in counts.jobs_in_flight_by_state(conn).items():
        jobs.labels(state).set(n)
    waiting = Gauge("sirdar_tasks_waiting", "Tasks that wait for a resource", registry=registry)
    waiting.set(counts.tasks_waiting(conn))
    oldest = Gauge("sirdar_oldest_waiting_seconds", "Age of the oldest job with waiting tasks", registry=registry)
    since = counts.oldest_waiting(conn)
    oldest.set(now - since if since is not None else 0.0)
    attempts = Gauge("sirdar_attempts", "Attempts with agents", ["resource", "phase"], registry=registry)
    reachable = Gauge(
        "sirdar_resource_reachable", "1 if the resource's agent holds its lease", ["resource"], registry=registry
    )
    for view in views_now(conn):
        attempts.labels(view.row.name, "accepted").set(view.accepted)
        attempts.labels(view.row.name, "running").set(view.running)
        reachable.labels(view.row.name).set(int(view.state in ("online", "draining")))
    notices = Gauge("sirdar_notices_waiting", "Notifications that are not delivered yet", registry=registry)
    notices.set(counts.notices_waiting(conn))
    return generate_latest(registry)
