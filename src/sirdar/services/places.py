"""The resources as the scheduler sees them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sirdar.domain.ids import ResourceId
from sirdar.domain.placement import Place
from sirdar.store import resource_use
from sirdar.store import resources as resource_store
from sirdar.store.people import Conn
from sirdar.store.resources import ResourceRow


def place_of(row: ResourceRow, room: int, *, blobs: frozenset[str] = frozenset()) -> Place:
    """A resource that asks to fill ``room`` slots. Who may use it and what it has been given: see ``informed``."""
    has: Mapping[str, Any] = row.capabilities
    free = row.load.get("memory_free_bytes")
    return Place(
        ResourceId(row.id),
        row.name,
        cpus=int(has.get("cpus", 1)),
        memory_bytes=int(has.get("memory_bytes", 0)),
        gpus=int(has.get("gpus", 0)),
        room=room,
        reachable=row.unreachable_since is None,
        draining=row.mode == "drain",
        slots=int(has.get("slots", 0)),
        labels=dict(has.get("labels") or {}),
        memory_free_bytes=None if free is None else int(free),
        blobs=blobs,
        near=row.embedded,
        owner=row.owner_id,
        no_strangers=str(has.get("no_strangers") or ""),
        batch=bool(has.get("batch")),
    )


def informed(conn: Conn, places: Iterable[Place], *, loads: bool = True) -> list[Place]:
    """The same places, with who may use each and, where asked, what it has been given so far."""
    places = list(places)
    ids = [place.id for place in places]
    users = resource_use.users_of(conn, ids)
    if not loads:
        return [replace(place, users=users.get(place.id, frozenset())) for place in places]
    given = resource_use.loads_of(conn, ids)
    return [
        replace(
            place,
            users=users.get(place.id, frozenset()),
            loads=given.get(place.id, ()),
            free=max(0, place.width - sum(place.slots_of(load.cpus) * load.n for load in given.get(place.id, ()))),
        )
        for place in places
    ]


def places_now(conn: Conn) -> list[Place]:
    """Every resource that has ever said hello, with no room: what each could run, for whom, and what it has."""
    rows = [row for row in resource_store.list_resources(conn) if row.session is not None]
    return informed(conn, [place_of(row, 0) for row in rows])
