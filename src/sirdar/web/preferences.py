"""The language of the pages, chosen by hand."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from sirdar.domain.problems import Problem
from sirdar.web import session, words
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
YEAR_S = 365 * 86_400


@router.post("/language")
async def choose_language(page: PageDep) -> Response:
    """For this browser; it leads back to where one was."""
    fields = await session.read_form(page.request, page.services)
    chosen = fields.get("language", "")
    if chosen not in words.LANGUAGES:
        raise Problem(
            "invalid_field",
            words.gettext("There is no such language."),
            field="language",
            expected=", ".join(words.LANGUAGES),
        )
    response = go_to(session.local_path(fields.get("next", "/")))
    secure = session.is_secure(page.request)
    response.set_cookie(words.COOKIE, chosen, max_age=YEAR_S, path="/", samesite="lax", secure=secure, httponly=True)
    return response


@router.get("/style")
async def style_page(page: PageDep) -> Response:
    """Every component of the pages, for those who build them."""
    return show(page, "style.html")
