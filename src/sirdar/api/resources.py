"""Resources over REST. Attaching others than this machine's follows with the next part of the product."""

from typing import Any

from fastapi import APIRouter

from sirdar.api import shapes
from sirdar.api.deps import CallerDep, ServicesDep
from sirdar.api.paging import iso
from sirdar.domain.people import Scope
from sirdar.services.access import require_scope
from sirdar.services.resources import ResourceView, list_resources

router = APIRouter(tags=["resources"])


@router.get("/api/resources", responses={200: {"model": list[shapes.Resource]}})
async def resources(services: ServicesDep, caller: CallerDep) -> list[dict[str, Any]]:
    """The machines that run jobs: whether each can be reached, what it has and what it does."""
    require_scope(caller, Scope.READ)
    return [_render(view) for view in await list_resources(services)]


def _render(view: ResourceView) -> dict[str, Any]:
    row = view.row
    return {
        "id": row.id,
        "name": row.name,
        "state": view.state,
        "since": iso(view.since),
        "seenAt": iso(row.seen_at),
        "embedded": row.embedded,
        "agentVersion": row.agent_version,
        "capabilities": row.capabilities,
        "load": row.load,
        "running": view.running,
        "accepted": view.accepted,
    }
