"""What programs write, while they run: files for each stream of an attempt, appended by offset, so that a resend is harmless.

``KEY.stdout`` is the beginning of a stream, whole up to a limit. What is newest after that stands in at most two segments,
``KEY.stdout.newest/OFFSET-LINE``, whose names say where in the stream they begin (``OFFSET-LINE-part``: within a line); before them
a gap may be, and what is left of a line behind it belongs to it. ``KEY.stdout.seen`` says when bytes came.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sirdar.domain.ids import AttemptKey

STREAMS = ("stdout", "stderr")
SEGMENT_BYTES = 4 << 20
LOOKED_AT_BYTES = 64 << 10
SEEN_BYTES = 128 << 10  # of the times of one stream; beyond that every second one goes
NOTE = "[... {omitted} bytes left out here ...]\n"  # a line of its own, as agents write it into what they keep of a long stream

Mark = tuple[int, float | None]


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes of a stream from ``offset`` on, before which ``line`` newlines stand. ``part``: it begins within a line."""

    offset: int
    line: int
    part: bool
    path: Path
    size_bytes: int

    @property
    def stop(self) -> int:
        return self.offset + self.size_bytes


@dataclass(frozen=True, slots=True)
class LiveText:
    """A stream as it is read: its beginning, a line that says what is left out, and its newest part.

    ``parts``: each a file or bytes, and its beginning and end. ``size``: of that text; ``gap_at``: where that line stands in it;
    ``tail_line``: newlines of the stream before what follows it.
    """

    parts: tuple[tuple[Path | bytes, int, int], ...]
    size: int
    omitted: int = 0
    gap_at: int | None = None
    tail_line: int | None = None

    def read(self, offset: int, max_bytes: int) -> bytes:
        """Raises FileNotFoundError where a part has gone meanwhile."""
        found, place = [], 0
        for source, begin, end in self.parts:
            size = end - begin
            start, stop = max(offset, place), min(offset + max_bytes, place + size)
            if start < stop:
                found.append(_part(source, begin + start - place, stop - start))
            place += size
        return b"".join(found)


def _part(source: Path | bytes, start: int, length: int) -> bytes:
    if isinstance(source, bytes):
        return source[start : start + length]
    with source.open("rb") as file:
        file.seek(start)
        return file.read(length)


@dataclass(frozen=True, slots=True)
class LogStore:
    """The directory of running attempts' streams."""

    root: Path

    def path(self, key: AttemptKey, stream: str) -> Path:
        return self.root / key.job[:2] / f"{key.text}.{stream}"

    def append(self, key: AttemptKey, stream: str, offset: int, chunk: bytes, max_bytes: int) -> int:
        """Write at the offset; returns the size. A gap is not possible: the caller is told where to go on."""
        path = self.path(key, stream)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size = os.fstat(handle).st_size
            if offset > size or size >= max_bytes:
                return size
            os.lseek(handle, offset, os.SEEK_SET)
            return max(size, offset + os.write(handle, chunk))
        finally:
            os.close(handle)

    def read(self, key: AttemptKey, stream: str, offset: int, max_bytes: int) -> tuple[bytes, int]:
        """Bytes from the offset, and the size so far."""
        try:
            handle = os.open(self.path(key, stream), os.O_RDONLY)
        except FileNotFoundError:
            return b"", 0
        try:
            size = os.fstat(handle).st_size
            if offset >= size:
                return b"", size
            os.lseek(handle, offset, os.SEEK_SET)
            return os.read(handle, max_bytes), size
        finally:
            os.close(handle)

    # ------------------------------------------------------------ the newest part

    def append_newest(self, key: AttemptKey, stream: str, offset: int, line: int, chunk: bytes) -> int:
        """Take what may stand apart from what is here, ``line`` newlines before it; returns the size of the stream so far."""
        kept = self._newest_run(key, stream)
        last = kept[-1] if kept else None
        joined = last is not None and kept[0].offset <= offset <= last.stop
        if last is not None and joined:  # a resend: only what it has beyond the end is new
            known = min(last.stop - offset, len(chunk))
            offset, line, chunk = offset + known, line + chunk.count(b"\n", 0, known), chunk[known:]
            if not chunk:
                return last.stop
            if last.size_bytes < SEGMENT_BYTES:
                _write(last.path, last.size_bytes, chunk)
                return offset + len(chunk)
        place = self._newest(key, stream)
        place.mkdir(parents=True, exist_ok=True)
        within = last is not None and joined and _part(last.path, last.size_bytes - 1, 1) != b"\n"
        path = place / (f"{offset}-{line}-part" if within else f"{offset}-{line}")
        _write(path, 0, chunk)
        for old in self._segments(key, stream):
            if old.path != path and not (joined and old == last):
                old.path.unlink(missing_ok=True)
        return offset + len(chunk)

    def live(self, key: AttemptKey, stream: str) -> LiveText:
        """The stream as it stands now."""
        path = self.path(key, stream)
        head = _size(path)
        kept = self._newest_run(key, stream)
        if not kept:
            return LiveText(((path, 0, head),), head)
        tail: tuple[tuple[Path | bytes, int, int], ...]
        if kept[0].offset <= head:
            tail = tuple((segment.path, 0, segment.size_bytes) for segment in kept)
            return LiveText(((path, 0, kept[0].offset), *tail), kept[-1].stop)
        first, begins, line = _whole_line(kept)
        tail = tuple(
            (one.path, begins if one is first else 0, one.size_bytes) for one in kept if one.offset >= first.offset
        )
        omitted = first.offset + begins - head
        begin = b"" if not head or _part(path, head - 1, 1) == b"\n" else b"\n"
        note = begin + NOTE.format(omitted=omitted).encode()
        size = head + len(note) + kept[-1].stop - first.offset - begins
        return LiveText(((path, 0, head), (note, 0, len(note)), *tail), size, omitted, head + len(begin), line)

    def read_live(self, key: AttemptKey, stream: str, offset: int, max_bytes: int) -> tuple[bytes, LiveText]:
        """Bytes of that text (offset negative: from its end), and the text."""
        text = self.live(key, stream)
        for _ in range(3):
            start = offset if offset >= 0 else max(0, text.size + offset)
            try:
                return text.read(start, max_bytes) if text.size else b"", text
            except FileNotFoundError:  # it grew, and a segment went
                text = self.live(key, stream)
        return b"", text

    def _newest(self, key: AttemptKey, stream: str) -> Path:
        path = self.path(key, stream)
        return path.with_name(path.name + ".newest")

    def _newest_run(self, key: AttemptKey, stream: str) -> list[Segment]:
        """The segments at the end between which nothing is missing; others are about to be removed."""
        found = self._segments(key, stream)
        begin = len(found) - 1
        while begin > 0 and found[begin - 1].stop == found[begin].offset:
            begin -= 1
        return found[max(0, begin) :]

    def _segments(self, key: AttemptKey, stream: str) -> list[Segment]:
        found = []
        try:
            paths = list(self._newest(key, stream).iterdir())
        except FileNotFoundError:
            return []
        for path in paths:
            offset, line, *part = path.name.split("-")
            found.append(Segment(int(offset), int(line), bool(part), path, _size(path)))
        return sorted((one for one in found if one.size_bytes), key=lambda one: one.offset)

    # ------------------------------------------------------------ times

    def note(self, key: AttemptKey, stream: str, marks: Sequence[Mark]) -> None:
        """Write down when bytes came: from which byte on, and when; None where nobody knows."""
        path = self.path(key, stream)
        path = path.with_name(path.name + ".seen")
        with path.open("a") as file:
            file.writelines(f"{start} {'' if at is None else at}\n" for start, at in marks)
            large = file.tell() > SEEN_BYTES
        if large:
            draft = path.with_name(path.name + ".new")
            draft.write_text("".join(path.read_text().splitlines(keepends=True)[::2]))
            draft.replace(path)

    def notes(self, key: AttemptKey, stream: str) -> list[Mark]:
        """What was written down, in the order of the stream."""
        path = self.path(key, stream)
        try:
            text = path.with_name(path.name + ".seen").read_text()
        except FileNotFoundError:
            return []
        return sorted(dict(_marks(text)).items())

    # ------------------------------------------------------------ tidying up

    def jobs(self) -> set[str]:
        """Ids of the jobs that have files here."""
        return {path.name.split("-", 1)[0] for path in self.root.glob("??/*-*-*.std*")}

    def remove_jobs(self, job_ids: Iterable[str]) -> None:
        """Remove all files of these jobs."""
        by_shard: dict[str, set[str]] = {}
        for job_id in job_ids:
            by_shard.setdefault(job_id[:2], set()).add(job_id)
        for shard, wanted in by_shard.items():
            for path in (self.root / shard).glob("*-*-*.std*"):
                if path.name.split("-", 1)[0] not in wanted:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _whole_line(run: Sequence[Segment]) -> tuple[Segment, int, int]:
    """Where the first line begins that is known whole: the segment, the place in it, and newlines of the stream before it.

    Where one line goes on through all of them, what is known of it.
    """
    for number, segment in enumerate(run if run[0].part else ()):
        begins = _newline(segment) + 1
        if begins == segment.size_bytes and number + 1 < len(run):
            return run[number + 1], 0, run[0].line + 1
        if begins:
            return segment, begins, run[0].line + 1
    return run[0], 0, run[0].line


def _newline(segment: Segment) -> int:
    """Where its first newline stands; -1: it has none, or has gone meanwhile."""
    place = 0
    try:
        with segment.path.open("rb") as file:
            while piece := file.read(LOOKED_AT_BYTES):
                if (found := piece.find(b"\n")) >= 0:
                    return place + found
                place += len(piece)
    except FileNotFoundError:
        pass
    return -1


def _write(path: Path, place: int, chunk: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.lseek(handle, place, os.SEEK_SET)
        os.write(handle, chunk)
    finally:
        os.close(handle)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _marks(text: str) -> Iterator[Mark]:
    for line in text.splitlines():
        start, _, at = line.partition(" ")
        yield int(start), float(at) if at else None
