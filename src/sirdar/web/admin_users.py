"""Administration of users: the list, making one, what one may do, and what ends or hands on power: that asks first."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Response

from sirdar.domain.problems import Problem
from sirdar.services import people, people_lists
from sirdar.services.people import NewUser
from sirdar.store.people import User
from sirdar.store.people_lists import Standing
from sirdar.web import form_values, session
from sirdar.web.admin_page import FORM_CODES, ROWS, AdminDep
from sirdar.web.pages import Page, PageRoute, go_to, show
from sirdar.web.words import gettext as _

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Word = Annotated[str, Query(max_length=200)]
FIELDS = ("name", "email", "can_publish", "quota_jobs", "quota_bytes", "retention_s")


class Act(StrEnum):
    """What is asked about on a page of its own before it is done."""

    DISABLE = "disable"
    ENABLE = "enable"
    PROMOTE = "promote"
    DEMOTE = "demote"
    DELETE = "delete"


CHANGES: Mapping[Act, Mapping[str, bool]] = {
    Act.DISABLE: {"disabled": True},
    Act.ENABLE: {"disabled": False},
    Act.PROMOTE: {"is_admin": True},
    Act.DEMOTE: {"is_admin": False},
}


@router.get("/admin/users")
async def list_page(
    page: AdminDep, *, text: Word = "", standing: Word = "", after: Word = "", said: Word = ""
) -> Response:
    only = Standing(standing) if standing in list(Standing) else None
    found = await people_lists.search_users(
        page.services, page.user, text=text, standing=only, limit=ROWS + 1, after=after
    )
    rows = found.users[:ROWS]
    kept = {name: value for name, value in (("text", text), ("standing", only or "")) if value}
    return show(
        page,
        "admin/users.html",
        rows=rows,
        found=found,
        text=text,
        standing=only,
        standings=list(Standing),
        filtered=bool(kept),
        first=not after,
        following=urlencode({**kept, "after": rows[-1].name}) if len(found.users) > ROWS else "",
        said=said,
    )


# ---------------------------------------------------------------- making one


@router.get("/admin/new-user")
async def new_page(page: AdminDep) -> Response:
    return show(page, "admin/new_user.html", given=_given({}), problem=None)


@router.post("/admin/users")
async def create(page: AdminDep) -> Response:
    """Makes the user, and shows the link by which they come in: this once."""
    fields = await session.read_form(page.request, page.services)
    name = fields.get("name", "").strip()
    try:
        wanted = NewUser(
            name=name,
            email=form_values.text(fields, "email"),
            can_publish=form_values.ticked(fields, "can_publish"),
            quota_jobs=form_values.whole(fields, "quota_jobs"),
            quota_bytes=form_values.size(fields, "quota_bytes"),
            retention_s=form_values.span(fields, "retention_s"),
        )
        await people.create_user(page.services, page.user, wanted)
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        return show(page, "admin/new_user.html", problem.status, given=_given(fields), problem=problem)
    return await _one(page, name, said="created", link=await people.request_login_link(page.services, page.user, name))


# ---------------------------------------------------------------- one user


@router.get("/admin/users/{name}")
async def user_page(name: str, page: AdminDep, said: Word = "") -> Response:
    return await _one(page, name, said=said)


async def _one(
    page: Page,
    name: str,
    *,
    said: str = "",
    link: str = "",
    given: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> Response:
    found = await people_lists.describe_user(page.services, page.user, name)
    response = show(
        page,
        "admin/user.html",
        problem.status if problem else 200,
        found=found,
        user=found.user,
        given=_given(_written(found.user) if given is None else given),
        settings=page.services.settings,
        said=said,
        link=link,
        problem=problem,
    )
    if link:
        response.headers["cache-control"] = "no-store"
    return response


def _given(fields: Mapping[str, str]) -> dict[str, str]:
    """All fields of the form; a box that is not ticked is not sent."""
    return {name: fields.get(name, "") for name in FIELDS}


def _written(user: User) -> dict[str, str]:
    """The fields of the form as the user has them: in units that come out even."""
    return {
        "email": user.email or "",
        "can_publish": "yes" if user.can_publish else "",
        "quota_jobs": "" if user.quota_jobs is None else str(user.quota_jobs),
        "quota_bytes": "" if user.quota_bytes is None else _even(user.quota_bytes, _SIZES),
        "retention_s": "" if user.retention_s is None else _even(user.retention_s, _SPANS),
    }


_SIZES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1))
_SPANS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))


def _even(value: float, units: tuple[tuple[str, float], ...]) -> str:
    """``50 GB``: in the largest unit of which it is a whole number, so that reading it again gives the same."""
    for unit, factor in units:
        if value and value % factor == 0:
            return f"{value / factor:.0f} {_(unit)}"
    return f"{value:g} {_(units[-1][0])}"


@router.post("/admin/users/{name}")
async def change(name: str, page: AdminDep) -> Response:
    fields = await session.read_form(page.request, page.services)
    try:
        changes: dict[str, Any] = {
            "email": form_values.text(fields, "email"),
            "can_publish": form_values.ticked(fields, "can_publish"),
            "quota_jobs": form_values.whole(fields, "quota_jobs"),
            "quota_bytes": form_values.size(fields, "quota_bytes"),
            "retention_s": form_values.span(fields, "retention_s"),
        }
        await people.change_user(page.services, page.user, name, changes)
    except Problem as problem:
        if problem.code not in FORM_CODES - {"not_found"}:
            raise
        return await _one(page, name, given=fields, problem=problem)
    return go_to(f"/admin/users/{name}?said=saved")


@router.get("/admin/users/{name}/link")
async def back(name: str, page: AdminDep) -> Response:
    """The link was shown, once; what is left is the user's page."""
    return go_to(f"/admin/users/{quote(name, safe='')}")


@router.post("/admin/users/{name}/link")
async def make_link(name: str, page: AdminDep) -> Response:
    await session.read_form(page.request, page.services)
    link = await people.request_login_link(page.services, page.user, name)
    return await _one(page, name, link=link)


# ---------------------------------------------------------------- what asks first


@router.get("/admin/users/{name}/{act}")
async def ask(name: str, act: str, page: AdminDep) -> Response:
    found = await people_lists.describe_user(page.services, page.user, name)
    return show(page, "admin/user_ask.html", found=found, user=found.user, act=_known(act).value, problem=None)


@router.post("/admin/users/{name}/{act}")
async def do(name: str, act: str, page: AdminDep) -> Response:
    return await _do(page, name, _known(act))


async def _do(page: Page, name: str, act: Act) -> Response:
    await session.read_form(page.request, page.services)
    try:
        if act is Act.DELETE:
            await people.remove_user(page.services, page.user, name)
        else:
            await people.change_user(page.services, page.user, name, CHANGES[act])
    except Problem as problem:
        if problem.code != "conflict":
            raise
        found = await people_lists.describe_user(page.services, page.user, name)
        values = {"found": found, "user": found.user, "act": act.value, "problem": problem}
        return show(page, "admin/user_ask.html", problem.status, **values)
    if name == page.user.name:  # who has given up the right to see these pages
        return go_to("/")
    return go_to("/admin/users?said=deleted" if act is Act.DELETE else f"/admin/users/{name}?said={act.value}")


def _known(act: str) -> Act:
    """Raises ``not_found``."""
    if act not in list(Act):
        raise Problem("not_found", _("There is no page %(path)s.", path=act[:80]))
    return Act(act)
