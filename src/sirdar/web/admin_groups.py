"""Administration of groups: the list, making one, its members, and deleting one, which asks first."""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Response

from sirdar.domain.problems import Problem
from sirdar.services import groups, people_lists
from sirdar.web import session
from sirdar.web.admin_page import FORM_CODES, ROWS, AdminDep
from sirdar.web.pages import Page, PageRoute, go_to, show

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Word = Annotated[str, Query(max_length=200)]


@router.get("/admin/groups")
async def list_page(page: AdminDep, *, text: Word = "", after: Word = "", said: Word = "") -> Response:
    return await _list(page, text=text, after=after, said=said)


async def _list(
    page: Page, *, text: str = "", after: str = "", said: str = "", name: str = "", problem: Problem | None = None
) -> Response:
    found = await people_lists.search_groups(page.services, page.user, text=text, limit=ROWS + 1, after=after)
    rows = found[:ROWS]
    kept = {"text": text} if text else {}
    return show(
        page,
        "admin/groups.html",
        problem.status if problem else 200,
        rows=rows,
        text=text,
        first=not after,
        following=urlencode({**kept, "after": rows[-1].name}) if len(found) > ROWS else "",
        said=said,
        name=name,
        problem=problem,
    )


@router.post("/admin/groups")
async def create(page: AdminDep) -> Response:
    name = (await session.read_form(page.request, page.services)).get("name", "").strip()
    try:
        await groups.create_group(page.services, page.user, name)
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        return await _list(page, name=name, problem=problem)
    return go_to(f"/admin/groups/{name}?said=created")


# ---------------------------------------------------------------- one group


@router.get("/admin/groups/{name}")
async def group_page(name: str, page: AdminDep, *, after: Word = "", said: Word = "") -> Response:
    return await _one(page, name, after=after, said=said)


async def _one(
    page: Page, name: str, *, after: str = "", said: str = "", user: str = "", problem: Problem | None = None
) -> Response:
    found = await people_lists.describe_group(page.services, page.user, name, limit=ROWS + 1, after=after)
    rows = found.members[:ROWS]
    return show(
        page,
        "admin/group.html",
        problem.status if problem else 200,
        found=found,
        group=found.group,
        rows=rows,
        following=urlencode({"after": rows[-1].name}) if len(found.members) > ROWS else "",
        said=said,
        user=user,
        problem=problem,
    )


@router.get("/admin/groups/{name}/members")
async def back(name: str, page: AdminDep) -> Response:
    return go_to(f"/admin/groups/{quote(name, safe='')}")


@router.post("/admin/groups/{name}/members")
async def add_member(name: str, page: AdminDep) -> Response:
    user = (await session.read_form(page.request, page.services)).get("user", "").strip()
    try:
        await groups.set_member(page.services, page.user, name, user, member=True)
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        return await _one(page, name, user=user, problem=problem)
    return go_to(f"/admin/groups/{name}?said=added")


@router.post("/admin/groups/{name}/members/{user}/remove")
async def remove_member(name: str, user: str, page: AdminDep) -> Response:
    await session.read_form(page.request, page.services)
    await groups.set_member(page.services, page.user, name, user, member=False)
    return go_to(f"/admin/groups/{name}?said=removed")


@router.get("/admin/groups/{name}/delete")
async def ask(name: str, page: AdminDep) -> Response:
    found = await people_lists.describe_group(page.services, page.user, name, limit=0)
    return show(page, "admin/group_ask.html", found=found, group=found.group)


@router.post("/admin/groups/{name}/delete")
async def delete(name: str, page: AdminDep) -> Response:
    await session.read_form(page.request, page.services)
    await groups.remove_group(page.services, page.user, name)
    return go_to("/admin/groups?said=deleted")
