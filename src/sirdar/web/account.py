"""The page of one's own account: what one may and uses, the e-mail address, the password."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from sirdar.api.auth import address_of
from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.services import account
from sirdar.web import session
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show
from sirdar.web.words import gettext as _

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
FORM_CODES = frozenset({"wrong_credentials", "invalid_field", "too_many_requests"})


@router.get("/account")
async def account_page(page: PageDep, changed: Annotated[str, Query(max_length=40)] = "") -> Response:
    return await _account(page, page.user, changed=changed)


async def _account(
    page: Page, caller: Caller, *, changed: str = "", email: str | None = None, problem: Problem | None = None
) -> Response:
    shown = await account.show(page.services, caller)
    status = problem.status if problem else 200
    return show(
        page,
        "account/overview.html",
        status,
        account=shown,
        user=shown.user,
        may_change=is_person(caller),
        changed=changed,
        email=shown.user.email or "" if email is None else email,
        problem=problem,
    )


def is_person(caller: Caller) -> bool:
    """Signed in with an unrestricted token, as one must be to change an account."""
    return caller.attempt is None and caller.apps is None and caller.has(Scope.ALL)


@router.get("/account/email")
@router.get("/account/password")
async def back(page: PageDep) -> Response:
    """A form that was refused stands at its own address: who asks for that anew, as by choosing a language, gets the page."""
    return go_to("/account")


@router.post("/account/email")
async def change_email(page: PageDep) -> Response:
    caller = page.user
    given = (await session.read_form(page.request, page.services)).get("email", "").strip()
    try:
        await account.change_email(page.services, caller, given or None)
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        return await _account(page, caller, email=given, problem=problem)
    return go_to("/account?changed=email")


@router.post("/account/password")
async def change_password(page: PageDep) -> Response:
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    try:
        if fields.get("new") != fields.get("again"):
            raise Problem(
                "invalid_field",
                _("The two new passwords differ."),
                field="password.again",
                hint=_("Type the new one twice."),
            )
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
