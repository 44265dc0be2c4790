"""Where jobs run, for a page of a list: the resource of each job's first task."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from sirdar.store import tables as t
from sirdar.store.people import Conn


@dataclass(frozen=True, slots=True)
class Place:
    """``unreachable_since``: since when nothing was heard from it; its tasks are still counted as running."""

    resource: str
    unreachable_since: float | None


def places_of(conn: Conn, job_ids: Collection[str]) -> dict[str, Place]:
    """By job; jobs that nobody has taken are left out."""
    query = (
        sa.select(t.tasks.c.job_id, t.resources.c.name, t.resources.c.unreachable_since)
        .join(t.resources, t.resources.c.id == t.tasks.c.resource_id)
        .where(t.tasks.c.job_id.in_(list(job_ids)), t.tasks.c.no == 0)
    )
    return {row.job_id: Place(row.name, row.unreachable_since) for row in conn.execute(query)}
