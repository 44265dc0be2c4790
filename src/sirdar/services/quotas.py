"""How much each user may have at once, and what they have: jobs in flight, and bytes kept on the server."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from sirdar.domain.problems import Problem
from sirdar.services.settings import Settings
from sirdar.store import usage as store
from sirdar.store.people import Conn, User, user_by_id

BYTES_REMEMBERED_S = 30.0
REFUSAL_REMEMBERED_S = 1.0
USERS_REMEMBERED = 1000


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
    return Usage(jobs, _kept.bytes_of(conn, user.id, now), user.jobs_total, user.cpu_s)


def check_submit(conn: Conn, user_id: str, new_jobs: int, settings: Settings) -> None:
    """Raises ``quota_exceeded`` where the user would have too many jobs in flight. Called in the submission's transaction."""
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


def check_bytes(conn: Conn, user_id: str, new_bytes: int, settings: Settings, *, now: float) -> None:
    """Raises ``quota_exceeded`` where the user would keep too much. Counts the new bytes as used from then on.

    The sum is taken anew every half minute, so that an upload of many small files does not read all jobs each time.
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
    _kept.add(user_id, new_bytes)


class _Kept:
    """Bytes by user, summed lately. Used from the store's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def bytes_of(self, conn: Conn, user_id: str, now: float, *, within_s: float = BYTES_REMEMBERED_S) -> int:
        with self._lock:
            at, size = self._sums.get(user_id, (0.0, 0))
        if 0 <= now - at < within_s:
            return size
        size = store.bytes_kept(conn, user_id)
        with self._lock:
            self._sums[user_id] = (now, size)
            while len(self._sums) > USERS_REMEMBERED:
                self._sums.popitem(last=False)
        return size

    def add(self, user_id: str, size: int) -> None:
        with self._lock:
            if user_id in self._sums:
                at, before = self._sums[user_id]
                self._sums[user_id] = (at, before + size)


_kept = _Kept()
