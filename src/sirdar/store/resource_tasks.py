"""The tasks that a resource has: listed for whoever may see their jobs, added up for all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.tables import apps, attempts, job_shares, jobs, tasks, users

_AT_WORK = sa.text("attempts.state <> 'ENDED' AND attempts.state <> 'OFFERED'")
_LIVE = sa.text("attempts.state <> 'ENDED'")
_app_owner = users.alias("app_owner")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of the list goes on: after the attempt of this key, offered at this time."""

    offered_at: float
    job_id: str
    task_no: int
    attempt: int


@dataclass(frozen=True, slots=True)
class ResourceTask:
    """A task that a resource has taken over. Times are seconds since 1970."""

    job_id: str
    job_name: str
    owner: str
    app: str
    task_no: int
    many: bool
    attempt: int
    state: str  # of the attempt: ACCEPTED, STAGING_IN, RUNNING or STAGING_OUT
    cpus: int
    memory_bytes: int
    gpus: int
    offered_at: float
    started_at: float | None
    status_message: str | None
    progress: float | None

    @property
    def place(self) -> Place:
        return Place(self.offered_at, self.job_id, self.task_no, self.attempt)


@dataclass(frozen=True, slots=True)
class Seen:
    """Whose jobs are seen: a user's own, those shared with the subjects; None: all. ``apps``: of these applications only."""

    visible_to: tuple[str, Iterable[str]] | None
    apps: Iterable[str] | None = None


def tasks_of(conn: Connection, resource_id: str, seen: Seen, *, after: Place | None, limit: int) -> list[ResourceTask]:
    """Those that were given out first come first."""
    order = (attempts.c.offered_at, attempts.c.job_id, attempts.c.task_no, attempts.c.no)
    columns = (
        attempts.c.job_id,
        jobs.c.name.label("job_name"),
        users.c.name.label("owner"),
        (_app_owner.c.name + "/" + apps.c.alias).label("app"),
        attempts.c.task_no,
        jobs.c.many,
        attempts.c.no.label("attempt"),
        attempts.c.state,
        jobs.c.cpus,
        jobs.c.memory_bytes,
        jobs.c.gpus,
        attempts.c.offered_at,
        attempts.c.started_at,
        tasks.c.status_message,
        tasks.c.progress,
    )
    of_task = (tasks.c.job_id == attempts.c.job_id) & (tasks.c.no == attempts.c.task_no)
    query = (
        sa.select(*columns)
        .select_from(attempts.join(jobs, jobs.c.id == attempts.c.job_id).join(tasks, of_task))
        .join(users, users.c.id == jobs.c.owner_id)
        .join(apps, apps.c.id == jobs.c.app_id)
        .join(_app_owner, _app_owner.c.id == apps.c.owner_id)
        .where(attempts.c.resource_id == resource_id, _AT_WORK, *_visible(seen))
        .order_by(*order)
        .limit(limit)
    )
    if after is not None:
        query = query.where(sa.tuple_(*order) > sa.tuple_(after.offered_at, after.job_id, after.task_no, after.attempt))
    return [ResourceTask(**{**row, "many": bool(row["many"])}) for row in conn.execute(query).mappings()]


def count(conn: Connection, resource_id: str, seen: Seen) -> int:
    """How many there are of them."""
    query = (
        sa.select(sa.func.count())
        .select_from(attempts.join(jobs, jobs.c.id == attempts.c.job_id))
        .where(attempts.c.resource_id == resource_id, _AT_WORK, *_visible(seen))
    )
    return int(conn.execute(query).scalar_one())


def _visible(seen: Seen) -> list[Any]:
    conditions: list[Any] = []
    if seen.visible_to is not None:
        user_id, subjects = seen.visible_to
        shared = sa.select(job_shares.c.job_id).where(job_shares.c.subject.in_(sorted(subjects)))
        conditions.append(sa.or_(jobs.c.owner_id == user_id, jobs.c.id.in_(shared)))
    if seen.apps is not None:
        conditions.append(jobs.c.app_id.in_(sorted(seen.apps)))
    return conditions


@dataclass(frozen=True, slots=True)
class Held:
    """What attempts of one state hold together."""

    n: int = 0
    cpus: int = 0
    memory_bytes: int = 0
    gpus: int = 0

    def __add__(self, other: "Held") -> "Held":
        return Held(
            self.n + other.n,
            self.cpus + other.cpus,
            self.memory_bytes + other.memory_bytes,
            self.gpus + other.gpus,
        )


def held(conn: Connection, resource_id: str | None = None) -> Mapping[str, Mapping[str, Held]]:
    """Live attempts by resource and state; of one resource alone where it is given."""
    query = (
        sa.select(
            attempts.c.resource_id,
            attempts.c.state,
            sa.func.count(),
            sa.func.sum(jobs.c.cpus),
            sa.func.sum(jobs.c.memory_bytes),
            sa.func.sum(jobs.c.gpus),
        )
        .select_from(attempts.join(jobs, jobs.c.id == attempts.c.job_id))
        .where(_LIVE)
        .group_by(attempts.c.resource_id, attempts.c.state)
    )
    if resource_id is not None:
        query = query.where(attempts.c.resource_id == resource_id)
    found: dict[str, dict[str, Held]] = {}
    for resource, state, *sums in conn.execute(query):
        found.setdefault(resource, {})[state] = Held(*(int(one) for one in sums))
    return found
