"""What errors of a database mean: a full disk, a database that is away, a conflict that another try may not meet."""

import errno

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from sirdar.domain.problems import Problem

CONFLICTS = ("40P01", "40001")  # SQLSTATE of a deadlock, and of a transaction that could not be put in order
AWAY = ("57P01", "57P02", "57P03")  # SQLSTATE: shut down by its administrator, after a crash, not started yet
DISK_FULL = ("disk is full", "no space left on device", "disk full")


def may_pass(error: BaseException | None) -> bool:
    """True for what another try may not meet again: PostgreSQL's deadlocks and conflicts of transactions."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in CONFLICTS


def breaks_transaction(error: BaseException) -> bool:
    """Errors after which the whole transaction is gone (full disk, lost connection, deadlock)."""
    return isinstance(error, OperationalError)


def is_disk_full(error: BaseException) -> bool:
    """Whether this is how the system or the database says that there is no room."""
    if isinstance(error, OperationalError):
        return any(words in str(error.orig).lower() for words in DISK_FULL)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_away(error: BaseException) -> bool:
    """Whether PostgreSQL could not be reached, or broke the connection off: it was restarted, or is being started."""
    if not isinstance(error, DBAPIError) or not hasattr(error.orig, "sqlstate"):  # SQLite's have none
        return False
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None) or ""
    lost = isinstance(error, OperationalError | InterfaceError) and not state
    return lost or state.startswith("08") or state in AWAY


def translate(error: BaseException) -> BaseException:
    """The problem that it is for whoever asked, where there are words for it; else the error itself."""
    if is_away(error):
        return Problem(
            "unavailable",
            "The server cannot reach its database just now; whether this was carried out is not known.",
            hint="Send the request again in a moment; with an Idempotency-Key nothing is done twice.",
        )
    if is_disk_full(error):
        return Problem(
            "disk_full",
            "The database could not be written because the server's disk is full; nothing was changed.",
            hint="Make room on the server's disk and send the request again.",
        )
    return error
