"""Whom an application is shared with, and its secrets."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.store import tables as t
from sirdar.store.engine import Tx

# ---------------------------------------------------------------- shares


def list_shares(conn: Connection, app_id: str) -> dict[str, str]:
    """Subject (``user:NAME``, ``group:NAME``, ``everyone``) -> permission."""
    s = t.app_shares.c
    query = sa.select(s.subject, s.permission).where(s.app_id == app_id).order_by(s.subject)
    return {row.subject: row.permission for row in conn.execute(query)}


def put_share(tx: Tx, app_id: str, subject: str, permission: str) -> None:
    tx.conn.execute(
        sa.text(
            "INSERT INTO app_shares (app_id, subject, permission) VALUES (:app_id, :subject, :permission)"
            " ON CONFLICT (app_id, subject) DO UPDATE SET permission = excluded.permission"
        ),
        {"app_id": app_id, "subject": subject, "permission": permission},
    )


def remove_share(tx: Tx, app_id: str, subject: str) -> bool:
    s = t.app_shares.c
    return tx.conn.execute(sa.delete(t.app_shares).where(s.app_id == app_id, s.subject == subject)).rowcount > 0


def subject_exists(conn: Connection, subject: str) -> bool:
    """Whether the user or group that a share names is there. A share for nobody would wait for whoever takes the name."""
    kind, _, name = subject.partition(":")
    if kind == "everyone":
        return not name
    column = {"user": t.users.c.name, "group": t.groups.c.name}.get(kind)
    return column is not None and conn.execute(sa.select(column).where(column == name)).first() is not None


# ---------------------------------------------------------------- secrets


def secret_names(conn: Connection, app_id: str) -> tuple[str, ...]:
    s = t.app_secrets.c
    return tuple(conn.execute(sa.select(s.name).where(s.app_id == app_id).order_by(s.name)).scalars())


def get_secrets(conn: Connection, app_id: str) -> dict[str, str]:
    """Name -> sealed value."""
    s = t.app_secrets.c
    return {row.name: row.cipher for row in conn.execute(sa.select(s.name, s.cipher).where(s.app_id == app_id))}


def put_secret(tx: Tx, app_id: str, name: str, cipher: str) -> None:
    tx.conn.execute(
        sa.text(
            "INSERT INTO app_secrets (app_id, name, cipher) VALUES (:app_id, :name, :cipher)"
            " ON CONFLICT (app_id, name) DO UPDATE SET cipher = excluded.cipher"
        ),
        {"app_id": app_id, "name": name, "cipher": cipher},
    )


def remove_secret(tx: Tx, app_id: str, name: str) -> bool:
    s = t.app_secrets.c
    return tx.conn.execute(sa.delete(t.app_secrets).where(s.app_id == app_id, s.name == name)).rowcount > 0
