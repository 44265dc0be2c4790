"""The audit log: who did what to what, and when; searched, the newest first."""

import re
from datetime import date, datetime, time, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from sirdar.domain.problems import Problem
from sirdar.services import audit_log
from sirdar.store.audit import AuditFilter
from sirdar.web import words
from sirdar.web.admin_page import ROWS, AdminDep
from sirdar.web.pages import PageRoute, show
from sirdar.web.words import gettext as _

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Word = Annotated[str, Query(max_length=200)]
_ACTION = re.compile(r"[a-z_]{1,40}(\.[a-z_]{0,40})?")


@router.get("/admin/audit")
async def audit_page(
    page: AdminDep,
    *,
    actor: Word = "",
    action: Word = "",
    object: Word = "",
    since: Word = "",
    until: Word = "",
    after: Annotated[int | None, Query(ge=1, le=2**62)] = None,
) -> Response:
    given = {"actor": actor, "action": action, "object": object, "since": since, "until": until}
    given = {name: text.replace("\0", "").strip() for name, text in given.items()}
    problem, wanted = None, AuditFilter()
    try:
        wanted = _filter(given)
    except Problem as wrong:
        problem = wrong
    found = (
        await audit_log.entries(page.services, page.user, wanted, limit=ROWS + 1, before=after) if not problem else []
    )
    rows = found[:ROWS]
    kept = {name: text for name, text in given.items() if text}
    return show(
        page,
        "admin/audit.html",
        problem.status if problem else 200,
        entries=rows,
        links={entry.id: _place(entry.object) for entry in rows},
        given=given,
        nouns=audit_log.NOUNS,
        filtered=bool(kept) or after is not None,
        following=urlencode({**kept, "after": rows[-1].id}) if len(found) > ROWS else "",
        problem=problem,
    )


def _filter(given: dict[str, str]) -> AuditFilter:
    action = given["action"]
    if action and not _ACTION.fullmatch(action):
        raise Problem(
            "invalid_field",
            _("Nothing is done that is called %(action)s.", action=action[:80]),
            expected="user.create, user.",
        )
    return AuditFilter(
        actor=given["actor"] or None,
        action=(action if "." in action else f"{action}.") if action else None,
        object=given["object"] or None,
        since=_midnight(given["since"], "since"),
        until=_midnight(given["until"], "until", days=1),
    )


def _midnight(text: str, field: str, *, days: int = 0) -> float | None:
    """The beginning of a day where the reader is, as the times beside it are shown; ``days`` later."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
        return datetime.combine(day, time(), words.zone()).timestamp()
    except (ValueError, OverflowError):
        raise Problem(
            "invalid_field", _("%(day)s is no day.", day=text[:40]), field=field, expected="2026-11-30"
        ) from None


def _place(object: str) -> str | None:
    """The page of what an entry is about, where it has one that can be told from its name."""
    kind, _, name = object.partition(":")
    roots = {
        "user": "/admin/users/",
        "group": "/admin/groups/",
        "app": "/apps/",
        "job": "/jobs/",
        "resource": "/resources/",
    }
    whole = re.fullmatch(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?", name)
    return roots[kind] + name if kind in roots and whole else None
