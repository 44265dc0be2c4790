"""Users: made, changed and removed by administrators; and the one-time links that sign them in."""

import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sirdar.domain.ids import UserId
from sirdar.domain.names import is_text
from sirdar.domain.people import SYSTEM_USER, Caller
from sirdar.domain.problems import Problem
from sirdar.services import access, audit, passwords, quotas
from sirdar.services.context import Services
from sirdar.services.outside import identity
from sirdar.services.settings import Settings
from sirdar.services.signin import token_hash
from sirdar.store import people as store
from sirdar.store import tokens
from sirdar.store.engine import Tx
from sirdar.store.ids import new_id
from sirdar.store.people import User

ADMIN = "admin"
USER_NAME = identity.NAME
LARGEST_QUOTA = 2**62
RESERVED = identity.RESERVED
_EMAIL = re.compile(r"[^\s@<>\x00-\x1f\x7f]+@[^\s@<>\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class NewUser:
    """Quotas None: the server's setting. Without a password the user signs in by a one-time link, and sets one then."""

    name: str
    password: str | None = None
    email: str | None = None
    is_admin: bool = False
    can_publish: bool = False
    quota_jobs: int | None = None
    quota_bytes: int | None = None
    retention_s: float | None = None


# ---------------------------------------------------------------- the first administrator


def ensure_admin(tx: Tx, password: str | None = None) -> bool:
    """Make the user ``admin`` where there is no user at all. True where it was made."""
    if store.list_users(tx.conn, limit=1):
        return False
    if password is not None:
        passwords.check_new(password)
    hashed = passwords.hash_now(password) if password is not None else None
    wanted = NewUser(ADMIN, is_admin=True, can_publish=True)
    _insert(tx, wanted, hashed)
    audit.record(tx, None, "user.create", f"user:{ADMIN}", is_admin=True)
    return True


# ---------------------------------------------------------------- users


async def create_user(services: Services, caller: Caller, wanted: NewUser) -> User:
    access.require_admin(caller)
    check_name(wanted.name, USER_NAME, reserved=RESERVED)
    check_email(wanted.email)
    _check_quotas({"quota_jobs": wanted.quota_jobs, "quota_bytes": wanted.quota_bytes})
    hashed = None
    if wanted.password is not None:
        passwords.check_new(wanted.password)
        hashed = await services.auth.passwords.hash(wanted.password)
    return await services.store.write(partial(_create, caller=caller, wanted=wanted, hashed=hashed))


def _create(tx: Tx, *, caller: Caller, wanted: NewUser, hashed: str | None) -> User:
    if store.user_by_name(tx.conn, wanted.name):
        raise Problem("already_exists", f"There is a user {wanted.name} already.", field="name")
    user = _insert(tx, wanted, hashed)
    audit.record(tx, caller, "user.create", f"user:{user.name}", is_admin=user.is_admin, can_publish=user.can_publish)
    return user


def _insert(tx: Tx, wanted: NewUser, hashed: str | None) -> User:
    user = User(
        id=UserId(new_id()),
        name=wanted.name,
        password_hash=hashed,
        email=wanted.email,
        is_admin=wanted.is_admin,
        can_publish=wanted.can_publish,
        quota_jobs=wanted.quota_jobs,
        quota_bytes=wanted.quota_bytes,
        retention_s=wanted.retention_s,
        cpu_s=0.0,
        jobs_ended=0,
        notify_json=None,
        created_at=tx.now,
        disabled_at=None,
    )
    store.insert_user(tx, user)
    return user


async def show_user(services: Services, caller: Caller, name: str) -> User:
    access.require_admin(caller)
    return await services.store.read(lambda conn: named(conn, name))


async def list_users(services: Services, caller: Caller, *, limit: int, after: str = "") -> list[User]:
    access.require_admin(caller)
    after = after if USER_NAME.fullmatch(after) else ""
    return await services.store.read(lambda conn: store.list_users(conn, limit=limit, after=after))


async def change_user(services: Services, caller: Caller, name: str, changes: Mapping[str, Any]) -> User:
    """Change what is named of: ``password``, ``email``, ``is_admin``, ``can_publish``, ``disabled``, ``quota_jobs``,
    ``quota_bytes``, ``retention_s``. A new password revokes the user's tokens."""
    access.require_admin(caller)
    values = dict(changes)
    check_email(values.get("email"))
    _check_quotas(values)
    password = values.pop("password", None)
    if password is not None:
        passwords.check_new(password)
        values["password_hash"] = await services.auth.passwords.hash(password)
    user = await services.store.write(partial(_change, caller=caller, name=name, values=values))
    services.auth.forget(user_id=user.id)
    quotas.forget(user.id)
    return user


def _change(tx: Tx, *, caller: Caller, name: str, values: dict[str, Any]) -> User:
    user = named(tx.conn, name)
    values = dict(values)
    if "disabled" in values:
        disabled = values.pop("disabled")
        values["disabled_at"] = (user.disabled_at or tx.now) if disabled else None
    if "password_hash" in values:
        refuse_outside(user)
    after = replace(user, **values)
    if user.is_admin and not user.disabled_at and (not after.is_admin or after.disabled_at):
        _keep_an_admin(tx)
    store.update_user(tx, user.id, **values)
    if "password_hash" in values:
        tokens.revoke_all(tx, user.id)
    shown = {key: value for key, value in values.items() if key != "password_hash"}
    shown |= {"new_password": True} if "password_hash" in values else {}
    audit.record(tx, caller, "user.change", f"user:{name}", **shown)
    return after


async def remove_user(services: Services, caller: Caller, name: str) -> None:
    """Remove a user who owns nothing. Raises ``conflict`` otherwise: their jobs and applications may be in use."""
    access.require_admin(caller)
    user = await services.store.write(partial(_remove, caller=caller, name=name))
    services.auth.forget(user_id=user.id)


def _remove(tx: Tx, *, caller: Caller, name: str) -> User:
    user = named(tx.conn, name)
    if user.is_admin and not user.disabled_at:
        _keep_an_admin(tx)
    if owned := store.owns(tx.conn, user.id):
        words = ", ".join(f"{count} {kind}" for kind, count in owned.items())
        raise Problem(
            "conflict", f"User {name} owns {words}.", hint="Disable the user instead, or delete what they own first."
        )
    store.delete_user(tx, user)
    audit.record(tx, caller, "user.delete", f"user:{name}")
    return user


def named(conn: store.Conn, name: str) -> User:
    """The user of that name. Raises ``not_found``."""
    user = store.user_by_name(conn, name) if USER_NAME.fullmatch(name) else None
    if user is None or user.id == SYSTEM_USER:
        raise Problem("not_found", f"There is no user {name[:80]}.", hint="sirdar user list shows who there is.")
    return user


def make_login_link(tx: Tx, name: str, settings: Settings, *, caller: Caller | None = None) -> str:
    """Address of a page that signs that user in, once, within ``login_link_s``. ``caller`` None: the server itself."""
    user = named(tx.conn, name)
    refuse_outside(user)
    if user.disabled_at is not None:
        raise Problem("conflict", f"User {name} is disabled.", hint="Enable the user first.")
    code = secrets.token_urlsafe(32)
    tokens.insert_link(tx, token_hash(code), user.id, tx.now + settings.login_link_s)
    audit.record(tx, caller, "user.login_link", f"user:{name}")
    return f"{settings.url}/login/{code}"


async def request_login_link(services: Services, caller: Caller, name: str) -> str:
    """The same, asked for by an administrator, or by a user for another browser of their own."""
    if name != caller.name:
        access.require_admin(caller)
    access.require_account(caller)
    return await services.store.write(partial(make_login_link, name=name, settings=services.settings, caller=caller))


# ---------------------------------------------------------------- rules


def check_name(name: str, pattern: re.Pattern[str], *, reserved: Collection[str] = ()) -> None:
    """Raises Problem ``invalid_field`` where it cannot be the name of a user or group."""
    if name in reserved:
        raise Problem("invalid_field", f"The name {name} is reserved.", field="name", expected="another name")
    if not pattern.fullmatch(name):
        expected = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit"
        raise Problem("invalid_field", "The name cannot be that.", field="name", expected=expected)


def check_email(email: str | None) -> None:
    if email is not None and (len(email) > 254 or not is_text(email) or not _EMAIL.fullmatch(email)):
        raise Problem("invalid_field", "That is no e-mail address.", field="email", expected="name@example.org")


def refuse_outside(user: User) -> None:
    """Raises ``conflict`` for a user from outside: who is shut out there must have no other way in here."""
    if user.provider is not None:
        raise Problem(
            "conflict",
            f"User {user.name} comes from {user.provider} and has no other way to sign in.",
            hint="Sign in there. An administrator makes a local account with: sirdar user create NAME",
        )


def _check_quotas(values: Mapping[str, Any]) -> None:
    for name, field in (("quota_jobs", "quotas.jobsInFlight"), ("quota_bytes", "quotas.bytes")):
        value = values.get(name)
        if value is not None and not 0 <= value <= LARGEST_QUOTA:
            expected = f"0 to {LARGEST_QUOTA}, or null for the server's setting"
            raise Problem("invalid_field", f"A quota cannot be {value}.", field=field, expected=expected)


def is_last_admin(tx: Tx, user: User) -> bool:
    return user.is_admin and user.disabled_at is None and store.count_admins(tx.conn) <= 1


def _keep_an_admin(tx: Tx) -> None:
    """Somebody must be able to administer. Called while the administrator in question still counts."""
    if store.count_admins(tx.conn) <= 1:
        raise Problem("conflict", "This is the last administrator.", hint="Make another user an administrator first.")
