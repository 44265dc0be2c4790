"""Some files out of an archive, by their names. A name of the archive never becomes a path: files are numbered."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sirdar.wire.archive_formats import Entry, EntryKind, Limits, open_stream, refused
from sirdar.wire.archive_names import check_name

COPY_BYTES = 256 * 1024
NAMES_KEPT = 10_000  # of all members, to say what there is


@dataclass(frozen=True, slots=True)
class Picked:
    """One file that was wanted: where it is now, its permission bits and its size."""

    path: Path
    mode: int
    size_bytes: int


@dataclass(slots=True)
class Picking:
    """``files`` by their names in the archive; ``names``: the files that it has, ten thousand at most."""

    files: dict[str, Picked] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return sum(one.size_bytes for one in self.files.values())


def pick(
    archive: Path, wanted: Collection[str], folder: Path, limits: Limits | None = None, *, name: str = ""
) -> Picking:
    """Write the wanted files to ``folder`` as ``0``, ``1``, ...; what is not there is not among them. ``name``: of the archive,
    where its path does not say it.

    Raises Problem ``invalid_archive``: a name that stands twice, a member that leads out, more bytes than the limits.
    """
    bounds = limits or Limits()
    made = Picking()
    left = bounds.total_bytes
    size_bytes = archive.stat().st_size
    with archive.open("rb") as raw, open_stream(raw, name or archive.name, size_bytes, bounds) as opened:
        for entry in opened.entries():
            if entry.kind is not EntryKind.FILE:
                continue
            if reason := check_name(entry.name):
                raise refused(entry.name, reason)
            member = str(PurePosixPath(entry.name))
            if len(made.names) < NAMES_KEPT:
                made.names.append(member)
            if member not in wanted:
                continue
            if member in made.files:
                raise refused(entry.name, "the name stands in the archive twice")
            picked = _write(entry, folder / str(len(made.files)), left, bounds)
            left -= picked.size_bytes
            made.files[member] = picked
    return made


def _write(entry: Entry, path: Path, left: int, limits: Limits) -> Picked:
    size = 0
    with entry.open() as source, path.open("xb") as out:
        while chunk := source.read(COPY_BYTES):
            size += len(chunk)
            if size > left:
                raise refused(entry.name, f"the files are more than {limits.total_bytes} bytes")
            out.write(chunk)
    return Picked(path, entry.mode & 0o777 | 0o600, size)
