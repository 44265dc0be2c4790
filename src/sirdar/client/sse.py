"""Server-sent events: bytes in, events out (the WHATWG parsing rules, as far as a client in Python needs them)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job. ``kind``: job, tasks, message, log or end; ``data`` is the decoded JSON (or the text)."""

    id: str
    kind: str
    data: Any


@dataclass(slots=True)
class SseParser:
    """Feeds on bytes in any portions. ``last_id`` is what a reconnection sends as Last-Event-ID."""

    last_id: str = ""
    _pending: bytes = b""
    _kind: str = ""
    _lines: list[str] = field(default_factory=list)

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Events that are complete with this chunk."""
        *lines, self._pending = (self._pending + chunk).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            if event := self._take(line.rstrip(b"\r").decode(errors="replace")):
                yield event

    def _take(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._lines.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id":
            self.last_id = value
        return None

    def _dispatch(self) -> Event | None:
        kind, text = self._kind or "message", "\n".join(self._lines)
        empty = not self._lines and not self._kind
        self._kind, self._lines = "", []
        return None if empty else Event(self.last_id, kind, _decoded(text))


def _decoded(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text
