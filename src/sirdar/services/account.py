"""What users do about themselves: see who they are and what they use, change their password and address."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.services import access, audit, passwords, quotas
from sirdar.services.context import Services
from sirdar.services.notify.schedule import Delivery
from sirdar.services.notify.targets import checked_targets
from sirdar.services.notify.trial import send_trial
from sirdar.services.people import check_email, refuse_outside
from sirdar.services.quotas import Quotas, Usage
from sirdar.store import people as store
from sirdar.store import tokens
from sirdar.store.engine import Tx
from sirdar.store.people import User

MOST_TARGETS = 20


@dataclass(frozen=True, slots=True)
class Account:
    user: User
    groups: frozenset[str]
    quotas: Quotas
    usage: Usage
    notify: Sequence[Mapping[str, str]]  # where notices of ended jobs go by default; without secrets


async def show(services: Services, caller: Caller) -> Account:
    """The caller's own account, with what it uses."""
    access.require_scope(caller, Scope.READ)
    user = await services.store.read(lambda conn: store.user_by_id(conn, caller.user_id))
    if user is None:
        raise Problem("token_expired", "The user of this token was removed.")
    limits = quotas.limits_of(user, services.settings)
    usage = await services.store.read(lambda conn: quotas.usage_of(conn, user, now=services.store.clock()))
    targets = [
        {name: text for name, text in target.items() if name != "secret"}
        for target in json.loads(user.notify_json or "[]")
    ]
    return Account(user, caller.groups, limits, usage, targets)


async def change_email(services: Services, caller: Caller, email: str | None) -> None:
    """Set the e-mail address, or remove it (None)."""
    access.require_account(caller)
    check_email(email)
    await services.store.write(partial(_change, caller=caller, values={"email": email}))


async def change_notify(services: Services, caller: Caller, targets: Sequence[Mapping[str, str]]) -> None:
    """Set where notices of ended jobs go by default: targets as in a submission. Their secrets are kept sealed."""
    access.require_account(caller)
    kept = checked_targets(services, targets)
    await services.store.write(partial(_change, caller=caller, values={"notify_json": json.dumps(kept)}))
    services.auth.forget(user_id=caller.user_id)


async def add_notify(services: Services, caller: Caller, target: Mapping[str, str]) -> None:
    """Tell of ended jobs there, too; a target of the same address is replaced. Raises as ``change_notify`` does."""
    access.require_account(caller)
    wanted = checked_targets(services, [target])[0]
    await services.store.write(partial(_add_notify, caller=caller, wanted=wanted))
    services.auth.forget(user_id=caller.user_id)


def _add_notify(tx: Tx, *, caller: Caller, wanted: dict[str, Any]) -> None:
    kept = [target for target in _targets(tx.conn, caller) if address_of(target) != address_of(wanted)]
    if len(kept) >= MOST_TARGETS:
        raise Problem("invalid_field", f"There are {MOST_TARGETS} already, and no more.", field="notify[0]")
    _change(tx, caller=caller, values={"notify_json": json.dumps([*kept, wanted])})


async def remove_notify(services: Services, caller: Caller, address: str) -> None:
    """Tell nobody at that address by default. Harmless where there is none."""
    access.require_account(caller)
    await services.store.write(partial(_remove_notify, caller=caller, address=address))
    services.auth.forget(user_id=caller.user_id)


def _remove_notify(tx: Tx, *, caller: Caller, address: str) -> None:
    known = _targets(tx.conn, caller)
    kept = [target for target in known if address_of(target) != address]
    if kept != known:
        _change(tx, caller=caller, values={"notify_json": json.dumps(kept)})


async def try_notify(services: Services, caller: Caller, address: str) -> Delivery:
    """Send a notice on trial to one of the caller's targets. Raises ``not_found``, or ``too_many_requests``."""
    access.require_account(caller)
    known = await services.store.read(lambda conn: _targets(conn, caller))
    target = next((target for target in known if address_of(target) == address), None)
    if target is None:
        raise Problem("not_found", f"Nobody is told at {address[:80]}.", hint="Add the address first.")
    return await send_trial(services, caller, target)


def address_of(target: Mapping[str, Any]) -> str:
    """An e-mail address, or the URL of a webhook."""
    return str(target.get("email") or target.get("webhook", ""))


def _targets(conn: store.Conn, caller: Caller) -> list[dict[str, Any]]:
    """As they are stored, with sealed secrets."""
    user = store.user_by_id(conn, caller.user_id)
    found: list[dict[str, Any]] = json.loads((user.notify_json if user else None) or "[]")
    return found


def _change(tx: Tx, *, caller: Caller, values: dict[str, Any]) -> None:
    store.update_user(tx, caller.user_id, **values)
    audit.record(tx, caller, "user.change", f"user:{caller.name}", changed=sorted(values))


async def change_password(services: Services, caller: Caller, *, old: str | None, new: str, address: str = "") -> None:
    """Set a new password and revoke all other tokens of the user's. ``old`` is needed where there is a password.

    Guessing the old one is throttled like signing in.
    """
    access.require_account(caller)
    passwords.check_new(new, field="password.new")
    auth = services.auth
    user = await services.store.read(lambda conn: store.user_by_id(conn, caller.user_id))
    if user is not None:
        refuse_outside(user)
    if user is not None and user.password_hash is not None:
        auth.throttle.enter(user.name, address)
        if not await auth.passwords.verify(user.password_hash, old or ""):
            raise Problem("wrong_credentials", "The old password is wrong.", field="password.old")
        auth.throttle.succeeded(user.name, address)
    hashed = await auth.passwords.hash(new)
    await services.store.write(partial(_set_password, caller=caller, hashed=hashed))
    auth.forget(user_id=caller.user_id)


def _set_password(tx: Tx, *, caller: Caller, hashed: str) -> None:
    store.update_user(tx, caller.user_id, password_hash=hashed)
    tokens.revoke_all(tx, caller.user_id, but=caller.token_id)
    audit.record(tx, caller, "user.change_password", f"user:{caller.name}")
