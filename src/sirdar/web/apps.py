"""Pages of applications: the list, and one with its inputs, versions and the ways to run it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from sirdar.api.paging import LONGEST_CURSOR
from sirdar.domain.app import FILE_INPUTS
from sirdar.services import apps
from sirdar.services.apps import Cursor, Filter
from sirdar.web.code_examples import examples
from sirdar.web.pages import Page, PageRoute, open_page, show

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
ROWS = 40
VERSIONS = 20


@router.get("/apps")
async def list_page(
    page: PageDep,
    text: Annotated[str, Query(max_length=200)] = "",
    owner: Annotated[str, Query(max_length=64)] = "",
    after: Annotated[str, Query(max_length=LONGEST_CURSOR)] = "",
) -> Response:
    caller = page.user
    which = Filter(owner=owner or None, text=text)
    found = await apps.list_apps(page.services, caller, which, limit=ROWS + 1, after=_cursor(after))
    last = found[ROWS - 1] if len(found) > ROWS else None
    following = f"{last.updated_at!r}_{last.id}" if last else ""
    return show(page, "apps.html", apps=found[:ROWS], text=text, owner=owner, following=following, first=not after)


def _cursor(after: str) -> Cursor | None:
    at, _, app_id = after.partition("_")
    try:
        return Cursor(float(at), app_id) if after and app_id.isalnum() else None
    except ValueError:
        return None


@router.get("/apps/{reference:path}")
async def app_page(reference: str, page: PageDep) -> Response:
    caller = page.user
    view = await apps.describe(page.services, caller, reference)
    record, versions = await apps.list_versions(page.services, caller, reference.partition("@")[0], limit=VERSIONS)
    app = view.loaded.app
    return show(
        page,
        "app.html",
        view=view,
        app=app,
        record=record,
        versions=versions,
        examples=examples(app, record.reference, page.services.settings.url),
        is_file={spec.name: spec.type in FILE_INPUTS for spec in app.inputs},
    )
