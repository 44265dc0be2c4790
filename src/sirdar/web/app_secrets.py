"""The page on which the secrets of an application are set: a value is taken, and never shown again."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from sirdar.domain.problems import Problem
from sirdar.services import access, appsecrets
from sirdar.web import session
from sirdar.web.app_page import AppPage, open_app, show_app
from sirdar.web.pages import Page, PageRoute, go_to, open_page
from sirdar.web.words import gettext

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
FIELD_CODES = frozenset({"invalid_field", "too_large", "not_found"})


@router.get("/apps/{owner}/{name}/secrets")
async def secrets_page(owner: str, name: str, page: PageDep) -> Response:
    return await _show(await _open(page, owner, name))


@router.post("/apps/{owner}/{name}/secrets")
async def set_secret(owner: str, name: str, page: PageDep) -> Response:
    """Keep a value under a name, or forget it (``do`` remove)."""
    page.user  # noqa: B018  (signed in, before the form is read)
    fields = await session.read_form(page.request, page.services)
    opened = await _open(page, owner, name)
    reference, key = opened.view.app.reference, fields.get("name", "").strip()
    try:
        if fields.get("do") == "remove":
            await appsecrets.remove_secret(page.services, page.user, reference, key)
        else:
            await _put(page, reference, key, fields.get("value", ""))
    except Problem as problem:
        if problem.code not in FIELD_CODES:
            raise
        return await _show(opened, key, problem)
    return go_to(f"{opened.address}/secrets")


async def _put(page: Page, reference: str, name: str, value: str) -> None:
    if not value:
        raise Problem("invalid_field", gettext("The value is empty."), field="value")
    await appsecrets.put_secret(page.services, page.user, reference, name, value.replace("\r\n", "\n"))


async def _open(page: Page, owner: str, name: str) -> AppPage:
    """Raises ``forbidden`` for whoever may not change it."""
    opened = await open_app(page, owner, name)
    if not access.may_change_app(page.user, opened.view.app.owner_id, app_id=opened.view.app.id):
        raise Problem("forbidden", gettext("Only who may change an application sets its secrets."))
    return opened


async def _show(opened: AppPage, given: str = "", problem: Problem | None = None) -> Response:
    """Those that the version names come first, with whether they have a value."""
    there = set(opened.view.secrets)
    named = list(opened.app.secrets)
    token = opened.app.code.token_secret
    if token and token not in named:
        named.append(token)
    rows = [(name, True, name in there) for name in named] + [(name, False, True) for name in sorted(there - {*named})]
    return show_app(
        opened,
        "app_secrets.html",
        "secrets",
        problem.status if problem else 200,
        rows=rows,
        missing=[name for name, _, known in rows if not known],
        given=given,
        problem=problem,
    )
