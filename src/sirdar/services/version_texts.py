"""What changed inside the text files of two versions of an application, line by line."""

from collections.abc import Sequence
from dataclasses import dataclass

from sirdar.domain.app import FileEntry
from sirdar.domain.app_diff import FileChange, Kind, Line, lines
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.blob_texts import read_text
from sirdar.services.context import Services

FILE_BYTES = 256 * 1024
ALL_BYTES = 4 * 2**20  # of all that is read for one comparison
FILES = 50
LINES = 2_000  # of one file


@dataclass(frozen=True, slots=True)
class TextChange:
    """One changed file. ``lines`` None: it is no text, or larger than what is compared; ``cut``: lines that are not shown."""

    path: str
    lines: tuple[Line, ...] | None = None
    cut: int = 0

    @property
    def added(self) -> int:
        return sum(line.mark == "+" for line in self.lines or ())

    @property
    def removed(self) -> int:
        return sum(line.mark == "-" for line in self.lines or ())


async def text_changes(
    services: Services, old: LoadedVersion, new: LoadedVersion, changed: Sequence[FileChange]
) -> list[TextChange]:
    """Of the first files with other bytes. Both versions are the caller's to look at, and so are their files."""
    before, after = {one.path: one for one in old.version.files}, {one.path: one for one in new.version.files}
    found: list[TextChange] = []
    left = ALL_BYTES
    for change in [one for one in changed if one.kind is Kind.CHANGED and not one.mode][:FILES]:
        pair = before[change.path], after[change.path]
        left -= sum(file.size_bytes for file in pair if file.size_bytes <= FILE_BYTES)
        texts = [await _text(services, file) for file in pair] if left >= 0 else [None, None]
        if texts[0] is None or texts[1] is None:
            found.append(TextChange(change.path))
            continue
        told = await services.blobs.in_thread(lines, texts[0], texts[1])
        found.append(TextChange(change.path, tuple(told[:LINES]), max(0, len(told) - LINES)))
    return found


async def _text(services: Services, file: FileEntry) -> str | None:
    return await read_text(services, file.sha256) if file.size_bytes <= FILE_BYTES else None
