"""The audit log as administrators read it."""

from sirdar.domain.people import Caller
from sirdar.services import access
from sirdar.services.context import Services
from sirdar.store import audit
from sirdar.store.audit import AuditFilter, Entry

# Kinds of things that the log tells of: what stands before the dot of an action. A test holds it against the code.
NOUNS = ("app", "group", "job", "resource", "token", "user")


async def entries(
    services: Services, caller: Caller, wanted: AuditFilter, *, limit: int, before: int | None = None
) -> list[Entry]:
    """The log from its newest line back. Raises ``forbidden``."""
    access.require_admin(caller)
    return await services.store.read(lambda conn: audit.newest(conn, wanted, limit=limit, before=before))
