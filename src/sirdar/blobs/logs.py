"""What programs write, while they run: one file for each stream of an attempt, appended by offset, so that a resend is harmless."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sirdar.domain.ids import AttemptKey

STREAMS = ("stdout", "stderr")


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
                if path.name.split("-", 1)[0] in wanted:
                    path.unlink(missing_ok=True)
