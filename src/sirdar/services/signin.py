"""Who calls: a token becomes a ``Caller``. The first thing that every request does, so what was seen lately is remembered."""

import asyncio
import hashlib
import secrets
import time
from dataclasses import dataclass
from functools import partial

import structlog

from sirdar.domain.ids import AttemptKey
from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.services import calls
from sirdar.services.keys import ATTEMPT_TOKEN_PREFIX, Keys
from sirdar.services.outside.ways import Ways
from sirdar.services.passwords import Passwords
from sirdar.services.settings import Settings
from sirdar.services.throttle import Throttle
from sirdar.store import tokens
from sirdar.store.engine import Store

TOKEN_PREFIX = "sirdar_"  # noqa: S105  (lets people and scanners see what a leaked string is)
REMEMBERED_S = 3.0  # a revocation by another process is seen within this
REMEMBERED_MAX = 4096
USE_NOTED_EVERY_S = 60.0
APP_WORD = "app:"
TASK_SCOPES = frozenset({Scope.READ, Scope.RUN})

log = structlog.get_logger(__name__)


def new_token() -> str:
    """A token of 256 bits of chance."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a token. A plain hash is enough for 256 random bits."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


@dataclass(slots=True)
class _Seen:
    """A caller that was looked up, until when (monotonic) that is trusted, and when a use is next written down."""

    caller: Caller
    until: float
    note_at: float


class Authenticator:
    """Callers by token. ``caller`` costs a few microseconds for a token seen within the last seconds.

    It also keeps what signing in needs in memory: the threads that hash, the record of failures, and what is known of the
    provider and the directory.
    """

    def __init__(self, store: Store, keys: Keys, settings: Settings) -> None:
        self._store = store
        self._keys = keys
        self._settings = settings
        self._seen: dict[bytes, _Seen] = {}
        self._changes = 0  # counts ``forget``: what was read before one is not remembered after it
        self._used: dict[str, float] = {}
        self._noting: asyncio.Task[None] | None = None
        self.passwords = Passwords()
        self.throttle = Throttle()
        self.ways = Ways.of(settings)

    async def caller(self, token: str) -> Caller:
        """Who the token stands for. Raises Problem ``unauthenticated`` or ``token_expired``."""
        key = hashlib.sha256(token.encode(errors="replace")).digest()
        seen = self._seen.get(key)
        now = time.monotonic()
        if seen is None or seen.until <= now:
            seen = await self._look_up(key, token)
        if seen.note_at <= now:
            self._note_use(seen, now)
        calls.made_by(user=seen.caller.name)
        return seen.caller

    async def again(self, caller: Caller) -> Caller:
        """The caller as they are by now, by the same token, read anew: for calls that last. Raises as ``caller`` does."""
        if caller.attempt is not None:
            return (await self._of_key(caller.attempt)).caller
        found = await self._store.read(lambda conn: tokens.token_with_holder(conn, str(caller.token_id)))
        return self._judged(found).caller

    def forget(self, *, user_id: str | None = None, token_id: str | None = None) -> None:
        """Look up anew at the next request: that user, that token, or everybody. Called after whatever changes rights."""
        self._changes += 1
        for key, seen in list(self._seen.items()):
            caller = seen.caller
            if (user_id or caller.user_id) == caller.user_id and (token_id or caller.token_id) == caller.token_id:
                del self._seen[key]

    async def _look_up(self, key: bytes, token: str) -> _Seen:
        changes = self._changes
        started = time.monotonic()
        if token.startswith(ATTEMPT_TOKEN_PREFIX):
            seen = await self._of_attempt(token)
        else:
            seen = await self._of_token(key.hex())
        seen.until = min(seen.until, started + REMEMBERED_S)
        if changes == self._changes:
            self._remember(key, seen)
        return seen

    def _remember(self, key: bytes, seen: _Seen) -> None:
        self._seen.pop(key, None)
        if len(self._seen) >= REMEMBERED_MAX:
            del self._seen[next(iter(self._seen))]  # the one looked up longest ago
        self._seen[key] = seen

    async def _of_token(self, hashed: str) -> _Seen:
        return self._judged(await self._store.read(lambda conn: tokens.token_by_hash(conn, hashed)))

    def _judged(self, found: tuple[tokens.Token, tokens.Holder] | None) -> _Seen:
        """Raises ``unauthenticated`` or ``token_expired`` where the token does not work now."""
        now = self._store.clock()
        if found is None:
            raise Problem(
                "unauthenticated", "The token is not one of this server's.", hint="Sign in again to get a token."
            )
        token, holder = found
        if token.revoked_at is not None or holder.user.disabled_at is not None:
            raise Problem("token_expired", "The token was revoked.", hint="Sign in again to get a token.")
        if token.expires_at is not None and token.expires_at <= now:
            raise Problem("token_expired", "The token has expired.", hint="Sign in again to get a token.")
        left_s = min(_left_s(token.expires_at, now), self._trusted_s(holder.user.confirmed_at, now))
        unnoted_s = USE_NOTED_EVERY_S if token.last_used_at is None else now - token.last_used_at
        moment = time.monotonic()
        return _Seen(_caller_of(token, holder), moment + left_s, moment + max(0.0, USE_NOTED_EVERY_S - unnoted_s))

    def _trusted_s(self, confirmed_at: float | None, now: float) -> float:
        """How long a user from outside still counts without signing in there anew. Raises ``token_expired``."""
        if confirmed_at is None:
            return float("inf")
        left_s = confirmed_at + self._settings.outside_s - now
        if left_s <= 0:
            hint = "Sign in anew, there: tokens that have not expired work again then."
            raise Problem("token_expired", "It is too long ago that you signed in where you come from.", hint=hint)
        return left_s

    async def _of_attempt(self, token: str) -> _Seen:
        key = self._keys.attempt_of_token(token) if token.isascii() else None
        if key is None:
            raise Problem("unauthenticated", "The token is not one of this server's.")
        return await self._of_key(key)

    async def _of_key(self, key: AttemptKey) -> _Seen:
        grace_s = self._settings.attempt_token_grace_s
        now = self._store.clock()
        holder = await self._store.read(lambda conn: tokens.attempt_holder(conn, key, now=now, grace_s=grace_s))
        if holder is None or holder.user.disabled_at is not None:
            raise Problem("token_expired", f"Task {key.text} has ended, and its token with it.")
        if holder.user.confirmed_at == 0.0:  # long tasks outlast a sign-in, but not that their user was shut out
            raise Problem("token_expired", f"The user of task {key.text} may not come in any more.")
        return _Seen(_caller_of_task(key, holder), float("inf"), float("inf"))

    # ------------------------------------------------------------ when it was last used

    def _note_use(self, seen: _Seen, now: float) -> None:
        """Have it written down in the background; the request does not wait for it."""
        seen.note_at = now + USE_NOTED_EVERY_S
        assert seen.caller.token_id is not None
        self._used[seen.caller.token_id] = self._store.clock()
        if self._noting is None or self._noting.done():
            self._noting = asyncio.get_running_loop().create_task(self._write_uses())

    async def _write_uses(self) -> None:
        while self._used:
            used, self._used = self._used, {}
            try:
                await self._store.write(partial(tokens.note_use, used_at=used))
            except Exception as error:  # a full disk, say: nobody may be kept out because a time was not written down
                log.warning("token_use_not_noted", error=str(error))


def _left_s(expires_at: float | None, now: float) -> float:
    return float("inf") if expires_at is None else expires_at - now


def _caller_of(token: tokens.Token, holder: tokens.Holder) -> Caller:
    words = token.scopes.split()
    apps = frozenset(word.removeprefix(APP_WORD) for word in words if word.startswith(APP_WORD))
    return Caller(
        user_id=holder.user.id,
        name=holder.user.name,
        groups=holder.groups,
        is_admin=holder.user.is_admin,
        can_publish=holder.user.can_publish,
        scopes=frozenset(Scope(word) for word in words if not word.startswith(APP_WORD)),
        token_id=token.id,
        apps=apps or None,
        notify=holder.user.notify_json,
        retention_s=holder.user.retention_s,
    )


def _caller_of_task(key: AttemptKey, holder: tokens.Holder) -> Caller:
    user = holder.user
    return Caller(
        user_id=user.id,
        name=user.name,
        groups=holder.groups,
        is_admin=user.is_admin,
        can_publish=user.can_publish,
        scopes=TASK_SCOPES,
        attempt=key,
        notify=user.notify_json,
        retention_s=user.retention_s,
    )
