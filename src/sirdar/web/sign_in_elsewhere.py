"""Signing in at a provider, and signing a command line in by the browser."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Response

from sirdar.api.auth import address_of
from sirdar.domain.problems import Problem
from sirdar.services import cli_sign_in
from sirdar.services.outside import journey
from sirdar.services.tokens import TokenRequest
from sirdar.web import session
from sirdar.web.pages import SECURITY_HEADERS, Page, PageRoute, go_to, open_page, show
from sirdar.web.sign_in import RETRY_CODES, show_form
from sirdar.web.words import gettext as _

if TYPE_CHECKING:  # its libraries stand in an extra
    from sirdar.services.outside.oidc import OidcProvider

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
JOURNEY = "sirdar_journey"  # the cookie that a browser carries to the provider and back
PATH = "/login/oidc"
Port = Annotated[int | None, Query(ge=1024, le=65535)]


@router.get("/login/oidc")
async def depart(page: PageDep, next: str = "/") -> Response:
    """To the provider."""
    wanted = session.local_path(next)
    try:
        url, sealed = await journey.depart(page.services, _provider(page), wanted)
    except Problem as problem:
        if problem.code not in RETRY_CODES:
            raise
        return show_form(page, next_page=wanted, problem=problem)
    response = go_to(url)
    response.set_cookie(
        JOURNEY,
        sealed,
        max_age=int(journey.WITHIN_S),
        path=PATH,
        httponly=True,
        samesite="lax",
        secure=session.is_secure(page.request),
    )
    return response


@router.get("/login/oidc/callback")
async def arrive(page: PageDep) -> Response:
    """Back from the provider."""
    services, request = page.services, page.request
    sealed = request.cookies.get(JOURNEY, "")
    try:
        issued, wanted = await journey.arrive(
            services, _provider(page), dict(request.query_params), sealed, address=address_of(request)
        )
    except Problem as problem:
        if problem.code not in RETRY_CODES:
            raise
        refused = show_form(page, problem=problem)
        refused.delete_cookie(JOURNEY, path=PATH)
        return refused
    response = go_to(session.local_path(wanted))
    response.delete_cookie(JOURNEY, path=PATH)
    session.start(request, response, issued.text, services.settings.session_s)
    return response


def _provider(page: Page) -> "OidcProvider":
    provider = page.services.auth.ways.oidc
    if provider is None:
        raise Problem("not_found", _("This server knows no provider to sign in at."), hint=_("Sign in by password."))
    return provider


# ---------------------------------------------------------------- a command line


@router.get("/login/cli")
async def cli_page(
    page: PageDep,
    *,
    challenge: str = "",
    label: str = "",
    state: str = "",
    lifetime: float | None = None,
    port: Port = None,
) -> Response:
    """Asks whoever is signed in, or signs in first, whether the command line may act for them."""
    caller = page.user
    cli_sign_in.check(challenge, TokenRequest(label, lifetime))
    lifetime_s = lifetime or page.services.settings.token_s
    response = show(
        page,
        "sign_in_cli.html",
        caller_name=caller.name,
        challenge=challenge,
        label=label,
        state=state[:200],
        lifetime=lifetime,
        lifetime_s=lifetime_s,
        port=port,
        code=None,
    )
    if port is not None:  # browsers hold the policy of forms against the redirect that follows, too
        policy = SECURITY_HEADERS["content-security-policy"]
        allowed = policy.replace("form-action 'self'", f"form-action 'self' http://127.0.0.1:{port}")
        response.headers["content-security-policy"] = allowed
    return response


@router.post("/login/cli")
async def allow_cli(page: PageDep) -> Response:
    """Gives the command line its code: by a redirect to it, or on a page to be copied from."""
    caller, services = page.user, page.services
    fields = await session.read_form(page.request, services)
    label = fields.get("label", "")
    wanted = TokenRequest(label, _seconds(fields.get("lifetime", "")))
    port = fields.get("port", "")
    code = await cli_sign_in.allow(services, caller, fields.get("challenge", ""), wanted)
    if port.isascii() and port.isdecimal() and 1024 <= int(port) <= 65535:
        return go_to(f"http://127.0.0.1:{int(port)}/?" + session.query(code=code, state=fields.get("state", "")[:200]))
    return show(page, "sign_in_cli.html", caller_name=caller.name, label=label, code=code)


def _seconds(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise Problem("invalid_field", _("That is no lifetime."), field="lifetime", expected=_("seconds")) from None
