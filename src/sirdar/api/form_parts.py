"""The parts of a multipart form in their order, streamed: nothing is spooled, texts are kept within limits."""

import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from sirdar.domain.problems import Problem

# The name in another alphabet as older HTTP libraries write it, against the standard of forms: filename*=utf-8''%D0%B0.txt
EXTENDED_NAME = re.compile(rb""";\s*filename\*=["']?utf-8'[\w-]*'([^;"'\s]+)""", re.IGNORECASE)
MAX_HEADER_BYTES = 16384


class At(Enum):
    """Where in a part an event stands."""

    BEGIN = auto()
    BYTES = auto()  # of a file
    END = auto()


@dataclass(slots=True)
class Part:
    """One part. ``text``: the bytes of one that is no file, whole when it has ended."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str | None = None
    is_file: bool = False
    text: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Event:
    at: At
    part: Part
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Limits:
    """``text_bytes``: of one part that is no file; ``all_text_bytes``: of all of them together."""

    parts: int
    text_bytes: int
    all_text_bytes: int


class FormParts:
    """Reads a form: iterate ``events`` once, to the end. A file's bytes are given as they arrive."""

    def __init__(self, request: Request, limits: Limits, is_file: Callable[[Part], bool], *, hint: str = "") -> None:
        """``is_file``: whether a part's bytes are given rather than kept. Raises Problem where the body is no such form."""
        kind, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary or len(boundary) > 256:
            raise Problem(
                "invalid_request",
                "The body is no multipart form.",
                expected="Content-Type: multipart/form-data with a boundary",
                hint=hint or None,
            )
        self._stream = request.stream()
        self._limits = limits
        self._is_file = is_file
        self._parts = 0
        self._text_bytes = 0
        self._part = Part()
        self._header = (bytearray(), bytearray())
        self._events: list[Event] = []
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, end: self._take_header(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._take_header(1, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._take_data,
                "on_part_end": lambda: self._events.append(Event(At.END, self._part)),
                "on_end": self._end,
            },
        )

    async def events(self) -> AsyncIterator[Event]:
        """Raises Problem ``invalid_request`` where the form is broken or past its limits."""
        async for chunk in self._stream:
            if not chunk:
                continue
            try:
                self._parser.write(chunk)
            except MultipartParseError as error:
                raise broken(str(error)) from None
            events, self._events = self._events, []
            for event in events:
                yield event
        if not self._ended:
            raise broken("it ends in the middle of a part")

    # ------------------------------------------------------------ what the parser meets

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise broken(f"it has more than {self._limits.parts} parts")
        self._part = Part()

    def _take_header(self, which: int, text: bytes) -> None:
        self._header[which].extend(text)
        if len(self._header[which]) > MAX_HEADER_BYTES:
            raise broken("a part's header is too long")

    def _end_header(self) -> None:
        name, value = (bytes(text) for text in self._header)
        self._part.headers[name.lower()] = value
        self._header = (bytearray(), bytearray())

    def _end_headers(self) -> None:
        part = self._part
        disposition = part.headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        part.name = text_of(options.get(b"name", b""))
        if b"filename" in options:
            # Browsers write a quote in a name as %22, so that it cannot end the name.
            part.filename = text_of(options[b"filename"]).replace("%22", '"')
        elif extended := EXTENDED_NAME.search(disposition):
            part.filename = text_of(unquote_to_bytes(extended[1]))
        part.is_file = self._is_file(part)
        self._events.append(Event(At.BEGIN, part))

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.is_file:
            self._events.append(Event(At.BYTES, part, data[start:end]))
            return
        part.text += data[start:end]
        self._text_bytes += end - start
        if len(part.text) > self._limits.text_bytes:
            raise broken(f"the part {part.name[:80]!r} is longer than {self._limits.text_bytes} bytes")
        if self._text_bytes > self._limits.all_text_bytes:
            raise broken(f"its texts are longer than {self._limits.all_text_bytes} bytes together")

    def _end(self) -> None:
        self._ended = True


def text_of(raw: bytes) -> str:
    with contextlib.suppress(UnicodeDecodeError):
        return raw.decode()
    return raw.decode("latin-1")


def broken(why: str, *, field: str | None = None, expected: str | None = None) -> Problem:
    return Problem("invalid_request", f"The multipart form cannot be read: {why}.", field=field, expected=expected)
