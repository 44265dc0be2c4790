"""What a backup says of itself: a header in front, and at its end a manifest by which every byte is checked.

Names of its members: ``backup.json``, ``rows/NNN-TABLE/NNNNNN.jsonl.gz``, ``logs/AB/NAME``, ``keys/server.key``,
``blobs/ab/SHA256``, ``manifest.json``. A chunk of rows has a line for each, a JSON list of its values in the order of the table's
columns; bytes are ``{"base64": ..}``.
"""

import json
import re
from dataclasses import asdict, dataclass, field

from sirdar.domain.problems import Problem

FORMAT = 1
HEADER = "backup.json"
MANIFEST = "manifest.json"
KEY_MEMBER = "keys/server.key"
_NAMES = re.compile(
    r"backup\.json|manifest\.json|keys/server\.key|rows/\d{3}-\w+/\d{6}\.jsonl\.gz"
    r"|logs/[0-9A-Za-z]{2}/[0-9A-Za-z-]+\.(stdout|stderr)(\.seen|\.newest/\d+-\d+(-part)?)?|blobs/[0-9a-f]{2}/[0-9a-f]{64}"
)


@dataclass(frozen=True, slots=True)
class Header:
    """``schema``: the database's revision; ``taken_at``: seconds since 1970; ``tables``: their names and columns, in order."""

    format: int
    sirdar: str
    schema: str
    taken_at: float
    tables: tuple[tuple[str, tuple[str, ...]], ...]

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def parse(cls, content: bytes) -> "Header":
        """Raises Problem ``invalid_archive``."""
        try:
            found = json.loads(content)
            number = int(found["format"])
            if number > FORMAT:
                raise bad(f"it is of format {number}, and this release knows {FORMAT}: use the release that wrote it")
            tables = tuple((str(name), tuple(map(str, columns))) for name, columns in found["tables"])
            return cls(number, str(found["sirdar"]), str(found["schema"]), float(found["taken_at"]), tables)
        except (ValueError, KeyError, TypeError) as error:
            raise bad(f"its {HEADER} cannot be read") from error


@dataclass(slots=True)
class Manifest:
    """Counts and digests. ``digests`` are of a table's rows, of all logs, of the key: sha256 of their members' bytes, in order."""

    rows: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    logs: int = 0
    key: bool = False
    with_blobs: bool = True
    blobs: int = 0
    blob_bytes: int = 0
    absent: list[str] = field(default_factory=list)  # have a row and no bytes, and nobody names them
    missing: list[str] = field(default_factory=list)  # are named, and were not in the store, or not what they were

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def parse(cls, content: bytes) -> "Manifest":
        """Raises Problem ``invalid_archive``."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError) as error:
            raise bad(f"its {MANIFEST} cannot be read") from error

    def compare(self, found: "Manifest") -> None:
        """Check what was read against what was written. Raises Problem ``invalid_archive`` with the first difference."""
        said, seen = self._counted(), found._counted()
        for name in {**said, **seen}:
            if said.get(name, 0) != seen.get(name, 0):
                raise bad(f"{name}: {seen.get(name, 0)} was read where {said.get(name, 0)} was written")

    def _counted(self) -> dict[str, object]:
        rows = {f"rows of {table}": number for table, number in self.rows.items()}
        digests = {f"digest of {group}": digest for group, digest in self.digests.items()}
        alone = {"logs": self.logs, "key": self.key, "blobs": self.blobs, "bytes of blobs": self.blob_bytes}
        return {**rows, **digests, **alone}


def is_member(name: str) -> bool:
    """Whether a backup may hold a member of that name."""
    return _NAMES.fullmatch(name) is not None


def check_name(name: str) -> str:
    """A member's name. Raises Problem ``invalid_archive`` where it is none of a backup's."""
    if not is_member(name):
        raise bad(f"it holds {name[:200]!r}, which is no part of one")
    return name


def bad(why: str) -> Problem:
    return Problem(
        "invalid_archive", f"The backup is not whole: {why}.", hint="Take another backup; nothing was restored."
    )
