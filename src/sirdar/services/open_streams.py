"""How many event streams are open: a user has so many at most, lest one forgotten loop takes the server from everybody."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sirdar.domain.problems import Problem

RETRY_AFTER_S = 10.0


class OpenStreams:
    """By user, of this server process. Used on its event loop only."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, whose: str, most: int) -> Iterator[None]:
        """Counted until the block ends. Raises Problem ``too_many_streams``."""
        if self._open[whose] >= most:
            raise Problem(
                "too_many_streams",
                f"You have {most} event streams open, the most that one user may have at this server.",
                hint="Close pages and end programs that follow jobs, then try again.",
                retry_after_s=RETRY_AFTER_S,
            )
        self._open[whose] += 1
        try:
            yield
        finally:
            self._open[whose] -= 1
            if not self._open[whose]:
                del self._open[whose]
