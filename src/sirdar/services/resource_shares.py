"""Whom a resource is shared with: its owner says who else may run jobs there."""

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import access, audit
from sirdar.services.apps import check_subject
from sirdar.services.context import Services
from sirdar.services.resources import own
from sirdar.store import resource_use
from sirdar.store.app_rights import subject_exists
from sirdar.store.engine import Tx
from sirdar.store.people import Conn


async def list_shares(services: Services, caller: Caller, ref: str) -> list[str]:
    """Subjects (``user:NAME``, ``group:NAME``, ``everyone``); for its owner and administrators. Raises Problem."""

    def read(conn: Conn) -> list[str]:
        return resource_use.list_shares(conn, own(conn, caller, ref).id)

    return await services.store.read(read)


async def put_share(services: Services, caller: Caller, ref: str, subject: str) -> None:
    """Let a user, the users of a group or everyone run jobs there. Raises Problem.

    Jobs that choose no resource go to any that is shared with their owner. So that nobody draws everyone's work to a machine of
    their own, sharing with everyone is for administrators.
    """
    subject = check_subject(subject)

    def share(tx: Tx) -> None:
        row = own(tx.conn, caller, ref)
        if subject == resource_use.EVERYONE:
            access.require_admin(caller)
        if not subject_exists(tx.conn, subject):
            raise Problem("not_found", f"There is no {subject.replace(':', ' ')}.", field="subject")
        resource_use.put_share(tx, row.id, subject)
        audit.record(tx, caller, "resource.share", f"resource:{row.name}", subject=subject)
        tx.hints.queue = True

    await services.store.write(share)


async def remove_share(services: Services, caller: Caller, ref: str, subject: str) -> None:
    """What runs there ends there; nothing new comes. Taking back what was not given is no error. Raises Problem."""
    subject = check_subject(subject)

    def unshare(tx: Tx) -> None:
        row = own(tx.conn, caller, ref)
        if resource_use.remove_share(tx, row.id, subject):
            audit.record(tx, caller, "resource.unshare", f"resource:{row.name}", subject=subject)

    await services.store.write(unshare)
