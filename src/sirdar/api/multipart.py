"""The one file of a multipart form, streamed: nothing is spooled, and text parts are kept within limits."""

from collections.abc import AsyncIterator

from starlette.requests import Request

from sirdar.api.form_parts import At, FormParts, Limits, Part, broken, text_of
from sirdar.domain.problems import Problem

FILE_PARTS = frozenset({"file", "sendfile"})  # Everest's Python client, and its C++ client
MAX_PARTS = 32
MAX_TEXT_BYTES = 4096
LIMITS = Limits(MAX_PARTS, MAX_TEXT_BYTES, MAX_PARTS * MAX_TEXT_BYTES)
EXPECTED = "one part named 'file' with a filename"


class FormFile:
    """Reads a form up to its file part, gives that part's bytes, then the rest.

    Iterate ``chunks`` to the end, and read ``filename`` then, because Everest's C++ client may send the name as a text part
    after the file.
    """

    def __init__(self, request: Request) -> None:
        hint = "Or send the bytes alone: PUT /api/files/temp/NAME."
        self._form = FormParts(request, LIMITS, lambda part: part.name in FILE_PARTS, hint=hint)
        self._file: Part | None = None
        self._texts: dict[str, str] = {}

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
        async for event in self._form.events():
            if event.at is At.BYTES:
                yield event.content
            elif event.at is At.BEGIN and event.part.is_file:
                if self._file is not None:
                    raise broken("it has more than one file", field=event.part.name, expected=EXPECTED)
                self._file = event.part
            elif event.at is At.END and not event.part.is_file:
                self._texts[event.part.name] = text_of(bytes(event.part.text))
        if self._file is None:
            raise broken("it has no part named 'file'", field="file", expected=EXPECTED)
