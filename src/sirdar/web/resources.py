"""Pages of resources: the machines that one may use, one machine, and the command that attaches another."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import resource_shares, resources
from sirdar.services.access import may_attach
from sirdar.services.resources import NewJoin, ResourceView, join_command
from sirdar.web import session
from sirdar.web.pages import Page, PageRoute, open_page, show

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
FORM_CODES = frozenset({"invalid_field", "already_exists"})
# How a resource's state is drawn: the style of a job's state that says the same.
SHAPES = {
    "online": "running",
    "unreachable": "unreachable",
    "draining": "waiting",
    "offline": "waiting",
    "revoked": "cancelled",
}


@router.get("/resources")
async def list_page(page: PageDep) -> Response:
    return await _list(page, page.user)


async def _list(page: Page, caller: Caller, *, name: str = "", problem: Problem | None = None) -> Response:
    found = await resources.list_resources(page.services, caller)
    return show(
        page,
        "resources.html",
        problem.status if problem else 200,
        found=found,
        shapes=SHAPES,
        may_attach=may_attach(caller),
        name=name,
        problem=problem,
    )


@router.post("/resources")
async def create(page: PageDep) -> Response:
    caller = page.user
    name = (await session.read_form(page.request, page.services)).get("name", "").strip()
    try:
        made = await resources.create(page.services, caller, name, None)
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        return await _list(page, caller, name=name, problem=problem)
    return await _one(page, caller, made.row.id, joining=made)


@router.get("/resources/{ref}")
async def resource_page(ref: str, page: PageDep) -> Response:
    return await _one(page, page.user, ref)


@router.post("/resources/{ref}/join")
async def join(ref: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    return await _one(page, caller, ref, joining=await resources.new_join(page.services, caller, ref))


async def _one(page: Page, caller: Caller, ref: str, *, joining: NewJoin | None = None) -> Response:
    view = await resources.show(page.services, caller, ref)
    may_change = caller.administers or caller.user_id == view.row.owner_id
    shares = await resource_shares.list_shares(page.services, caller, view.row.id) if may_change else []
    response = show(
        page,
        "resource.html",
        view=view,
        shape=SHAPES[view.state],
        has=view.row.capabilities or {},
        load=_load(view),
        may_change=may_change,
        shares=shares,
        joining=joining,
        command=join_command(joining, page.services.settings) if joining else "",
    )
    if joining is not None:
        response.headers["cache-control"] = "no-store"
    return response


def _load(view: ResourceView) -> dict[str, float]:
    """What is free there, of a machine that can be reached."""
    return view.row.load or {} if view.state in {"online", "draining"} else {}
