"""Where one is told that a job has ended, unless the job says otherwise: addresses, and a notice on trial."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Response

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import account
from sirdar.services.notify.schedule import Delivered, Delivery
from sirdar.web import session
from sirdar.web.account import PageDep, is_person
from sirdar.web.pages import Page, PageRoute, go_to, show
from sirdar.web.words import gettext as _

router = APIRouter(route_class=PageRoute, include_in_schema=False)
FORM_CODES = frozenset({"invalid_field", "address_not_allowed"})
LONGEST = 2000
LONGEST_SECRET = 200
Word = Annotated[str, Query(max_length=200)]


@router.get("/account/notifications")
async def notices_page(page: PageDep, said: Word = "") -> Response:
    return await _show(page, page.user, said=said)


async def _show(
    page: Page,
    caller: Caller,
    *,
    said: str = "",
    given: str = "",
    tried: str = "",
    delivery: Delivery | None = None,
    problem: Problem | None = None,
) -> Response:
    shown = await account.show(page.services, caller)
    return show(
        page,
        "account/notifications.html",
        problem.status if problem else 200,
        may_change=is_person(caller),
        targets=[(account.address_of(target), "webhook" in target) for target in shown.notify],
        sends_mail=bool(page.services.settings.smtp_host),
        email=shown.user.email or "",
        said=said,
        given=given,
        tried=tried,
        delivery=delivery,
        came=isinstance(delivery, Delivered),
        problem=problem,
    )


@router.post("/account/notifications")
async def add(page: PageDep) -> Response:
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    address = fields.get("address", "").strip()
    try:
        await account.add_notify(page.services, caller, _target(address, fields))
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        field = problem.field if problem.field == "secret" else "address"
        wrong = Problem(problem.code, problem.detail, field=field, expected=problem.expected, hint=problem.hint)
        return await _show(page, caller, given=address, problem=wrong)
    return go_to("/account/notifications?said=added")


def _target(address: str, fields: Mapping[str, str]) -> dict[str, str]:
    """A webhook where it begins as one, else an e-mail address."""
    secret = fields.get("secret", "")
    if not address or len(address) > LONGEST:
        expected = _("an e-mail address, or the address of a webhook that begins with https://")
        raise Problem("invalid_field", _("That is no address."), field="address", expected=expected)
    if len(secret) > LONGEST_SECRET:
        raise Problem("invalid_field", _("At most %(count)s characters.", count=LONGEST_SECRET), field="secret")
    if "://" in address:
        return {"webhook": address, **({"secret": secret} if secret else {})}
    return {"email": address}


@router.post("/account/notifications/remove")
async def remove(page: PageDep) -> Response:
    fields = await session.read_form(page.request, page.services)
    await account.remove_notify(page.services, page.user, fields.get("address", ""))
    return go_to("/account/notifications?said=removed")


@router.get("/account/notifications/try")
async def back(page: PageDep) -> Response:
    return go_to("/account/notifications")


@router.post("/account/notifications/try")
async def try_out(page: PageDep) -> Response:
    """Sends one and says how that went: the page waits for the other side, at most half a minute."""
    address = (await session.read_form(page.request, page.services)).get("address", "")
    try:
        delivery = await account.try_notify(page.services, page.user, address)
    except Problem as problem:
        if problem.code != "too_many_requests":
            raise
        return await _show(page, page.user, problem=problem)
    return await _show(page, page.user, tried=address, delivery=delivery)
