"""Resources as people see them."""

from dataclasses import dataclass

from sirdar.domain.states import AttemptState
from sirdar.services.context import Services
from sirdar.store import resources as resource_store
from sirdar.store.people import Conn
from sirdar.store.resources import ResourceRow


@dataclass(frozen=True, slots=True)
class ResourceView:
    """A resource, whether it can be reached and since when, and what it does now."""

    row: ResourceRow
    state: str  # online, unreachable, draining or offline (never seen)
    since: float | None
    running: int
    accepted: int


async def list_resources(services: Services) -> list[ResourceView]:
    return await services.store.read(views_now)


def views_now(conn: Conn) -> list[ResourceView]:
    """Every attached resource, by name."""
    counts = resource_store.live_counts(conn)
    return [_view(row, counts.get(row.id, {})) for row in resource_store.list_resources(conn)]


def _view(row: ResourceRow, counts: dict[str, int]) -> ResourceView:
    busy = (AttemptState.STAGING_IN, AttemptState.RUNNING, AttemptState.STAGING_OUT)
    running = sum(counts.get(state.value, 0) for state in busy)
    accepted = counts.get(AttemptState.ACCEPTED.value, 0)
    if row.session is None:
        return ResourceView(row, "offline", None, running, accepted)
    if row.unreachable_since is not None:
        return ResourceView(row, "unreachable", row.unreachable_since, running, accepted)
    return ResourceView(row, "draining" if row.mode == "drain" else "online", row.seen_at, running, accepted)
