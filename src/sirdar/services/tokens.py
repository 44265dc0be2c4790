"""Tokens: made with a label, a lifetime and scopes, shown once, kept as hashes, revoked at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from sirdar.domain.names import is_text
from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.services import access, audit
from sirdar.services.context import Services
from sirdar.services.signin import APP_WORD, new_token, token_hash
from sirdar.store import access as facts
from sirdar.store import tokens as store
from sirdar.store.engine import Tx
from sirdar.store.ids import new_id
from sirdar.store.people import Conn
from sirdar.store.tokens import Token

LONGEST_LABEL = 200
LONGEST_LIFETIME_S = 10 * 366 * 86400.0


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What somebody asks for. ``lifetime_s`` None: the server's setting. ``apps``: ids; empty: any application."""

    label: str
    lifetime_s: float | None = None
    scopes: Collection[Scope] = (Scope.ALL,)
    apps: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token, and its text: nobody can read that again."""

    text: str
    token: Token


def issue(tx: Tx, user_id: str, wanted: TokenRequest, *, default_s: float) -> Issued:
    """Make a token in this transaction, without asking who wants it: for whoever has just proved it, and for start-up."""
    check(wanted)
    text = new_token()
    words = [str(scope) for scope in wanted.scopes] + [APP_WORD + app_id for app_id in wanted.apps]
    token = Token(
        id=new_id(),
        user_id=user_id,  # type: ignore[arg-type]
        label=wanted.label,
        token_hash=token_hash(text),
        scopes=store.scope_words(words),
        created_at=tx.now,
        expires_at=tx.now + (default_s if wanted.lifetime_s is None else wanted.lifetime_s),
        last_used_at=None,
        revoked_at=None,
    )
    store.insert_token(tx, token)
    return Issued(text, token)


def check(wanted: TokenRequest) -> None:
    """Raises Problem ``invalid_field`` where the label, lifetime or scopes cannot be."""
    label = wanted.label
    if len(label) > LONGEST_LABEL or not label.strip() or not label.isprintable() or not is_text(label):
        raise Problem(
            "invalid_field",
            "The label is empty, too long or holds control characters.",
            field="label",
            expected=f"one line of up to {LONGEST_LABEL} characters: what the token is for",
        )
    if wanted.lifetime_s is not None and not 0 < wanted.lifetime_s <= LONGEST_LIFETIME_S:
        raise Problem(
            "invalid_field",
            f"A token cannot live for {wanted.lifetime_s} s.",
            field="lifetime",
            expected=f"seconds, more than 0 and at most {LONGEST_LIFETIME_S:.0f} (ten years)",
        )
    if not wanted.scopes:
        raise Problem("invalid_field", "A token needs a scope.", field="scopes", expected=", ".join(Scope))


async def create(services: Services, caller: Caller, wanted: TokenRequest) -> Issued:
    """A token of the caller's own, with scopes and applications of their choice."""
    access.require_account(caller)
    return await services.store.write(
        partial(_create, caller=caller, wanted=wanted, default_s=services.settings.token_s)
    )


def _create(tx: Tx, *, caller: Caller, wanted: TokenRequest, default_s: float) -> Issued:
    for app_id in wanted.apps:
        access.seen_app(tx.conn, caller, app_id)
    issued = issue(tx, caller.user_id, wanted, default_s=default_s)
    audit.record(tx, caller, "token.create", f"token:{issued.token.id}", label=wanted.label, scopes=issued.token.scopes)
    return issued


async def listed(services: Services, caller: Caller, *, limit: int, after: str = "") -> list[Token]:
    """The caller's tokens that still work."""
    access.require_account(caller)
    now = services.store.clock()
    return await services.store.read(
        lambda conn: store.list_tokens(conn, caller.user_id, now=now, limit=limit, after=after)
    )


async def newest(services: Services, caller: Caller, *, limit: int, before: str = "") -> list[Token]:
    """The caller's tokens that still work, the newest first: those made before the one with the id ``before``."""
    access.require_account(caller)
    now = services.store.clock()

    def read(conn: Conn) -> list[Token]:
        last = store.token_by_id(conn, before) if facts.is_id(before) else None
        mine = last if last is not None and last.user_id == caller.user_id else None
        return store.newest_tokens(conn, caller.user_id, now=now, limit=limit, before=mine)

    return await services.store.read(read)


async def find(services: Services, caller: Caller, token_id: str) -> Token:
    """One of the caller's tokens that was not revoked. Raises ``not_found``."""
    access.require_account(caller)
    return await services.store.read(lambda conn: _own(conn, caller, token_id))


async def revoke(services: Services, caller: Caller, token_id: str) -> None:
    """Revoke one of the caller's tokens. Raises ``not_found`` where they have no such token."""
    access.require_account(caller)
    await services.store.write(partial(_revoke, caller=caller, token_id=token_id))
    services.auth.forget(token_id=token_id)


def _revoke(tx: Tx, *, caller: Caller, token_id: str) -> None:
    token = _own(tx.conn, caller, token_id)
    store.revoke_token(tx, token_id)
    audit.record(tx, caller, "token.revoke", f"token:{token_id}", label=token.label)


def _own(conn: Conn, caller: Caller, token_id: str) -> Token:
    token = store.token_by_id(conn, token_id) if facts.is_id(token_id) else None
    if token is None or token.user_id != caller.user_id or token.revoked_at is not None:
        raise Problem("not_found", f"You have no token {token_id[:80]}.", hint="GET /api/tokens lists yours.")
    return token


async def in_use(services: Services, caller: Caller) -> Token:
    """The token that the caller came with. Raises ``forbidden`` for a task's token, which is no row."""
    token_id = _own_id(caller)
    token = await services.store.read(lambda conn: store.token_by_id(conn, token_id))
    if token is None:
        raise Problem("token_expired", "The token was revoked.")
    return token


async def revoke_in_use(services: Services, caller: Caller) -> None:
    """Sign out: any token may revoke itself."""
    token_id = _own_id(caller)
    await services.store.write(partial(_sign_out, caller=caller, token_id=token_id))
    services.auth.forget(token_id=token_id)


def _sign_out(tx: Tx, *, caller: Caller, token_id: str) -> None:
    store.revoke_token(tx, token_id)
    audit.record(tx, caller, "token.revoke", f"token:{token_id}")


def _own_id(caller: Caller) -> str:
    if caller.token_id is None:
        raise Problem("forbidden", "A task's token ends with its task; it is not revoked.")
    return caller.token_id


def scope_list(token: Token) -> Sequence[str]:
    return [word for word in token.scopes.split() if not word.startswith(APP_WORD)]


def app_list(token: Token) -> Sequence[str]:
    """Ids of the only applications it is for; empty: no such limit."""
    return [word.removeprefix(APP_WORD) for word in token.scopes.split() if word.startswith(APP_WORD)]


def works(conn: Conn, text: str, now: float) -> bool:
    """True if this token of a user is known here, not revoked, and not too old."""
    found = store.token_by_hash(conn, token_hash(text))
    token = found[0] if found else None
    return token is not None and token.revoked_at is None and (token.expires_at is None or token.expires_at > now)
