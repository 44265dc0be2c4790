"""The page of one's own account: what one uses, the password, tokens."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from sirdar.api.auth import address_of
from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.services import account, tokens
from sirdar.web import session
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
TOKENS = 200
FORM_CODES = frozenset({"wrong_credentials", "invalid_field", "too_many_requests"})


@router.get("/account")
async def account_page(page: PageDep, changed: str = "") -> Response:
    return await _account(page, page.user, changed=changed == "password")


async def _account(page: Page, caller: Caller, *, changed: bool = False, problem: Problem | None = None) -> Response:
    shown = await account.show(page.services, caller)
    unrestricted = caller.attempt is None and caller.apps is None and caller.has(Scope.ALL)
    listed = await tokens.listed(page.services, caller, limit=TOKENS) if unrestricted else []
    status = problem.status if problem else 200
    return show(page, "account.html", status, account=shown, tokens=listed, changed=changed, problem=problem)


@router.post("/account/password")
async def change_password(page: PageDep) -> Response:
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    try:
        if fields.get("new") != fields.get("again"):
            raise Problem("invalid_field", "The two new passwords differ.", hint="Type the new one twice.")
        await account.change_password(
            page.services,
            caller,
            old=fields.get("old"),
            new=fields.get("new", ""),
            address=address_of(page.request),
        )
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        return await _account(page, caller, problem=problem)
    return go_to("/account?changed=password")


@router.post("/account/tokens/{token_id}/revoke")
async def revoke_token(token_id: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    await tokens.revoke(page.services, caller, token_id)
    return go_to("/account")
