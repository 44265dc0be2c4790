"""Reading a backup from its beginning to its end, once: whoever asks gets the parts as they come; counts and digests are kept."""

import gzip
import hashlib
import json
import zlib
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from sirdar.services.keep.archive import Source, members
from sirdar.services.keep.manifest import HEADER, KEY_MEMBER, MANIFEST, Header, Manifest, bad

PIECE_BYTES = 1 << 20


class Reading:
    """``header`` is there at once; ``parts`` gives what follows; ``manifest`` is there, and was checked, when that has ended."""

    def __init__(self, path: Path) -> None:
        """Raises Problem ``not_found``, ``invalid_archive``."""
        self._members = members(path)
        name, _, file = next(self._members, ("", 0, BytesIO()))
        if name != HEADER:
            raise bad(f"it does not begin with {HEADER}")
        self.header = Header.parse(file.read())
        self.manifest = Manifest()
        self._found = Manifest()
        self._digests: dict[str, Any] = defaultdict(hashlib.sha256)

    def parts(self) -> Iterator[tuple[str, int, "Part"]]:
        """Name, size in bytes and bytes of each member but the first and the last. What was not read by then is read.

        Raises Problem ``invalid_archive`` where the archive is not what its manifest says, or has none.
        """
        for name, size_bytes, file in self._members:
            if name == MANIFEST:
                self.manifest = Manifest.parse(file.read())
                self._found.digests = {group: state.hexdigest() for group, state in self._digests.items()}
                self.manifest.compare(self._found)
                return
            part = Part(file, hashlib.sha256() if name.startswith("blobs/") else self._digests[group_of(name)])
            yield name, size_bytes, part
            part.drain()
            self._count(name, part)
        raise bad("it is cut off: it has no manifest at its end")

    def count_rows(self, table: str, rows: int) -> None:
        self._found.rows[table] = self._found.rows.get(table, 0) + rows

    def _count(self, name: str, part: "Part") -> None:
        if name.startswith("blobs/"):
            if part.state.hexdigest() != name.rpartition("/")[2]:
                raise bad(f"the bytes of {name} are not what its name says")
            self._found.blobs += 1
            self._found.blob_bytes += part.size_bytes
        elif name.startswith("logs/"):
            self._found.logs += 1
        elif name == KEY_MEMBER:
            self._found.key = True


class Part:
    """The bytes of one member, hashed as they are read."""

    def __init__(self, file: Source, state: Any) -> None:
        self._file = file
        self.state = state
        self.size_bytes = 0

    def pieces(self) -> Iterator[bytes]:
        while piece := self._file.read(PIECE_BYTES):
            self.state.update(piece)
            self.size_bytes += len(piece)
            yield piece

    def content(self) -> bytes:
        return b"".join(self.pieces())

    def rows(self) -> Iterator[list[Any]]:
        """The rows of a chunk. Raises Problem ``invalid_archive``."""
        try:
            with gzip.open(BytesIO(self.content())) as lines:
                for line in lines:
                    yield [b64decode(v["base64"]) if isinstance(v, dict) else v for v in json.loads(line)]
        except (OSError, EOFError, zlib.error, ValueError, KeyError) as error:
            raise bad(f"a chunk of rows cannot be read ({error})") from error

    def drain(self) -> None:
        for _ in self.pieces():
            pass


def verify(path: Path) -> Manifest:
    """Read a whole backup and check every byte. Raises Problem ``invalid_archive``."""
    reading = Reading(path)
    names = dict(enumerate(name for name, _ in reading.header.tables))
    for name, _, part in reading.parts():
        if name.startswith("rows/"):
            reading.count_rows(names[table_number(name)], sum(1 for _ in part.rows()))
    return reading.manifest


def group_of(name: str) -> str:
    """What a member's bytes are counted to: its table, the logs, the key."""
    first, _, rest = name.partition("/")
    return f"rows/{rest.partition('/')[0]}" if first == "rows" else first


def table_number(name: str) -> int:
    return int(name.split("/")[1][:3])
