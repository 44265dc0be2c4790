"""Pages for signing in and out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from sirdar.api.auth import address_of
from sirdar.domain.problems import Problem
from sirdar.services import account, sessions, tokens
from sirdar.services.sessions import Way
from sirdar.services.tokens import TokenRequest
from sirdar.web import session
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
LABEL = "Browser"
RETRY_CODES = frozenset(
    {"wrong_credentials", "too_many_requests", "invalid_field", "csrf", "sign_in_failed", "forbidden", "unavailable"}
)


@router.get("/login")
async def sign_in_page(page: PageDep, next: str = "/") -> Response:
    if page.caller is not None:
        return go_to(session.local_path(next))
    return show_form(page, next_page=next)


def show_form(
    page: Page, *, next_page: str = "/", name: str = "", way: str = "", problem: Problem | None = None
) -> Response:
    """The form and the other ways, with what went wrong."""
    ways = page.services.auth.ways
    return show(
        page,
        "sign_in.html",
        problem.status if problem else 200,
        next=session.local_path(next_page),
        name=name[:200],
        problem=problem,
        oidc=ways.oidc.title if ways.oidc else None,
        ldap=ways.ldap.title if ways.ldap else None,
        way=way,
    )


@router.post("/login")
async def sign_in(page: PageDep) -> Response:
    """By password. What went wrong stands in the form, with the name that was given."""
    services, request = page.services, page.request
    fields: dict[str, str] = {}
    try:
        fields = await session.read_form(request, services)
        issued = await sessions.sign_in(
            services,
            fields.get("username", "").strip(),
            fields.get("password", ""),
            TokenRequest(LABEL, services.settings.session_s),
            address=address_of(request),
            way=Way(fields["way"]) if fields.get("way") in list(Way) else None,
        )
    except Problem as problem:
        if problem.code not in RETRY_CODES:
            raise
        name, way = fields.get("username", ""), fields.get("way", "")
        return show_form(page, next_page=fields.get("next", "/"), name=name, way=way, problem=problem)
    response = go_to(session.local_path(fields.get("next", "/")))
    session.start(request, response, issued.text, services.settings.session_s)
    return response


@router.get("/logout")
async def sign_out_page(page: PageDep) -> Response:
    return show(page, "sign_out.html") if page.caller is not None else go_to("/login")


@router.post("/logout")
async def sign_out(page: PageDep) -> Response:
    await session.read_form(page.request, page.services)
    if page.caller is not None and page.caller.token_id is not None:
        await tokens.revoke_in_use(page.services, page.caller)
    response = go_to("/login")
    session.end(page.request, response)
    return response


# ---------------------------------------------------------------- one-time links; after all other pages below /login


link_router = APIRouter(route_class=PageRoute, include_in_schema=False)


@link_router.get("/login/{code}")
async def link_page(code: str, page: PageDep) -> Response:
    """A button, not a sign-in: mail programs and previews fetch links too, and this one works once."""
    works = await sessions.link_works(page.services, code)
    return show(page, "sign_in_link.html", 200 if works else 410, code=code, works=works)


@link_router.post("/login/{code}")
async def sign_in_by_link(code: str, page: PageDep) -> Response:
    services, request = page.services, page.request
    await session.read_form(request, services)
    issued = await sessions.sign_in_by_link(services, code, address=address_of(request))
    shown = await account.show(services, await services.auth.caller(issued.text))
    response = go_to("/" if shown.user.password_hash else "/account?changed=welcome")
    session.start(request, response, issued.text, services.settings.session_s)
    return response
