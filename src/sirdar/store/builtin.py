"""Which built-in applications a ledger has, and as what bytes."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sirdar.domain.people import SYSTEM_USER
from sirdar.store import tables as t
from sirdar.store.engine import Tx


def marks(conn: Connection) -> dict[str, str]:
    """Alias -> the mark of the bytes that its current version was made of."""
    latest = sa.and_(t.versions.c.app_id == t.apps.c.id, t.versions.c.number == t.apps.c.latest)
    query = sa.select(t.apps.c.alias, t.versions.c.code_version).join_from(t.apps, t.versions, latest)
    return {row.alias: row.code_version for row in conn.execute(query.where(t.apps.c.owner_id == SYSTEM_USER))}


def set_mark(tx: Tx, version_id: str, mark: str) -> None:
    """The version was found in these bytes too: another spelling of the same description is not read again at each start."""
    tx.conn.execute(sa.update(t.versions).where(t.versions.c.id == version_id).values(code_version=mark))
