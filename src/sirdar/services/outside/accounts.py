"""The account of somebody from outside: made at the first sign-in, its groups and rights kept in step at each."""

from sirdar.domain.ids import UserId
from sirdar.domain.problems import Problem
from sirdar.services import audit, people
from sirdar.services.outside.identity import RESERVED, GroupRules, Identity, derive_name
from sirdar.store import people as store
from sirdar.store.engine import Tx
from sirdar.store.ids import new_id
from sirdar.store.people import User

NAMESAKES_MAX = 1000


def admit(tx: Tx, identity: Identity, rules: GroupRules) -> User | None:
    """The account of an identity that was just proved, brought up to date.

    None where no outside group lets them in: then what they still hold here stops as well, so commit before refusing.
    """
    user = store.user_by_origin(tx.conn, identity.provider, identity.subject)
    if not rules.admits(identity.groups):
        if user is not None:
            store.update_user(tx, user.id, confirmed_at=0.0)
        audit.record(tx, None, "user.refuse", f"user:{user.name if user else derive_name(identity)}", by="group")
        return None
    if user is None:
        user = _create(tx, identity)
    store.update_user(tx, user.id, confirmed_at=tx.now)
    _keep_groups(tx, user, rules.inside(identity.groups))
    _keep_admin(tx, user, rules.makes_admin(identity.groups))
    found = store.user_by_id(tx.conn, user.id)
    assert found is not None
    return found


def _create(tx: Tx, identity: Identity) -> User:
    user = User(
        id=UserId(new_id()),
        name=_free_name(tx, derive_name(identity)),
        password_hash=None,
        email=_plausible(identity.email),
        is_admin=False,
        can_publish=False,
        quota_jobs=None,
        quota_bytes=None,
        retention_s=None,
        cpu_s=0.0,
        jobs_ended=0,
        notify_json=None,
        created_at=tx.now,
        disabled_at=None,
        provider=identity.provider,
        subject=identity.subject,
        confirmed_at=tx.now,
    )
    store.insert_user(tx, user)
    audit.record(tx, None, "user.create", f"user:{user.name}", provider=identity.provider, subject=identity.subject)
    return user


def _free_name(tx: Tx, name: str) -> str:
    """The name, or with a number where somebody has it: an account that is there is never taken over."""
    for number in range(1, NAMESAKES_MAX):
        wanted = name if number == 1 else f"{name}-{number}"
        if wanted not in RESERVED and store.user_by_name(tx.conn, wanted) is None:
            return wanted
    raise Problem("conflict", f"Too many users are called {name}.", hint="Tell an administrator.")


def _plausible(email: str | None) -> str | None:
    try:
        people.check_email(email)
    except Problem:
        return None
    return email


def _keep_groups(tx: Tx, user: User, wanted: frozenset[str]) -> None:
    for group in sorted(wanted):
        if store.group_by_name(tx.conn, group) is None:
            store.insert_group(tx, group)
            audit.record(tx, None, "group.create", f"group:{group}")
    added, removed = store.set_outside_groups(tx, user.id, wanted)
    for group in added:
        audit.record(tx, None, "group.add_member", f"group:{group}", user=user.name)
    for group in removed:
        audit.record(tx, None, "group.remove_member", f"group:{group}", user=user.name)


def _keep_admin(tx: Tx, user: User, wanted: bool | None) -> None:
    if wanted is None or wanted == user.is_admin:
        return
    if not wanted and people.is_last_admin(tx, user):
        return  # somebody must be able to administer; the next sign-in tries again
    store.update_user(tx, user.id, is_admin=wanted)
    audit.record(tx, None, "user.change", f"user:{user.name}", is_admin=wanted)
