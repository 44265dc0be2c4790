"""The one file of a multipart form, streamed: nothing is spooled, and text parts are kept within limits."""

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from sirdar.domain.problems import Problem

FILE_PARTS = frozenset({"file", "sendfile"})  # Everest's Python client, and its C++ client
# The name in another alphabet as older HTTP libraries write it, against the standard of forms: filename*=utf-8''%D0%B0.txt
EXTENDED_NAME = re.compile(rb""";\s*filename\*=["']?utf-8'[\w-]*'([^;"'\s]+)""", re.IGNORECASE)
MAX_PARTS = 32
MAX_TEXT_BYTES = 4096
MAX_HEADER_BYTES = 16384


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str | None = None
    is_file: bool = False
    text: bytearray = field(default_factory=bytearray)


class FormFile:
    """Reads a form up to its file part, gives that part's bytes, then the rest.

    ``async with`` is not needed: call ``start``, iterate ``chunks`` to the end, and read ``filename`` then, because Everest's
    C++ client may send the name as a text part after the file.
    """

    def __init__(self, request: Request) -> None:
        kind, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary or len(boundary) > 256:
            raise Problem(
                "invalid_request",
                "The body is no multipart form.",
                expected="Content-Type: multipart/form-data with a boundary, and a part named 'file'",
                hint="Or send the bytes alone: PUT /api/files/temp/NAME.",
            )
        self._stream = request.stream()
        self._parts = 0
        self._part = _Part()
        self._file: _Part | None = None
        self._texts: dict[str, str] = {}
        self._header = (bytearray(), bytearray())
        self._pieces: list[bytes] = []
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
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    @property
    def filename(self) -> str:
        """The file's name: of its own part, else of the text part ``filename``. Known when ``chunks`` has ended."""
        own = self._file.filename if self._file else None
        name = own or self._texts.get("filename")
        if not name:
            raise Problem(
                "invalid_field", "The file has no name.", field="filename", expected="filename=... in the file's part"
            )
        return name

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the file. Raises Problem ``invalid_request`` where the form is broken or holds no file."""
        async for chunk in self._stream:
            if not chunk:
                continue
            try:
                self._parser.write(chunk)
            except MultipartParseError as error:
                raise _broken(str(error)) from None
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                yield piece
        if not self._ended:
            raise _broken("it ends in the middle of a part")
        if self._file is None:
            raise _broken("it has no part named 'file'", field="file")

    # ------------------------------------------------------------ what the parser meets

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _broken(f"it has more than {MAX_PARTS} parts")
        self._part = _Part()

    def _take_header(self, which: int, text: bytes) -> None:
        self._header[which].extend(text)
        if len(self._header[which]) > MAX_HEADER_BYTES:
            raise _broken("a part's header is too long")

    def _end_header(self) -> None:
        name, value = (bytes(text) for text in self._header)
        self._part.headers[name.lower()] = value
        self._header = (bytearray(), bytearray())

    def _end_headers(self) -> None:
        part = self._part
        disposition = part.headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        part.name = _text(options.get(b"name", b""))
        part.is_file = part.name in FILE_PARTS
        if b"filename" in options:
            # Browsers write a quote in a name as %22, so that it cannot end the name.
            part.filename = _text(options[b"filename"]).replace("%22", '"')
        elif extended := EXTENDED_NAME.search(disposition):
            part.filename = _text(unquote_to_bytes(extended[1]))
        if part.is_file and self._file is not None:
            raise _broken("it has more than one file", field=part.name)
        if part.is_file:
            self._file = part

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._part.is_file:
            self._pieces.append(data[start:end])
            return
        self._part.text += data[start:end]
        if len(self._part.text) > MAX_TEXT_BYTES:
            raise _broken(f"the part {self._part.name[:80]!r} is longer than {MAX_TEXT_BYTES} bytes")

    def _end_part(self) -> None:
        if not self._part.is_file:
            self._texts[self._part.name] = _text(bytes(self._part.text))

    def _end(self) -> None:
        self._ended = True


def _text(raw: bytes) -> str:
    with contextlib.suppress(UnicodeDecodeError):
        return raw.decode()
    return raw.decode("latin-1")


def _broken(why: str, *, field: str | None = None) -> Problem:
    return Problem(
        "invalid_request",
        f"The multipart form cannot be read: {why}.",
        field=field,
        expected="one part named 'file' with a filename",
    )
