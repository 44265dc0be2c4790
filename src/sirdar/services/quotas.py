"""How much each user may have at once, and what they have: jobs in flight, and bytes kept on the server."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from sirdar.domain.problems import Problem
from sirdar.services.settings import Settings
from sirdar.store import usage as store
from sirdar.store.people import Conn, User, user_by_id

ROOM_REMEMBERED_S = 5.0
BYTES_REMEMBERED_S = 300.0  # uploads are added as they come; what jobs write is seen at the next sum
BYTES_SHOWN_S = 30.0
REFUSAL_REMEMBERED_S = 1.0
SUM_SHARE = (
    20  # a sum is taken anew only after this many times what it took: at most a twentieth of the time goes into it
)
USERS_REMEMBERED = 1000
COUNT_REMEMBERED_S = 1.0
NEAR = 0.8  # of the quota: from there on every submission counts


@dataclass(frozen=True, slots=True)
class Quotas:
    jobs_in_flight: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    jobs_in_flight: int
    bytes: int
    jobs_total: int
    cpu_s: float


def limits_of(user: User, settings: Settings) -> Quotas:
    """The user's own quotas, and the server's settings where they have none."""
    jobs = settings.quota_jobs if user.quota_jobs is None else user.quota_jobs
    size = settings.quota_bytes if user.quota_bytes is None else user.quota_bytes
    return Quotas(jobs, size)


def usage_of(conn: Conn, user: User, *, now: float) -> Usage:
    """What the user uses at this moment; the bytes may be half a minute old."""
    jobs, _ = store.jobs_in_flight(conn, user.id) or (0, None)
    return Usage(jobs, _kept.bytes_of(conn, user.id, now, within_s=BYTES_SHOWN_S), jobs + user.jobs_ended, user.cpu_s)


def check_submit(conn: Conn, user_id: str, new_jobs: int, settings: Settings) -> None:
    """Raises ``quota_exceeded`` where the user would have too many jobs in flight. Called in the submission's transaction.

    Jobs are counted when the room that the last count found is used up: until then not even all submissions since can have
    filled it, and a count among thousands of jobs costs as much as the submission.
    """
    if _room.take(conn, user_id, new_jobs):
        return
    found = store.jobs_in_flight(conn, user_id)
    if found is None:
        raise Problem("unauthenticated", "The user was removed.")
    in_flight, own = found
    quota = settings.quota_jobs if own is None else own
    if in_flight + new_jobs > quota:
        raise Problem(
            "quota_exceeded",
            f"You have {in_flight} jobs in flight; with {new_jobs} more that is over your quota of {quota}.",
            hint="Wait until some have ended, cancel some, or submit one job of many tasks (foreach).",
            expected=f"at most {max(0, quota - in_flight)} more",
        )
    _room.put(conn, user_id, quota - in_flight - new_jobs)


def check_bytes(conn: Conn, user_id: str, new_bytes: int, settings: Settings, *, now: float) -> None:
    """Raises ``quota_exceeded`` where the user would keep too much. Counts the new bytes as used from then on.

    The sum is remembered, so that an upload of many small files does not read all of the user's jobs each time.
    """
    user = user_by_id(conn, user_id)
    if user is None:
        raise Problem("unauthenticated", "The user was removed.")
    quota = limits_of(user, settings).bytes
    kept = _kept.bytes_of(conn, user_id, now)
    if kept + new_bytes > quota:  # something may have been deleted to make room
        kept = _kept.bytes_of(conn, user_id, now, within_s=REFUSAL_REMEMBERED_S)
    if kept + new_bytes > quota:
        raise Problem(
            "quota_exceeded",
            f"You keep {kept} bytes here; with {new_bytes} more that is over your quota of {quota}.",
            hint="Delete jobs or files that you need no more.",
            expected=f"at most {max(0, quota - kept)} more bytes",
        )
    _kept.add(conn, user_id, new_bytes)


def forget(user_id: str) -> None:
    """Count anew at the next submission: the user's quota was changed."""
    _room.forget(user_id)


# ---------------------------------------------------------------- remembered, by database and user

_Key = tuple[str | None, str]


def _key(conn: Conn, user_id: str) -> _Key:
    return conn.engine.url.database, user_id


class _Room:
    """How many more jobs may surely be submitted. Used from the store's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: OrderedDict[_Key, tuple[float, int]] = OrderedDict()

    def take(self, conn: Conn, user_id: str, jobs: int) -> bool:
        """False where that is not known."""
        key = _key(conn, user_id)
        with self._lock:
            until, left = self._left.get(key, (0.0, 0))
            if left < jobs or until < time.monotonic():
                return False
            self._left[key] = (until, left - jobs)
            return True

    def put(self, conn: Conn, user_id: str, left: int) -> None:
        with self._lock:
            self._left[_key(conn, user_id)] = (time.monotonic() + ROOM_REMEMBERED_S, left)
            while len(self._left) > USERS_REMEMBERED:
                self._left.popitem(last=False)

    def forget(self, user_id: str) -> None:
        with self._lock:
            for key in [key for key in self._left if key[1] == user_id]:
                del self._left[key]


@dataclass(frozen=True, slots=True)
class _Sum:
    at: float
    bytes: int
    took_s: float


class _Kept:
    """Bytes by user, summed lately. Used from the store's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: OrderedDict[_Key, _Sum] = OrderedDict()

    def bytes_of(self, conn: Conn, user_id: str, now: float, *, within_s: float = BYTES_REMEMBERED_S) -> int:
        key = _key(conn, user_id)
        with self._lock:
            known = self._sums.get(key)
        if known is not None and 0 <= now - known.at < max(within_s, SUM_SHARE * known.took_s):
            return known.bytes
        started = time.monotonic()
        size = store.bytes_kept(conn, user_id)
        with self._lock:
            self._sums[key] = _Sum(now, size, time.monotonic() - started)
            while len(self._sums) > USERS_REMEMBERED:
                self._sums.popitem(last=False)
        return size

    def add(self, conn: Conn, user_id: str, size: int) -> None:
        key = _key(conn, user_id)
        with self._lock:
            if (known := self._sums.get(key)) is not None:
                self._sums[key] = _Sum(known.at, known.bytes + size, known.took_s)


_room = _Room()
_kept = _Kept()
