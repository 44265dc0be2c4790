"""How a loop tells of a round that failed: in a line where it is known to pass, with all of it where nobody foresaw it."""

from typing import Any

import structlog

from sirdar.domain.problems import Problem

PASSES = frozenset({"unavailable", "disk_full"})

log = structlog.get_logger()


def tell(event: str, error: Exception, **named: Any) -> None:
    """Called where the error is caught; the loop then waits and tries again."""
    if passes(error) and isinstance(error, Problem):
        log.warning(event, error=error.detail, **named)
    else:
        log.exception(event, **named)


def passes(error: Exception) -> bool:
    """Whether it is of a kind that passes by itself, or once somebody makes room."""
    return isinstance(error, Problem) and error.code in PASSES
