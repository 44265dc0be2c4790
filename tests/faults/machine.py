"""A machine of the tests' own: a small disk that can be filled, a boot that can be another, a clock that can jump."""

import contextlib
import os
import struct
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BOOT_ID = "/proc/sys/kernel/random/boot_id"
MAY_MOUNT = sys.platform == "linux" and os.geteuid() == 0

# Every clock of the day in the process runs as far ahead as the file says, at once; how long things take is not touched.
JUMPY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static const volatile double *ahead;
static int (*gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SIRDAR_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (file >= 0) ahead = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
}

int clock_gettime(clockid_t which, struct timespec *at) {
    if (!gettime) begin();
    int failed = gettime(which, at);
    if (!failed && ahead && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) at->tv_sec += (time_t)*ahead;
    return failed;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec, at->tv_usec = now.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of the processes that are started with its environment."""

    library: Path
    ahead: Path

    @classmethod
    def make(cls, place: Path, cc: str) -> "Clock":
        source, library, ahead = place / "clock.c", place / "clock.so", place / "ahead"
        source.write_text(JUMPY)
        subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        ahead.write_bytes(struct.pack("d", 0.0))
        return cls(library, ahead)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "SIRDAR_TEST_CLOCK": str(self.ahead)}

    def set_ahead(self, seconds: float) -> None:
        """How far it is ahead of the right time from now on; less than nothing: behind it."""
        with self.ahead.open("r+b") as file:
            file.write(struct.pack("d", seconds))


@dataclass(frozen=True, slots=True)
class Boot:
    """Which run of the machine it is, for the processes that are started ``inside`` it."""

    file: Path

    @property
    def inside(self) -> tuple[str, ...]:
        """The process keeps its id; only what it sees at one path is its own."""
        words = f'mount --bind {self.file} {BOOT_ID} && exec "$@"'
        return ("unshare", "--mount", "sh", "-c", words, "sh")

    def next(self) -> None:
        self.file.write_text(f"{uuid.uuid4()}\n")


@contextlib.contextmanager
def small_disk(where: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own at that path. Raises CalledProcessError where this root may not mount."""
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", where], check=True)


@contextlib.contextmanager
def filled(where: Path) -> Iterator[Path]:
    """Not a byte of room."""
    filler = where / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        size = 1 << 20
        while True:
            try:
                file.write(b"x" * size)
            except OSError:
                if size == 1:
                    break
                size //= 2
    try:
        yield filler
    finally:
        filler.unlink(missing_ok=True)
