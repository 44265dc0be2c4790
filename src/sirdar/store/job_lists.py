"""Lists of jobs, keyed by ``jobs.seq``, newest first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.job_views import JOB, JobView, job_of
from sirdar.store.tables import apps, job_shares, jobs, users, versions


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What a list of jobs is narrowed to. ``visible_to``: (user id, subjects) or None for everything."""

    visible_to: tuple[str, frozenset[str]] | None = None
    state: Sequence[str] = ()
    app: str | None = None  # owner/alias, alias or id
    text: str | None = None
    owner: str | None = None
    since: float | None = None
    until: float | None = None
    parent: str | None = None
    name: str | None = None
    before_seq: int | None = None
    after_seq: int | None = None
    asked_to_end: bool | None = None  # whether somebody has asked for its end
    apps: frozenset[str] | None = None  # ids of the only applications whose jobs may be seen


def list_jobs(conn: Connection, wanted: JobFilter, limit: int) -> list[JobView]:
    """The newest first.

    Their numbers are found first, in the indexes alone: for each way to be visible, and each state, the newest ``limit``.
    """
    newest = _newest(conn, wanted, limit)
    if not newest:
        return []
    query = JOB.where(jobs.c.seq.in_(newest)).order_by(jobs.c.seq.desc())
    return [job_of(row) for row in conn.execute(query).mappings()]


def _newest(conn: Connection, wanted: JobFilter, limit: int) -> list[int]:
    conditions = _conditions(conn, wanted)
    ways = _visible(wanted.visible_to) if wanted.visible_to is not None else [sa.true()]
    states = [jobs.c.state == state for state in dict.fromkeys(wanted.state)] or [sa.true()]
    found: set[int] = set()
    for way in ways:
        for state in states:
            query = sa.select(jobs.c.seq).where(way, state, *conditions).order_by(jobs.c.seq.desc()).limit(limit)
            found |= set(conn.execute(query).scalars())
    return sorted(found, reverse=True)[:limit]


def list_ids(conn: Connection, wanted: JobFilter, limit: int) -> list[tuple[int, str]]:
    """(``seq``, id) of the newest that fit."""
    newest = _newest(conn, wanted, limit)
    query = sa.select(jobs.c.seq, jobs.c.id).where(jobs.c.seq.in_(newest)).order_by(jobs.c.seq.desc())
    return [(row.seq, row.id) for row in conn.execute(query)] if newest else []


def count_jobs(conn: Connection, wanted: JobFilter, most: int) -> int:
    """How many fit, counted up to ``most``."""
    return len(_newest(conn, wanted, most))


def marks_of(conn: Connection, wanted: JobFilter, ids: Collection[str]) -> dict[str, int]:
    """The number of the last event of each of these jobs that may be seen; what else the filter says does not count."""
    query = sa.select(jobs.c.id, jobs.c.event_seq).where(*_seen(wanted, ids))
    return {row.id: row.event_seq for row in conn.execute(query)}


def list_these(conn: Connection, wanted: JobFilter, ids: Collection[str]) -> list[JobView]:
    """Of these jobs those that may be seen, the newest first; what else the filter says does not count."""
    query = JOB.where(*_seen(wanted, ids)).order_by(jobs.c.seq.desc())
    return [job_of(row) for row in conn.execute(query).mappings()]


def _seen(wanted: JobFilter, ids: Collection[str]) -> list[Any]:
    """Those of these jobs that may be seen. They are found by their ids: ``coalesce`` keeps SQLite from reading all of the owner's
    jobs by the owner's index."""
    conditions: list[Any] = [jobs.c.id.in_(list(ids))]
    if wanted.visible_to is not None:
        user_id, subjects = wanted.visible_to
        own = sa.func.coalesce(jobs.c.owner_id, "") == user_id
        conditions.append(sa.or_(own, jobs.c.id.in_(_shared(subjects))))
    return conditions + ([jobs.c.app_id.in_(sorted(wanted.apps))] if wanted.apps is not None else [])


def _visible(visible_to: tuple[str, frozenset[str]]) -> list[Any]:
    """One's own jobs, and those that are shared: each by its own index."""
    user_id, subjects = visible_to
    return [jobs.c.owner_id == user_id, jobs.c.id.in_(_shared(subjects))]


def _shared(subjects: Collection[str]) -> Any:
    return sa.select(job_shares.c.job_id).where(job_shares.c.subject.in_(sorted(subjects)))


def _conditions(conn: Connection, wanted: JobFilter) -> list[Any]:
    conditions: list[Any] = []
    if wanted.app:
        conditions += _of_app(conn, wanted.app)
    if wanted.apps is not None:
        conditions.append(jobs.c.app_id.in_(sorted(wanted.apps)))
    if wanted.asked_to_end is not None:
        asked = jobs.c.cancel_requested_at.is_not(None)
        conditions.append(asked if wanted.asked_to_end else sa.not_(asked))
    if wanted.text:
        conditions.append(_with_text(conn, wanted.text))
    if wanted.owner is not None:
        owner = conn.execute(sa.select(users.c.id).where(users.c.name == wanted.owner)).scalar()
        conditions.append(jobs.c.owner_id == owner)
    pairs: tuple[tuple[Any, Any], ...] = (
        (wanted.since, jobs.c.created_at.__ge__),
        (wanted.until, jobs.c.created_at.__lt__),
        (wanted.parent, jobs.c.parent_job.__eq__),
        (wanted.name, jobs.c.name.__eq__),
        (wanted.before_seq, jobs.c.seq.__lt__),
        (wanted.after_seq, jobs.c.seq.__gt__),
    )
    return conditions + [compare(value) for value, compare in pairs if value is not None]


def _with_text(conn: Connection, text: str) -> Any:
    """The text stands in the job's name or id, or in the application's alias. ASCII letters match in either case."""
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    ignores_case = conn.dialect.name == "sqlite"

    def like(column: Any) -> Any:
        return column.like(pattern, escape="\\") if ignores_case else column.ilike(pattern, escape="\\")

    named = [row[0] for row in conn.execute(sa.select(apps.c.id).where(like(apps.c.alias)))]
    return sa.or_(like(jobs.c.name), like(jobs.c.id), *([jobs.c.app_id.in_(named)] if named else []))


def _of_app(conn: Connection, reference: str) -> list[Any]:
    """Jobs of the applications, and of the version, that ``owner/alias@N``, ``alias`` or an id may mean."""
    owner, _, alias = reference.rpartition("/")
    alias, _, number = alias.partition("@")
    query = sa.select(apps.c.id).join(users, users.c.id == apps.c.owner_id)
    if owner:
        query = query.where(apps.c.alias == alias, users.c.name == owner)
    else:
        query = query.where(sa.or_(apps.c.id == alias, apps.c.alias == alias))
    found = list(conn.execute(query).scalars())
    plain = number.isascii() and number.isdecimal() and len(number) < 10
    if not found or (number and not plain):
        return [sa.false()]
    of_app = jobs.c.app_id == found[0] if len(found) == 1 else jobs.c.app_id.in_(found)
    if not number:
        return [of_app]
    published = sa.select(versions.c.id).where(
        versions.c.app_id.in_(found), sa.func.coalesce(versions.c.base, versions.c.number) == int(number)
    )
    return [of_app, jobs.c.version_id.in_(published)]
