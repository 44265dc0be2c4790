"""Passwords are kept as argon2id hashes; hashing runs in a few threads, so that it neither stops the server nor fills memory."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sirdar.domain.names import is_text
from sirdar.domain.problems import Problem

T = TypeVar("T")
SHORTEST = 8
LONGEST = 1024
AT_ONCE = 2
WAITING_MAX = 64  # with 64 MiB and about 0.1 s each, more than this would only be told so too late

# RFC 9106's second choice: 64 MiB, three passes. Written out, so that a new release of the library changes nothing unseen.
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4, hash_len=32, salt_len=16)
# What an unknown user's guess is checked against, so that it takes as long as a known one's. No password fits it.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c2lyZGFyLW5vYm9keS0xNg$" + "A" * 43


def check_new(password: str, *, field: str = "password") -> None:
    """Raises Problem ``invalid_field`` where it cannot be a password."""
    expected = f"{SHORTEST} to {LONGEST} characters"
    if not SHORTEST <= len(password) <= LONGEST or not is_text(password):
        raise Problem("invalid_field", f"The password has {len(password)} characters.", field=field, expected=expected)


def hash_now(password: str) -> str:
    """The hash, in this thread: about a tenth of a second."""
    return _HASHER.hash(password)


def verify_now(hashed: str | None, password: str) -> bool:
    """True where the password is the one; takes as long where there is none."""
    try:
        return _HASHER.verify(hashed or _NOBODY, password) and hashed is not None
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def is_outdated(hashed: str) -> bool:
    """True where it was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(hashed)


class Passwords:
    """The same off the event loop, two at a time. Made and used on one event loop."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None
        self._in_hand = 0

    async def hash(self, password: str) -> str:
        return await self._run(lambda: hash_now(password))

    async def verify(self, hashed: str | None, password: str) -> bool:
        return await self._run(lambda: verify_now(hashed, password))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(AT_ONCE)
        if self._in_hand >= AT_ONCE + WAITING_MAX:
            raise Problem("unavailable", "Too many people sign in at this moment.", retry_after_s=5)
        self._in_hand += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._in_hand -= 1
