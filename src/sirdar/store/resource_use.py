"""Who may use resources, and what they have been given: what the scheduler asks before it plans."""

import json
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.placement import Load
from sirdar.store import tables as t
from sirdar.store.engine import Tx
from sirdar.store.hot import Hot

EVERYONE = "everyone"

# ---------------------------------------------------------------- shares


def list_shares(conn: Connection, resource_id: str) -> list[str]:
    """Subjects: ``user:NAME``, ``group:NAME``, ``everyone``."""
    s = t.resource_shares.c
    return list(conn.execute(sa.select(s.subject).where(s.resource_id == resource_id).order_by(s.subject)).scalars())


def all_shares(conn: Connection) -> dict[str, set[str]]:
    """Resource -> subjects; without those that are shared with nobody."""
    found: dict[str, set[str]] = {}
    for resource_id, subject in conn.execute(sa.select(t.resource_shares.c.resource_id, t.resource_shares.c.subject)):
        found.setdefault(resource_id, set()).add(subject)
    return found


def put_share(tx: Tx, resource_id: str, subject: str) -> None:
    tx.conn.execute(
        sa.text(
            "INSERT INTO resource_shares (resource_id, subject) VALUES (:resource_id, :subject)"
            " ON CONFLICT (resource_id, subject) DO NOTHING"
        ),
        {"resource_id": resource_id, "subject": subject},
    )


def remove_share(tx: Tx, resource_id: str, subject: str) -> bool:
    s = t.resource_shares.c
    query = sa.delete(t.resource_shares).where(s.resource_id == resource_id, s.subject == subject)
    return tx.conn.execute(query).rowcount > 0


# ---------------------------------------------------------------- what a plan needs to know

_IN_SQLITE = "IN (SELECT value FROM json_each(:ids))"
_IN_POSTGRES = "IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))"
# Owners, users by name, members of groups; whoever it is that everyone may be stands as ''.
_USERS = (
    "SELECT id, owner_id FROM resources WHERE id {ids}"
    " UNION ALL SELECT resource_id, '' FROM resource_shares WHERE subject = 'everyone' AND resource_id {ids}"
    " UNION ALL SELECT s.resource_id, u.id FROM resource_shares s JOIN users u ON s.subject = 'user:' || u.name"
    " WHERE s.resource_id {ids}"
    " UNION ALL SELECT s.resource_id, m.user_id FROM resource_shares s"
    " JOIN group_members m ON s.subject = 'group:' || m.group_name WHERE s.resource_id {ids}"
)
_LOADS = (
    "SELECT a.resource_id, j.cpus, j.memory_bytes, j.gpus, count(*) FROM attempts a JOIN jobs j ON j.id = a.job_id"
    " WHERE a.state <> 'ENDED' AND a.resource_id {ids} GROUP BY a.resource_id, j.cpus, j.memory_bytes, j.gpus"
)
_MAY = (
    " AND (r.owner_id = :{who} OR EXISTS (SELECT 1 FROM resource_shares s WHERE s.resource_id = r.id"
    " AND (s.subject = 'everyone' OR s.subject IN (SELECT 'user:' || u.name FROM users u WHERE u.id = :{who})"
    " OR s.subject IN (SELECT 'group:' || m.group_name FROM group_members m WHERE m.user_id = :{who}))))"
)
_SEEN = "SELECT 1 FROM resources r WHERE r.revoked_at IS NULL AND (r.seen_at IS NOT NULL OR r.embedded = :embedded)"
_WELCOME = Hot(_SEEN + _MAY.format(who="owner") + _MAY.format(who="other") + " LIMIT 1")
_USERS_OF = Hot(_USERS.format(ids=_IN_SQLITE), _USERS.format(ids=_IN_POSTGRES))
_LOADS_OF = Hot(_LOADS.format(ids=_IN_SQLITE), _LOADS.format(ids=_IN_POSTGRES))


def users_of(conn: Connection, resource_ids: Iterable[str]) -> dict[str, frozenset[str] | None]:
    """Ids of the users who may use each: its owner, and those it is shared with. None: everyone."""
    found: dict[str, set[str]] = {}
    for resource_id, user_id in _USERS_OF.all(conn, ids=json.dumps(list(resource_ids))):
        found.setdefault(resource_id, set()).add(user_id)
    return {resource_id: None if "" in users else frozenset(users) for resource_id, users in found.items()}


def loads_of(conn: Connection, resource_ids: Iterable[str]) -> dict[str, tuple[Load, ...]]:
    """What each has been given and has not ended."""
    found: dict[str, list[Load]] = {}
    for resource_id, cpus, memory_bytes, gpus, n in _LOADS_OF.all(conn, ids=json.dumps(list(resource_ids))):
        found.setdefault(resource_id, []).append(Load(cpus, memory_bytes, gpus, n))
    return {resource_id: tuple(loads) for resource_id, loads in found.items()}


def is_welcome(conn: Connection, user_id: str, other_id: str, *, starting: bool) -> bool:
    """Whether there is a resource, where an agent is or once was, that both users may use.

    ``starting``: the server's own agent counts before its first word, for it is about to come.
    """
    return bool(_WELCOME.all(conn, owner=user_id, other=other_id, embedded=1 if starting else -1))
