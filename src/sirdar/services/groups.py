"""Groups: names for several users, to share things with. Administrators keep them; members see their own."""

from functools import partial

from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.services import access, audit
from sirdar.services.context import Services
from sirdar.services.people import RESERVED, USER_NAME, check_name, named
from sirdar.store import people as store
from sirdar.store import people_lists as lists
from sirdar.store.engine import Tx
from sirdar.store.people import Conn, Group
from sirdar.store.people_lists import GroupSize


async def list_groups(services: Services, caller: Caller, *, limit: int, after: str = "") -> list[Group]:
    """All groups for administrators, their own for others."""
    access.require_scope(caller, Scope.READ)
    after = after if USER_NAME.fullmatch(after) else ""
    only = None if caller.administers else caller.groups
    return await services.store.read(lambda conn: store.list_groups(conn, limit=limit, after=after, only=only))


async def show_group(services: Services, caller: Caller, name: str) -> Group:
    access.require_scope(caller, Scope.READ)
    if not caller.administers and name not in caller.groups:
        raise _missing(name)
    return await services.store.read(lambda conn: _named(conn, name))


async def create_group(services: Services, caller: Caller, name: str) -> Group:
    access.require_admin(caller)
    check_name(name, USER_NAME, reserved=RESERVED)
    return await services.store.write(partial(_create, caller=caller, name=name))


def _create(tx: Tx, *, caller: Caller, name: str) -> Group:
    if store.group_by_name(tx.conn, name):
        raise Problem("already_exists", f"There is a group {name} already.", field="name")
    store.insert_group(tx, name)
    audit.record(tx, caller, "group.create", f"group:{name}")
    return Group(name, tx.now, ())


async def remove_group(services: Services, caller: Caller, name: str) -> None:
    """Remove the group and every share that names it."""
    access.require_admin(caller)
    await services.store.write(partial(_remove, caller=caller, name=name))
    services.auth.forget()


def _remove(tx: Tx, *, caller: Caller, name: str) -> None:
    _named(tx.conn, name)
    store.delete_group(tx, name)
    audit.record(tx, caller, "group.delete", f"group:{name}")


async def set_member(services: Services, caller: Caller, group: str, user: str, *, member: bool) -> Group:
    """Put a user into a group, or take them out. Doing it twice changes nothing."""
    access.require_admin(caller)
    after = await services.store.write(partial(_set_member, caller=caller, group=group, name=user, member=member))
    services.auth.forget()
    return after


def _set_member(tx: Tx, *, caller: Caller, group: str, name: str, member: bool) -> Group:
    _named(tx.conn, group)
    user = named(tx.conn, name)
    change = store.add_member if member else store.remove_member
    if change(tx, group, user.id):
        action = "group.add_member" if member else "group.remove_member"
        audit.record(tx, caller, action, f"group:{group}", user=name)
    return _named(tx.conn, group)


def _named(conn: Conn, name: str) -> Group:
    group = store.group_by_name(conn, name) if USER_NAME.fullmatch(name) else None
    if group is None:
        raise _missing(name)
    return group


def sized(conn: Conn, name: str) -> GroupSize:
    """The group of that name, without its members. Raises ``not_found``."""
    found = lists.group_size(conn, name) if USER_NAME.fullmatch(name) else None
    if found is None:
        raise _missing(name)
    return found


def _missing(name: str) -> Problem:
    return Problem("not_found", f"There is no group {name[:80]}.", hint="sirdar group list shows yours.")
