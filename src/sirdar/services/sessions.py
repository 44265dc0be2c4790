"""Signing in: by a password, or by a one-time link. Both end in a token."""

from functools import partial

from sirdar.domain.problems import Problem
from sirdar.services import audit, tokens
from sirdar.services.context import Services
from sirdar.services.passwords import is_outdated
from sirdar.services.people import USER_NAME
from sirdar.services.signin import token_hash
from sirdar.services.tokens import Issued, TokenRequest
from sirdar.store import people
from sirdar.store import tokens as store
from sirdar.store.engine import Tx
from sirdar.store.people import User


async def sign_in(
    services: Services, name: str, password: str, wanted: TokenRequest, *, address: str, default_s: float | None = None
) -> Issued:
    """A token for whoever knows the password.

    Raises ``wrong_credentials`` (the same, after the same time, whether there is such a user or not) and
    ``too_many_requests`` where the name or the address has failed too often.
    """
    tokens.check(wanted)
    auth = services.auth
    auth.throttle.enter(name, address)
    user = None
    if USER_NAME.fullmatch(name):
        user = await services.store.read(lambda conn: people.user_by_name(conn, name))
    hashed = user.password_hash if user else None
    if not await auth.passwords.verify(hashed, password) or user is None or user.disabled_at is not None:
        raise Problem("wrong_credentials", "The user name or the password is wrong.", hint="Check both, and Caps Lock.")
    auth.throttle.succeeded(name, address)
    better = await auth.passwords.hash(password) if hashed and is_outdated(hashed) else None
    lifetime_s = default_s or services.settings.token_s
    return await services.store.write(
        partial(_signed_in, user=user, wanted=wanted, default_s=lifetime_s, better=better, address=address)
    )


def _signed_in(
    tx: Tx, *, user: User, wanted: TokenRequest, default_s: float, better: str | None, address: str
) -> Issued:
    if better is not None:
        people.update_user(tx, user.id, password_hash=better)
    issued = tokens.issue(tx, user.id, wanted, default_s=default_s)
    audit.record(tx, user.name, "user.sign_in", f"user:{user.name}", label=wanted.label, address=address, by="password")
    return issued


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
