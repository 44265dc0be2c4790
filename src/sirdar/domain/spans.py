"""How long a task waited, staged and ran, from the times in its row. Seconds; None where it has not come to that."""


def span(begin: float | None, end: float | None) -> float | None:
    """To the microsecond; clocks of two machines never make it negative."""
    return None if begin is None or end is None else round(max(0.0, end - begin), 6)


def staged_in(told: float | None, staging_at: float | None, started_at: float | None) -> float | None:
    """Of staging in, by the agent's own word. A staged task may wait for a slot before it starts: that is waiting."""
    return round(float(told), 6) if told is not None else span(staging_at, started_at)


def waited(ready_at: float | None, started_at: float | None, staged_s: float | None) -> float | None:
    """From being ready to the program's start, without the bringing of files."""
    whole = span(ready_at, started_at)
    return round(max(0.0, whole - (staged_s or 0.0)), 6) if whole is not None else None
