"""Signing in: by a password (of an account here, or of the directory), at a provider, or by a one-time link.

All end in a token.
"""

from enum import StrEnum
from functools import partial

from sirdar.domain.problems import Problem
from sirdar.services import audit, tokens
from sirdar.services.context import Services
from sirdar.services.outside.accounts import admit
from sirdar.services.outside.identity import GroupRules, Identity
from sirdar.services.passwords import is_outdated
from sirdar.services.people import USER_NAME
from sirdar.services.signin import token_hash
from sirdar.services.tokens import Issued, TokenRequest
from sirdar.store import people
from sirdar.store import tokens as store
from sirdar.store.engine import Tx
from sirdar.store.people import User


class Way(StrEnum):
    """LOCAL: an account of this server. LDAP: the directory."""

    LOCAL = "local"
    LDAP = "ldap"


async def sign_in(
    services: Services,
    name: str,
    password: str,
    wanted: TokenRequest,
    *,
    address: str,
    default_s: float | None = None,
    way: Way | None = None,
) -> Issued:
    """A token for whoever knows the password. ``way`` None: the account here if one has that name, else the directory.

    Raises ``wrong_credentials`` (the same, after the same time, whether there is such a user or not) and
    ``too_many_requests`` where the name or the address has failed too often.
    """
    tokens.check(wanted)
    if way is Way.LDAP and services.auth.ways.ldap is None:
        raise Problem("invalid_field", "This server knows no directory.", field="way", expected="local")
    guessed = name.strip().casefold()  # a directory takes Anna for anna
    services.auth.throttle.enter(guessed, address)
    lifetime_s = default_s or services.settings.token_s
    try:
        user = await _named(services, name) if way is not Way.LDAP else None
        better = await _check_local(services, user, password) if way is not Way.LDAP else None
        if user is None:
            user = await _from_directory(services, name, password, way)
    except Problem as problem:
        if problem.code != "wrong_credentials":
            services.auth.throttle.undone(guessed, address)
        raise
    services.auth.throttle.succeeded(guessed, address)
    by = "password" if user.provider is None else "ldap"
    return await services.store.write(
        partial(_signed_in, user=user, wanted=wanted, default_s=lifetime_s, better=better, address=address, by=by)
    )


async def _named(services: Services, name: str) -> User | None:
    """The local account of that name."""
    if not USER_NAME.fullmatch(name):
        return None
    user = await services.store.read(lambda conn: people.user_by_name(conn, name))
    return user if user is not None and user.provider is None else None


async def _check_local(services: Services, user: User | None, password: str) -> str | None:
    """Raises ``wrong_credentials`` where the user is not to be let in; a better hash where theirs is outdated.

    Without a user it takes as long, and raises nothing: the directory may know them.
    """
    hashed = user.password_hash if user else None
    right = await services.auth.passwords.verify(hashed, password)
    if user is None:
        return None
    if not right or user.disabled_at is not None:
        raise _wrong()
    return await services.auth.passwords.hash(password) if hashed and is_outdated(hashed) else None


async def _from_directory(services: Services, name: str, password: str, way: Way | None) -> User:
    directory = services.auth.ways.ldap
    identity = await directory.identify(name, password) if directory and way is not Way.LOCAL else None
    if directory is None or identity is None:
        raise _wrong()
    return await admitted(services, identity, directory.rules)


def _wrong() -> Problem:
    return Problem("wrong_credentials", "The user name or the password is wrong.", hint="Check both, and Caps Lock.")


def _signed_in(
    tx: Tx, *, user: User, wanted: TokenRequest, default_s: float, better: str | None, address: str, by: str
) -> Issued:
    if better is not None:
        people.update_user(tx, user.id, password_hash=better)
    issued = tokens.issue(tx, user.id, wanted, default_s=default_s)
    audit.record(tx, user.name, "user.sign_in", f"user:{user.name}", label=wanted.label, address=address, by=by)
    return issued


# ---------------------------------------------------------------- from outside


async def admitted(services: Services, identity: Identity, rules: GroupRules) -> User:
    """The account of somebody who was vouched for. Raises ``forbidden`` where they may not come in."""
    user = await services.store.write(partial(admit, identity=identity, rules=rules))
    if user is None:
        services.auth.forget()  # what they hold here stops
        raise Problem(
            "forbidden",
            "You are known, but in none of the groups that may use this server.",
            hint="Ask its administrator which group that is.",
        )
    services.auth.forget(user_id=user.id)
    if user.disabled_at is not None:
        raise Problem("forbidden", f"User {user.name} is disabled.", hint="Ask the server's administrator.")
    return user


async def sign_in_identity(services: Services, identity: Identity, rules: GroupRules, *, address: str) -> Issued:
    """A browser's session for somebody whom a provider vouched for."""
    user = await admitted(services, identity, rules)
    wanted = TokenRequest("Browser", services.settings.session_s)
    return await services.store.write(
        partial(_signed_in, user=user, wanted=wanted, default_s=0.0, better=None, address=address, by="oidc")
    )


# ---------------------------------------------------------------- one-time links


async def link_works(services: Services, code: str) -> bool:
    """Whether the link could still be used. Does not use it up: mail programs look at links too."""
    now = services.store.clock()
    return await services.store.read(lambda conn: store.link_works(conn, token_hash(code), now))


async def sign_in_by_link(services: Services, code: str, *, address: str) -> Issued:
    """A token for whoever holds the link; the link is used up. Raises ``gone`` where it was, or has expired."""
    return await services.store.write(
        partial(_use_link, code=code, address=address, lifetime_s=services.settings.session_s)
    )


def _use_link(tx: Tx, *, code: str, address: str, lifetime_s: float) -> Issued:
    holder = store.take_link(tx, token_hash(code))
    if holder is None or holder.user.disabled_at is not None:
        raise Problem(
            "gone",
            "This sign-in link was used, or has expired.",
            hint="Ask for a new one: sirdar user login-link NAME, or an administrator.",
        )
    issued = tokens.issue(tx, holder.user.id, TokenRequest("Browser"), default_s=lifetime_s)
    name = holder.user.name
    audit.record(tx, name, "user.sign_in", f"user:{name}", label="Browser", address=address, by="link")
    return issued
