"""What this process counts: calls, claims, offers, ends, lease expiries, bytes. Its own since its start; scrapes add the ledger's.

Counted on the event loop, after the commit, so that what was rolled back is not counted. Names end in their unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics

REGISTRY = CollectorRegistry()
LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
UNROUTED = "(none)"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

disable_created_metrics()  # type: ignore[no-untyped-call]  # half as many lines again, of no use here
ProcessCollector(registry=REGISTRY)
_requests = Counter("sirdar_http_requests", "HTTP requests answered", ["method", "route", "status"], registry=REGISTRY)
_latency = Histogram(
    "sirdar_http_latency_seconds",
    "Time to the reply's first byte, without what a call was held for news or waited for its own body",
    ["method", "route"],
    buckets=LATENCY_S,
    registry=REGISTRY,
)
_submitted = Counter("sirdar_jobs_submitted", "Jobs made by submissions", registry=REGISTRY)
_job_ends = Counter("sirdar_job_ends", "Jobs that ended", ["state", "reason"], registry=REGISTRY)
_attempt_ends = Counter("sirdar_attempt_ends", "Attempts that ended, of whatever fate", ["reason"], registry=REGISTRY)
_claims = Counter("sirdar_claims", "Agents' calls for work that were answered", ["answer"], registry=REGISTRY)
_offered = Counter("sirdar_attempts_offered", "Attempts leased to agents", registry=REGISTRY)
_accepted = Counter("sirdar_attempts_accepted", "Attempts that agents took over", registry=REGISTRY)
_leases = Counter("sirdar_lease_expiries", "Agents' leases that ran out", registry=REGISTRY)
_bytes = Counter(
    "sirdar_transfer_bytes", "Bytes of files and logs through this server", ["direction", "peer"], registry=REGISTRY
)
_claim = {True: _claims.labels("work"), False: _claims.labels("nothing")}
_BYTES = {(way, peer): _bytes.labels(way, peer) for way in ("in", "out") for peer in ("user", "agent")}


class Route:
    """The meters of one route and method; making one looks them up."""

    __slots__ = ("_latency", "_method", "_route", "_statuses")

    def __init__(self, method: str, route: str) -> None:
        self._method = method if method in _METHODS else "OTHER"
        self._route = route
        self._latency = _latency.labels(self._method, route)
        self._statuses: dict[int, Counter] = {}

    def answered(self, status: int, latency_s: float) -> None:
        counter = self._statuses.get(status)
        if counter is None:
            counter = self._statuses[status] = _requests.labels(self._method, self._route, str(status))
        counter.inc()
        self._latency.observe(max(0.0, latency_s))


_routes: dict[tuple[str, str], Route] = {}


def route(method: str, path: str) -> Route:
    """The meters of a route, by its path with the names of parameters in it, never by what a client sent."""
    known = _routes.get((method, path))
    if known is None:
        known = Route(method, path)
        if method in _METHODS:  # a client may invent any number of methods
            _routes[method, path] = known
    return known


def jobs_submitted(n: int) -> None:
    _submitted.inc(n)


def job_ended(state: str, reason: str) -> None:
    _job_ends.labels(state, reason).inc()


def attempts_ended(by_reason: Mapping[str, int]) -> None:
    for reason, n in by_reason.items():
        _attempt_ends.labels(reason).inc(n)


def claim_answered(*, work: bool) -> None:
    _claim[work].inc()


def attempts_offered(n: int) -> None:
    _offered.inc(n)


def attempts_accepted(n: int) -> None:
    _accepted.inc(n)


def leases_expired(n: int) -> None:
    _leases.inc(n)


def transferred(path: str, n_bytes: int, *, inward: bool) -> None:
    """Bytes of a file or log came in or went out; the path says whether by an agent's protocol or a user's."""
    _BYTES["in" if inward else "out", "agent" if path.startswith("/agent/") else "user"].inc(n_bytes)


@dataclass(frozen=True, slots=True)
class Totals:
    """What this process has answered and taken since its start. None: the system does not say."""

    requests: int
    faults: int  # requests that the server answered with 500 or more
    memory_bytes: int | None
    cpu_s: float | None


def totals() -> Totals:
    requests = faults = 0
    for metric in _requests.collect():
        for sample in metric.samples:
            requests += int(sample.value)
            faults += int(sample.value) if sample.labels.get("status", "").startswith("5") else 0
    memory = REGISTRY.get_sample_value("process_resident_memory_bytes")
    cpu_s = REGISTRY.get_sample_value("process_cpu_seconds_total")
    return Totals(requests, faults, None if memory is None else int(memory), cpu_s)
