"""The page on which an application's owner says who may use it; and puts it away."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from sirdar.domain.problems import Problem
from sirdar.services import apps
from sirdar.web import session
from sirdar.web.app_page import AppPage, address_of, open_app, show_app
from sirdar.web.pages import Page, PageRoute, go_to, open_page

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
FIELD_CODES = frozenset({"invalid_field", "not_found"})


@router.get("/apps/{owner}/{name}/sharing")
async def sharing_page(owner: str, name: str, page: PageDep) -> Response:
    return await _show(await open_app(page, owner, name), {})


async def _show(opened: AppPage, given: dict[str, str], problem: Problem | None = None) -> Response:
    shares = await apps.list_shares(opened.page.services, opened.page.user, opened.view.app.reference)
    rows = [(subject, *_named(subject), permission) for subject, permission in shares.items()]
    status = problem.status if problem else 200
    return show_app(opened, "app_sharing.html", "sharing", status, shares=rows, given=given, problem=problem)


def _named(subject: str) -> tuple[str, str]:
    """Kind and name of a subject."""
    kind, _, name = subject.partition(":")
    return kind, name


@router.post("/apps/{owner}/{name}/sharing")
async def share(owner: str, name: str, page: PageDep) -> Response:
    """Share with one more, change what one may, or take it back (``permission`` none)."""
    page.user  # noqa: B018  (signed in, before the form is read)
    fields = await session.read_form(page.request, page.services)
    opened = await open_app(page, owner, name)
    reference = opened.view.app.reference
    subject = fields.get("subject") or _subject(fields)
    try:
        if fields.get("permission") == "none":
            await apps.remove_share(page.services, page.user, reference, subject)
        else:
            await apps.put_share(page.services, page.user, reference, subject, fields.get("permission", ""))
    except Problem as problem:
        if problem.code not in FIELD_CODES:
            raise
        return await _show(opened, fields, problem)
    return go_to(f"{address_of(reference)}/sharing")


def _subject(fields: dict[str, str]) -> str:
    kind = fields.get("kind", "")
    return kind if kind == "everyone" else f"{kind}:{fields.get('name', '').strip()}"


@router.post("/apps/{owner}/{name}/archive")
async def archive(owner: str, name: str, page: PageDep) -> Response:
    """Put it away, or take it out again."""
    page.user  # noqa: B018
    fields = await session.read_form(page.request, page.services)
    opened = await open_app(page, owner, name)
    await apps.set_archived(page.services, page.user, opened.view.app.reference, fields.get("archived") == "true")
    return go_to(f"{address_of(opened.view.app.reference)}/sharing")
