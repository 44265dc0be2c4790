"""The ledger's rows of resources, their sessions, leases and join tokens."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store.engine import Tx
from sirdar.store.hot import Hot
from sirdar.store.tables import attempts, jobs, join_tokens, resource_tokens, resources


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """A machine, cluster or pool that somebody attached. ``capabilities`` as in ``wire.agent.Capabilities``."""

    id: str
    name: str
    owner_id: str
    embedded: bool
    public_key: str | None
    capabilities: dict[str, Any]
    load: dict[str, float]
    load_at: float | None
    session: str | None
    agent_version: str
    mode: str
    seen_at: float | None
    lease_until: float | None
    unreachable_since: float | None
    lost_after_s: float
    revoked_at: float | None
    created_at: float
    deleted_at: float | None
    online_since: float | None
    drained_at: float | None


@dataclass(frozen=True, slots=True)
class Holder:
    """A job whose tasks hold slots of a resource: one for each cpu, or for each task of a batch system."""

    job_id: str
    owner_id: str
    slots: int


_COLUMNS = (
    resources.c.id,
    resources.c.name,
    resources.c.owner_id,
    resources.c.embedded,
    resources.c.public_key,
    resources.c.capabilities_json,
    resources.c.load_json,
    resources.c.load_at,
    resources.c.session,
    resources.c.agent_version,
    resources.c.mode,
    resources.c.seen_at,
    resources.c.lease_until,
    resources.c.unreachable_since,
    resources.c.lost_after_s,
    resources.c.revoked_at,
    resources.c.created_at,
    resources.c.deleted_at,
    resources.c.online_since,
    resources.c.drained_at,
)


def _row(row: Any) -> ResourceRow:
    values = list(row)
    values[3] = bool(values[3])
    values[5] = json.loads(values[5])
    values[6] = json.loads(values[6])
    return ResourceRow(*values)


def find_resource(conn: Connection, resource_id: str) -> ResourceRow | None:
    row = conn.execute(sa.select(*_COLUMNS).where(resources.c.id == resource_id)).first()
    return _row(row) if row else None


def find_resource_by_name(conn: Connection, name: str) -> ResourceRow | None:
    """The resource that has the name now."""
    query = sa.select(*_COLUMNS).where(resources.c.name == name, resources.c.deleted_at.is_(None))
    row = conn.execute(query).first()
    return _row(row) if row else None


def list_resources(conn: Connection) -> list[ResourceRow]:
    """Those that may run tasks."""
    query = sa.select(*_COLUMNS).where(resources.c.revoked_at.is_(None)).order_by(resources.c.name)
    return [_row(row) for row in conn.execute(query)]


def list_with_revoked(conn: Connection) -> list[ResourceRow]:
    """All that have not been deleted, by name."""
    query = sa.select(*_COLUMNS).where(resources.c.deleted_at.is_(None)).order_by(resources.c.name)
    return [_row(row) for row in conn.execute(query)]


def insert_resource(tx: Tx, *, id: str, name: str, owner_id: str, lost_after_s: float, embedded: bool = False) -> None:
    tx.conn.execute(
        sa.insert(resources).values(
            id=id,
            name=name,
            owner_id=owner_id,
            embedded=int(embedded),
            lost_after_s=lost_after_s,
            created_at=tx.now,
        )
    )


def insert_join_token(tx: Tx, *, token_hash: str, resource_id: str, expires_at: float) -> None:
    tx.conn.execute(
        sa.insert(join_tokens).values(token_hash=token_hash, resource_id=resource_id, expires_at=expires_at)
    )


def use_join_token(tx: Tx, token_hash: str) -> str | None:
    """The resource that the token joins, once and in time; else None."""
    row = tx.conn.execute(
        sa.update(join_tokens)
        .where(
            join_tokens.c.token_hash == token_hash,
            join_tokens.c.used_at.is_(None),
            join_tokens.c.expires_at > tx.now,
        )
        .values(used_at=tx.now)
        .returning(join_tokens.c.resource_id)
    ).first()
    return str(row[0]) if row else None


def joined_with(conn: Connection, token_hash: str, public_key: str) -> ResourceRow | None:
    """The resource that was joined by this token with this very key."""
    row = conn.execute(
        sa.select(*_COLUMNS)
        .join(join_tokens, join_tokens.c.resource_id == resources.c.id)
        .where(
            join_tokens.c.token_hash == token_hash,
            join_tokens.c.used_at.is_not(None),
            resources.c.public_key == public_key,
            resources.c.revoked_at.is_(None),
        )
    ).first()
    return _row(row) if row else None


def set_public_key(tx: Tx, resource_id: str, public_key: str) -> None:
    tx.hints.changed.add(resource_id)
    tx.conn.execute(
        sa.update(resources)
        .where(resources.c.id == resource_id)
        .values(public_key=public_key, session=None, revoked_at=None)
    )


def begin_session(
    tx: Tx,
    resource_id: str,
    *,
    session: str,
    capabilities: dict[str, Any],
    agent_version: str,
    lease_s: float,
    load: dict[str, float] | None = None,
) -> None:
    tx.hints.changed.add(resource_id)
    tx.conn.execute(
        sa.update(resources)
        .where(resources.c.id == resource_id)
        .values(
            session=session,
            capabilities_json=json.dumps(capabilities),
            load_json=json.dumps(load or {}),
            load_at=tx.now if load else None,
            agent_version=agent_version,
            seen_at=tx.now,
            lease_until=tx.now + lease_s,
            unreachable_since=None,
            online_since=_online_since(tx, resources.c.session != session),
        )
    )


def keep_capabilities(tx: Tx, resource_id: str, capabilities: dict[str, Any]) -> None:
    """What the machine has, where that has changed within a session."""
    tx.hints.changed.add(resource_id)
    query = sa.update(resources).where(resources.c.id == resource_id)
    tx.conn.execute(query.values(capabilities_json=json.dumps(capabilities)))


def renew_lease(tx: Tx, resource_id: str, *, lease_s: float, load: dict[str, float] | None = None) -> None:
    values: dict[str, Any] = {"seen_at": tx.now, "lease_until": tx.now + lease_s, "unreachable_since": None}
    values["online_since"] = _online_since(tx, sa.false())
    if load is not None:
        values |= {"load_json": json.dumps(load), "load_at": tx.now}
    tx.conn.execute(sa.update(resources).where(resources.c.id == resource_id).values(**values))


def _online_since(tx: Tx, anew: sa.ColumnElement[bool]) -> sa.ColumnElement[float]:
    """What it was, unless the agent is there ``anew`` or was given up for silent before this."""
    columns = resources.c
    broken = sa.or_(
        anew, columns.session.is_(None), columns.unreachable_since.is_not(None), columns.online_since.is_(None)
    )
    return sa.case((broken, tx.now), else_=columns.online_since)


def extend_lease(tx: Tx, resource_id: str, *, lease_s: float) -> None:
    """A sign of life that says nothing of what else the agent has: where it was unreachable, it stays so until it says."""
    query = sa.update(resources).where(resources.c.id == resource_id)
    tx.conn.execute(query.values(seen_at=tx.now, lease_until=tx.now + lease_s))


_STANDING = Hot("SELECT session, mode, unreachable_since, revoked_at FROM resources WHERE id = :id")
_TAKERS = Hot(
    "SELECT id, session FROM resources WHERE unreachable_since IS NULL AND mode <> 'drain'"
    " AND id IN (SELECT value FROM json_each(:ids))",
    "SELECT id, session FROM resources WHERE unreachable_since IS NULL AND mode <> 'drain'"
    " AND id IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))",
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether an agent's call counts, as the ledger has it within a transaction."""

    session: str | None
    mode: str
    unreachable_since: float | None
    revoked_at: float | None


def standing(conn: Connection, resource_id: str) -> Standing | None:
    rows = _STANDING.all(conn, id=resource_id)
    return Standing(*rows[0]) if rows else None


def takers(conn: Connection, sessions: Mapping[str, str]) -> set[str]:
    """Those of the resources (id: session) whose session is still the one, that hold their lease and are not drained."""
    rows = _TAKERS.all(conn, ids=json.dumps(list(sessions)))
    return {id for id, session in rows if sessions[id] == session}


def extend_all_leases(tx: Tx, lease_s: float) -> None:
    """When a server starts: time in which nobody could renew does not count against agents, not even silent ones."""
    query = sa.update(resources).where(resources.c.lease_until.is_not(None))
    tx.conn.execute(query.values(lease_until=tx.now + lease_s))


def bring_back(tx: Tx) -> None:
    """The clock was set back: nobody has been silent since a time that is still to come."""
    query = sa.update(resources).where(resources.c.unreachable_since > tx.now)
    tx.conn.execute(query.values(unreachable_since=tx.now))


def mark_stopped(tx: Tx, resource_id: str) -> None:
    """Its agent ends, and its programs run on: it is unreachable from now on, without waiting for the end of its lease."""
    tx.hints.changed.add(resource_id)
    values = {"seen_at": tx.now, "unreachable_since": tx.now}
    tx.conn.execute(sa.update(resources).where(resources.c.id == resource_id).values(**values))


def mark_unreachable(tx: Tx, lease_s: float) -> list[str]:
    """Resources whose lease ran out just now; each gets ``unreachable_since``.

    That is when it was seen last; or, where the lease was extended after that, since the server was away or its clock jumped, the
    time of the extension: what was before does not count against it.
    """
    began = resources.c.lease_until - lease_s
    since = sa.case((resources.c.seen_at < began, began), else_=resources.c.seen_at)
    rows = tx.conn.execute(
        sa.update(resources)
        .where(resources.c.lease_until < tx.now, resources.c.unreachable_since.is_(None))
        .values(unreachable_since=since)
        .returning(resources.c.id)
    )
    return [str(row[0]) for row in rows]


def lost_resources(conn: Connection, now: float, *, lock: bool = False) -> list[ResourceRow]:
    """Resources that have been unreachable for longer than their policy allows and hold live attempts.

    ``lock``: none of them comes back, on whichever server, before the transaction ends.
    """
    live = sa.exists().where(attempts.c.resource_id == resources.c.id, sa.text("attempts.state <> 'ENDED'"))
    query = sa.select(*_COLUMNS).where(
        resources.c.unreachable_since.is_not(None),
        resources.c.unreachable_since + resources.c.lost_after_s < now,
        resources.c.lease_until < now,  # later than unreachable_since where the server was away meanwhile
        live,
    )
    if lock:
        query = query.order_by(resources.c.id).with_for_update(key_share=True)
    return [_row(row) for row in conn.execute(query)]


def set_mode(tx: Tx, resource_id: str, mode: str) -> None:
    tx.hints.changed.add(resource_id)
    tx.conn.execute(sa.update(resources).where(resources.c.id == resource_id).values(**_mode_values(tx, mode)))


def _mode_values(tx: Tx, mode: str) -> dict[str, Any]:
    if mode != "drain":
        return {"mode": mode, "drained_at": None}
    return {"mode": mode, "drained_at": sa.func.coalesce(resources.c.drained_at, tx.now)}


def end_session(tx: Tx, resource_id: str) -> None:
    """Its agent went away by itself: nobody waits for it."""
    tx.hints.changed.add(resource_id)
    values = {"session": None, "lease_until": None, "unreachable_since": None, "seen_at": tx.now}
    tx.conn.execute(sa.update(resources).where(resources.c.id == resource_id).values(**values))


def change(tx: Tx, resource_id: str, values: dict[str, Any]) -> None:
    """Set ``name``, ``mode``, ``lost_after_s`` or ``revoked_at``."""
    if values:
        tx.hints.changed.add(resource_id)
        if "mode" in values:
            values = values | _mode_values(tx, values["mode"])
        tx.conn.execute(sa.update(resources).where(resources.c.id == resource_id).values(**values))


def revoke(tx: Tx, resource_id: str) -> None:
    """The key is nobody's any more, and neither are the tokens."""
    tx.hints.changed.add(resource_id)
    values = {"revoked_at": tx.now, "public_key": None, "session": None, "lease_until": None, "unreachable_since": None}
    tx.conn.execute(sa.update(resources).where(resources.c.id == resource_id).values(**values))
    tx.conn.execute(sa.delete(join_tokens).where(join_tokens.c.resource_id == resource_id))
    live = (resource_tokens.c.resource_id == resource_id, resource_tokens.c.revoked_at.is_(None))
    tx.conn.execute(sa.update(resource_tokens).where(*live).values(revoked_at=tx.now))


def delete(tx: Tx, resource_id: str) -> None:
    """After ``revoke``. The row stays for the sake of what ran there; the name is free."""
    tx.conn.execute(sa.update(resources).where(resources.c.id == resource_id).values(deleted_at=tx.now))


_HOLDS = sa.text("attempts.state <> 'ENDED' AND attempts.state NOT IN ('OFFERED', 'ACCEPTED')")


def holders(conn: Connection, resource_id: str, *, by_task: bool = False) -> list[Holder]:
    """The jobs whose tasks are at work on the resource, those with the most slots first."""
    slots = sa.func.count() if by_task else sa.func.count() * jobs.c.cpus
    query = (
        sa.select(jobs.c.id, jobs.c.owner_id, slots)
        .join(attempts, attempts.c.job_id == jobs.c.id)
        .where(attempts.c.resource_id == resource_id, _HOLDS)
        .group_by(jobs.c.id, jobs.c.owner_id, jobs.c.cpus)
    )
    found = [Holder(*row) for row in conn.execute(query)]
    return sorted(found, key=lambda holder: (-holder.slots, holder.job_id))


def has_expired_lease(conn: Connection, now: float) -> bool:
    """True if some resource's lease has run out and nobody has noted it."""
    query = sa.select(resources.c.id).where(resources.c.lease_until < now, resources.c.unreachable_since.is_(None))
    return conn.execute(query.limit(1)).first() is not None
