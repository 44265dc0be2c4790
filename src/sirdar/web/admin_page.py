"""Pages of administration: for administrators; to everybody else they are not there."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from sirdar.domain.problems import Problem
from sirdar.web.pages import Page, PageRoute, go_to, open_page
from sirdar.web.words import gettext as _

router = APIRouter(route_class=PageRoute, include_in_schema=False)
ROWS = 40
# What a form is shown again for, with the problem in it.
FORM_CODES = frozenset({"invalid_field", "already_exists", "conflict", "not_found"})


async def open_admin_page(page: Annotated[Page, Depends(open_page)]) -> Page:
    """A dependency: the page, for an administrator. Raises ``unauthenticated`` or ``not_found``."""
    if not page.user.administers:
        raise Problem("not_found", _("There is no page %(path)s.", path=page.request.url.path[:200]))
    return page


AdminDep = Annotated[Page, Depends(open_admin_page)]


@router.get("/admin")
async def start(page: AdminDep) -> Response:
    return go_to("/admin/server")


@router.get("/audit")
async def moved(page: AdminDep) -> Response:
    """Where the audit log was."""
    query = page.request.url.query
    return go_to("/admin/audit" + (f"?{query}" if query else ""))
