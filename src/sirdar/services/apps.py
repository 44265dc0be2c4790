"""Applications as their users name them: find, describe, list, share, archive.

A reference is ``owner/alias``, ``me/alias`` or an id, each with ``@N`` for one version; without it the current version is meant.
What the caller may not see does not exist for them (``not_found``).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from sirdar.domain.names import ALIAS
from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.services import access, audit
from sirdar.services.app_cache import Key, LoadedVersion, cache_of
from sirdar.services.context import Services
from sirdar.store import app_lists, app_rights, app_use
from sirdar.store import apps as rows
from sirdar.store.app_lists import Cursor, Filter, Viewer
from sirdar.store.app_use import Used
from sirdar.store.apps import AppHead, AppRecord, VersionRow
from sirdar.store.engine import Tx
from sirdar.store.people import Conn

__all__ = ["Cursor", "Filter", "LoadedVersion", "View", "load_version", "resolve_app"]

RUN, VIEW = access.RUN, access.VIEW
ME = "me"
MAX_NUMBER = 2**31 - 1  # of the column
SEARCH_MAX = 200

_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{16}|[0-9a-f]{24}")  # ours, or one of Everest's that stands for one of ours
_OWNER = re.compile(r"[^\s/@\x00-\x1f]{1,64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference: either ``app_id``, or ``owner`` and ``alias``; ``number`` None: the current version."""

    owner: str
    alias: str
    app_id: str
    number: int | None

    def key(self, caller: Caller) -> Key:
        return self.app_id or (caller.name if self.owner == ME else self.owner, self.alias)


@dataclass(frozen=True, slots=True)
class View:
    """An application as one caller sees it: a version, and what may be done with it."""

    loaded: LoadedVersion
    app: AppRecord
    permissions: tuple[str, ...]
    versions: int
    secrets: tuple[str, ...]  # names of those that have a value; only for those who may change it


# ---------------------------------------------------------------- find


async def resolve_app(services: Services, caller: Caller, reference: str, *, need: str = RUN) -> LoadedVersion:
    """The version that a reference means, for a caller who may ``run`` (or ``view``) it: the first step of each submission.

    Raises Problem ``not_found``; ``forbidden`` where it is only to be looked at; with ``run``, ``conflict`` where it is archived.
    """
    wanted = _wanted(services, reference)
    head = await _visible_head(services, caller, wanted, reference)
    if need == RUN:
        _check_runnable(caller, head)
    return await _loaded(services, head, wanted)


async def load_version(services: Services, version_id: str) -> LoadedVersion:
    """A version by its id, for those who came by it lawfully (a job's). Raises Problem ``not_found``."""
    loaded = await cache_of(services.store).version_by_id(version_id)
    if loaded is None:
        raise Problem("not_found", "That version of the application is not here any more.")
    return loaded


@lru_cache(maxsize=4096)
def parse_reference(text: str) -> Reference:
    """Raises Problem ``not_found`` where nothing can be named so."""
    owner, slash, rest = text.rpartition("/")
    name, at, number = rest.partition("@")
    named = bool(_OWNER.fullmatch(owner) and ALIAS.fullmatch(name)) if slash else bool(_ID.fullmatch(name))
    if not named or (at and not (number.isascii() and number.isdecimal() and 0 < int(number[:11]) <= MAX_NUMBER)):
        raise Problem(
            "not_found",
            f"{_shown(text)} names no application.",
            expected="owner/alias, me/alias or an id, with @N for one version",
            hint=f"Did you mean me/{text}?"
            if not slash and ALIAS.fullmatch(name)
            else "GET /api/apps lists what you may see.",
        )
    return Reference(owner, name if slash else "", "" if slash else name, int(number) if at else None)


async def _visible_head(services: Services, caller: Caller, wanted: Reference, text: str) -> AppHead:
    heads = cache_of(services.store)
    head = await heads.head(wanted.key(caller))
    if head is None and (meant := aliases(services.settings.app_aliases).get(text.partition("@")[0])) is not None:
        head = await heads.head(parse_reference(meant).key(caller))
    if head is None or not access.may_view_app(caller, head.app.owner_id, head.shares, app_id=head.app.id):
        access.require_scope(caller, Scope.READ)
        raise Problem(
            "not_found", f"There is no application {_shown(text)}.", hint="GET /api/apps lists what you may see."
        )
    return head


def _wanted(services: Services, reference: str) -> Reference:
    """As ``parse_reference``; other names of applications may be such as nothing here can have."""
    name, at, number = reference.partition("@")
    try:
        return parse_reference(reference)
    except Problem:
        if (meant := aliases(services.settings.app_aliases).get(name)) is None:
            raise
        return parse_reference(meant + at + number)


@lru_cache(maxsize=16)
def aliases(lines: tuple[str, ...]) -> dict[str, str]:
    """Other names of applications, out of lines ``OTHER=OWNER/ALIAS``; an application of that name here comes first."""
    pairs = (line.partition("=") for line in lines)
    return {other.strip(): meant.strip() for other, sign, meant in pairs if sign}


def _check_runnable(caller: Caller, head: AppHead) -> None:
    if not access.may_run_app(caller, head.app.owner_id, head.shares, app_id=head.app.id):
        access.require_scope(caller, Scope.RUN)
        raise Problem(
            "forbidden",
            f"{head.app.reference} is shared with you to look at, not to run.",
            hint=f"Ask {head.app.owner_name} to share it with the permission run.",
        )
    if head.app.archived_at is not None:
        raise Problem(
            "conflict",
            f"{head.app.reference} is archived: it takes no new jobs.",
            hint=f"{head.app.owner_name} can take it out of the archive again.",
        )


async def _loaded(services: Services, head: AppHead, wanted: Reference) -> LoadedVersion:
    number = wanted.number if wanted.number is not None else head.app.latest
    loaded = await cache_of(services.store).version(head.app.id, number)
    if loaded is None:
        raise Problem(
            "not_found",
            f"{head.app.reference} has no version {number}.",
            hint=f"GET /api/apps/{head.app.reference}/versions lists them.",
        )
    return loaded


def _shown(text: str) -> str:
    short = text if len(text) <= 120 else text[:120] + "..."
    return short if short.isprintable() else ascii(short)


# ---------------------------------------------------------------- look


async def describe(services: Services, caller: Caller, reference: str) -> View:
    """One version with what the caller may do."""
    wanted = _wanted(services, reference)
    head = await _visible_head(services, caller, wanted, reference)
    loaded = await _loaded(services, head, wanted)
    app = head.app
    permissions = access.app_permissions(caller, app.owner_id, head.shares, app_id=app.id)
    changes = "change" in permissions

    def facts(conn: Conn) -> tuple[int, tuple[str, ...]]:
        return rows.count_versions(conn, app.id), app_rights.secret_names(conn, app.id) if changes else ()

    versions, secrets = await services.store.read(facts)
    return View(loaded, app, tuple(permissions), versions, secrets)


async def list_versions(
    services: Services, caller: Caller, reference: str, *, limit: int, before: int | None = None
) -> tuple[AppRecord, list[VersionRow]]:
    """Versions, the newest first."""
    head = await _visible_head(services, caller, parse_reference(reference), reference)
    found = await services.store.read(lambda conn: rows.list_versions(conn, head.app.id, limit=limit, before=before))
    return head.app, found


async def list_apps(
    services: Services, caller: Caller, which: Filter, *, limit: int, after: Cursor | None = None
) -> list[AppRecord]:
    """A page of what the caller may see, the last updated first. ``which.owner`` may be ``me``."""
    access.require_scope(caller, Scope.READ)
    if len(which.text) > SEARCH_MAX or "\0" in which.text + (which.owner or "") + which.keyword:
        raise Problem(
            "invalid_field", "This text cannot be searched for.", field="text", expected="up to 200 characters"
        )
    if which.owner == ME:
        which = replace(which, owner=caller.name)
    viewer = Viewer(caller.user_id, caller.subjects, caller.administers, caller.apps)
    return await services.store.read(lambda conn: app_lists.list_apps(conn, viewer, which, limit=limit, after=after))


async def used_lately(services: Services, caller: Caller) -> dict[str, Used]:
    """When, and how often, the caller has run applications lately; by id."""
    access.require_scope(caller, Scope.READ)
    return await services.store.read(lambda conn: app_use.used_by(conn, caller.user_id))


# ---------------------------------------------------------------- share, archive


async def list_shares(services: Services, caller: Caller, reference: str) -> dict[str, str]:
    """Subject -> permission; for those who may change the application."""
    head = await _visible_head(services, caller, parse_reference(reference), reference)

    def read(conn: Conn) -> dict[str, str]:
        access.changeable_app(conn, caller, head.app.id)
        return app_rights.list_shares(conn, head.app.id)

    return await services.store.read(read)


async def put_share(services: Services, caller: Caller, reference: str, subject: str, permission: str) -> None:
    """Let a user, a group or everyone run or view the application, all its versions. The last word counts."""
    subject = check_subject(subject)
    if permission not in {RUN, VIEW}:
        raise Problem(
            "invalid_field", f"{permission[:80]!r} is no permission.", field="permission", expected="run or view"
        )

    def share(tx: Tx, app: AppRecord) -> None:
        if not app_rights.subject_exists(tx.conn, subject):
            raise Problem("not_found", f"There is no {subject.replace(':', ' ')}.", field="subject")
        app_rights.put_share(tx, app.id, subject, permission)
        audit.record(tx, caller, "app.share", f"app:{app.reference}", subject=subject, permission=permission)

    await change(services, caller, reference, share)


async def remove_share(services: Services, caller: Caller, reference: str, subject: str) -> None:
    """Taking back what was not given is no error."""
    subject = check_subject(subject)

    def unshare(tx: Tx, app: AppRecord) -> None:
        if app_rights.remove_share(tx, app.id, subject):
            audit.record(tx, caller, "app.unshare", f"app:{app.reference}", subject=subject)

    await change(services, caller, reference, unshare)


async def set_archived(services: Services, caller: Caller, reference: str, archived: bool) -> None:
    """An archived application takes no new jobs and stands in no list; its jobs, also those that run, stay."""

    def archive(tx: Tx, app: AppRecord) -> None:
        if (app.archived_at is not None) == archived:
            return
        rows.set_archived(tx, app.id, archived)
        audit.record(tx, caller, "app.archive" if archived else "app.unarchive", f"app:{app.reference}")

    await change(services, caller, reference, archive)


def check_subject(subject: str) -> str:
    """``user:NAME``, ``group:NAME`` or ``everyone``, as shares are kept."""
    kind, _, name = subject.partition(":")
    if kind == "everyone" and name in {"", "everyone"}:
        return "everyone"
    if kind not in {"user", "group"} or not _OWNER.fullmatch(name):
        raise Problem(
            "invalid_field",
            f"{_shown(subject)} is nobody to share with.",
            field="subject",
            expected="user:NAME, group:NAME or everyone",
        )
    return subject


async def change(
    services: Services, caller: Caller, reference: str, write: Callable[[Tx, AppRecord], None]
) -> AppRecord:
    """Run ``write`` in a transaction on an application that the caller may change, and let every request see it at once."""
    head = await _visible_head(services, caller, parse_reference(reference), reference)

    def run(tx: Tx) -> AppRecord:
        access.changeable_app(tx.conn, caller, head.app.id)
        app = rows.find_app_by_id(tx.conn, head.app.id)
        assert app is not None
        write(tx, app)
        tx.hints.rights.add(f"app:{app.id}")
        return app

    app = await services.store.write(run)
    cache_of(services.store).forget(app.id)
    return app
