"""The resources as the scheduler sees them."""

from collections.abc import Mapping
from typing import Any

from sirdar.domain.ids import ResourceId
from sirdar.domain.placement import Place
from sirdar.store import resources as resource_store
from sirdar.store.people import Conn


def place_of(
    resource_id: str,
    name: str,
    capabilities: Mapping[str, Any],
    room: int,
    *,
    reachable: bool = True,
    draining: bool = False,
) -> Place:
    """A resource that asks to fill ``room`` slots."""
    return Place(
        ResourceId(resource_id),
        name,
        cpus=int(capabilities.get("cpus", 1)),
        memory_bytes=int(capabilities.get("memory_bytes", 0)),
        gpus=int(capabilities.get("gpus", 0)),
        room=room,
        reachable=reachable,
        draining=draining,
    )


def places_now(conn: Conn) -> list[Place]:
    """Every resource that has ever said hello, with no room: what each could run, and whether it can be reached."""
    return [
        place_of(
            row.id,
            row.name,
            row.capabilities,
            0,
            reachable=row.unreachable_since is None,
            draining=row.mode == "drain",
        )
        for row in resource_store.list_resources(conn)
        if row.session is not None
    ]
