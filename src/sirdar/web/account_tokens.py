"""One's tokens and sessions: the list, making one (its text is shown once), revoking one, which asks first."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.services import apps, tokens
from sirdar.services.tokens import Issued, TokenRequest
from sirdar.store.tokens import Token
from sirdar.web import session
from sirdar.web.account import PageDep, is_person
from sirdar.web.pages import Page, PageRoute, go_to, show
from sirdar.web.words import gettext as _

router = APIRouter(route_class=PageRoute, include_in_schema=False)
ROWS = 40
DAY_S = 86400.0
LIFETIMES = {str(days): days * DAY_S for days in (1, 7, 30, 90, 365)}  # by what the form sends: days
LIFETIME = "90"
MOST_APPS = 20
FORM_CODES = frozenset({"invalid_field", "not_found"})
Word = Annotated[str, Query(max_length=200)]


@router.get("/account/tokens")
async def list_page(page: PageDep, after: Word = "", said: Word = "") -> Response:
    return await _list(page, page.user, after=after, said=said)


async def _list(
    page: Page,
    caller: Caller,
    *,
    after: str = "",
    said: str = "",
    issued: Issued | None = None,
    given: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> Response:
    may_change = is_person(caller)
    found = await tokens.newest(page.services, caller, limit=ROWS + 1, before=after) if may_change else []
    rows = found[:ROWS]
    response = show(
        page,
        "account/tokens.html",
        problem.status if problem else 200,
        may_change=may_change,
        rows=[(token, tokens.scope_list(token), tokens.app_list(token)) for token in rows],
        first=not after,
        following=urlencode({"after": rows[-1].id}) if len(found) > ROWS else "",
        said=said,
        issued=issued,
        site_url=page.services.settings.url,
        scopes=offered(caller),
        given=given or {"label": "", "lifetime": LIFETIME, "scope_run": "yes", "apps": ""},
        lifetimes=LIFETIMES,
        problem=problem,
    )
    if issued is not None:
        response.headers["cache-control"] = "no-store"
    return response


def offered(caller: Caller) -> list[Scope]:
    """The scopes that would open something to this user."""
    without = set() if caller.publishes else {Scope.PUBLISH}
    without |= set() if caller.administers else {Scope.ADMIN}
    return [scope for scope in Scope if scope not in without]


@router.post("/account/tokens")
async def create(page: PageDep) -> Response:
    """Its text is on this page, and can never be read again."""
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    try:
        issued = await tokens.create(page.services, caller, await _wanted(page, caller, fields))
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        given = {name: fields.get(name, "") for name in ("label", "lifetime", "apps")}
        ticks = {name: text for name, text in fields.items() if name.startswith("scope_")}
        return await _list(page, caller, given=given | ticks, problem=problem)
    return await _list(page, caller, issued=issued)


async def _wanted(page: Page, caller: Caller, fields: Mapping[str, str]) -> TokenRequest:
    lifetime_s = LIFETIMES.get(fields.get("lifetime", ""))
    if lifetime_s is None:
        raise Problem("invalid_field", _("Choose how long it lives."), field="lifetime")
    scopes = [scope for scope in Scope if fields.get(f"scope_{scope.value}")]
    if not scopes:
        raise Problem("invalid_field", _("Choose what it may do."), field="scopes")
    return TokenRequest(fields.get("label", "").strip(), lifetime_s, scopes, await _apps(page, caller, fields))


async def _apps(page: Page, caller: Caller, fields: Mapping[str, str]) -> list[str]:
    """Ids of the applications that are named, apart by commas or spaces. Raises ``invalid_field``."""
    names = fields.get("apps", "").replace(",", " ").split()
    if len(names) > MOST_APPS:
        raise Problem("invalid_field", _("At most %(count)s applications.", count=MOST_APPS), field="apps")
    found: list[str] = []
    for name in names:
        try:
            loaded = await apps.resolve_app(page.services, caller, name, need="view")
        except Problem as problem:
            raise Problem("invalid_field", problem.detail, field="apps", expected=_("owner/alias")) from None
        found.append(loaded.version.app_id)
    return found


# ---------------------------------------------------------------- revoking


@router.get("/account/tokens/{token_id}/revoke")
async def ask(token_id: str, page: PageDep) -> Response:
    token = await tokens.find(page.services, page.user, token_id)
    return show(page, "account/token_ask.html", token=token, is_this=_is_this(page.user, token))


@router.post("/account/tokens/{token_id}/revoke")
async def revoke(token_id: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    await tokens.revoke(page.services, caller, token_id)
    if token_id == caller.token_id:
        response = go_to("/login")
        session.end(page.request, response)
        return response
    return go_to("/account/tokens?said=revoked")


def _is_this(caller: Caller, token: Token) -> bool:
    return token.id == caller.token_id
