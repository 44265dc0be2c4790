"""How the server stands, and what is kept on it."""

from collections import Counter

from fastapi import APIRouter, Response

from sirdar.services import server_status, storage
from sirdar.services.readiness import Readiness
from sirdar.services.storage import StorageCount
from sirdar.web.admin_page import AdminDep
from sirdar.web.pages import Page, PageRoute, show

router = APIRouter(route_class=PageRoute, include_in_schema=False)
TROUBLED = ("unreachable", "draining")


@router.get("/admin/server")
async def server_page(page: AdminDep) -> Response:
    state = page.request.app.state
    readiness: Readiness = state.readiness
    status = await server_status.show(page.services, page.user, readiness)
    views = status.work.resources if status.work else []
    return show(
        page,
        "admin/server.html",
        server=status,
        settings=page.services.settings,
        ready=all(check.ok for check in status.checks),
        resources=Counter(view.state for view in views),
        troubled=[view for view in views if view.state in TROUBLED],
        ways=page.services.auth.ways,
    )


@router.get("/admin/storage")
async def storage_page(page: AdminDep) -> Response:
    found = await storage.show(page.services, page.user, _count_of(page))
    return show(
        page,
        "admin/storage.html",
        found=found,
        figures=found.figures,
        settings=page.services.settings,
        jobs={one.sha256: _jobs(one.holders) for one in found.quarantine},
        more=found.figures.quarantined.count - len(found.quarantine),
    )


def _count_of(page: Page) -> StorageCount:
    """This server's, made at the first look."""
    state = page.request.app.state
    if not hasattr(state, "storage_count"):
        state.storage_count = StorageCount()
    count: StorageCount = state.storage_count
    return count


def _jobs(holders: tuple[str, ...]) -> list[str]:
    return [id for kind, _, id in (holder.partition(":") for holder in holders) if kind == "job"]
