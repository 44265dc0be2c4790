"""What has happened to a job, in order."""

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.tables import events


@dataclass(frozen=True, slots=True)
class EventView:
    seq: int
    at: float
    kind: str
    data: dict[str, Any]


def list_events(conn: Connection, job_id: str, *, after: int = 0, limit: int = 1000) -> list[EventView]:
    query = (
        sa.select(events.c.seq, events.c.at, events.c.kind, events.c.data_json)
        .where(events.c.job_id == job_id, events.c.seq > after)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return [EventView(row.seq, row.at, row.kind, json.loads(row.data_json)) for row in conn.execute(query)]
