"""Conditional and range requests on content that never changes (RFC 9110): pure functions of the headers."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from ``start`` up to ``stop`` of a file of ``size``; ``partial``: a range was asked for."""

    start: int
    stop: int
    size: int
    partial: bool = False

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


def is_unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has it already."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags


def span_of(size: int, etag: str, range_header: str | None, if_range: str | None) -> Span | None:
    """What to send; None where the range lies outside the file.

    A header that is no single range of bytes is passed over, as the standard allows: several ranges give the whole file.
    """
    whole = Span(0, size, size)
    found = _RANGE.fullmatch(range_header) if range_header else None
    if found is None or (if_range is not None and if_range.strip() != etag):
        return whole
    first, last = found.groups()
    if not first and not last:
        return whole
    if len(first) > 19 or len(last) > 19:  # beyond any file; and Python refuses to read very long numbers
        return None if len(first) > 19 else _from(size, first, None)
    if not first:
        start = max(0, size - int(last))
        return Span(start, size, size, partial=True) if int(last) and size else None
    return whole if last and int(last) < int(first) else _from(size, first, int(last) if last else None)


def _from(size: int, first: str, last: int | None) -> Span | None:
    start = int(first or 0)
    if start >= size:
        return None
    return Span(start, size if last is None else min(last + 1, size), size, partial=True)
