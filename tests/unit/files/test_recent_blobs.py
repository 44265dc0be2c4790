"""Small blobs put together: whole after any death, on disk without the journal later, and nothing left behind."""

import asyncio
import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sirdar.blobs import recent
from sirdar.blobs.local import LocalBlobs
from sirdar.domain.problems import Problem

CONTENTS = {hashlib.sha256(content).hexdigest(): content for content in (b"one", b"two", os.urandom(9000))}
PUTS = (
    "import asyncio, hashlib, sys; from pathlib import Path; from sirdar.blobs.local import LocalBlobs;"
    "made = [bytes.fromhex(word) for word in sys.argv[2:]];"
    "asyncio.run(LocalBlobs(Path(sys.argv[1])).put_all({hashlib.sha256(one).hexdigest(): one for one in made}));"
    "print('there', flush=True); sys.stdin.read()"
)


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[LocalBlobs]:
    made = LocalBlobs(tmp_path / "blobs")
    yield made
    made.close()
    assert list((made.root / "recent").iterdir()) == []


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The root of a store whose process was killed after it had put blobs."""
    root = tmp_path / "killed"
    words = [sys.executable, "-c", PUTS, str(root), *[content.hex() for content in CONTENTS.values()]]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"there\n"
        LocalBlobs(root).close()
        assert len(list((root / "recent").glob("*.log"))) == 1, "the journal of a living process was taken away"
        process.send_signal(signal.SIGKILL)
    return root


def open_files() -> int:
    """Of this process, where the system tells; else 0."""
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.is_dir() else 0


def content_of(blobs: LocalBlobs) -> dict[str, bytes]:
    return {sha256: blobs.path(sha256).read_bytes() for sha256 in CONTENTS}


@pytest.mark.parametrize("lost", ["nothing", "empty", "half", "gone"])
def test_after_a_power_failure_the_journal_makes_blobs_whole(killed: Path, lost: str) -> None:
    for sha256, content in CONTENTS.items():
        place = killed / sha256[:2] / sha256
        place.chmod(0o600)
        if lost == "gone":
            place.unlink()
        elif lost != "nothing":
            place.write_bytes(content[: len(content) // 2] if lost == "half" else b"")
    blobs = LocalBlobs(killed)
    try:
        assert content_of(blobs) == CONTENTS
        assert list((killed / "recent").iterdir()) == []
    finally:
        blobs.close()


def test_a_torn_end_of_a_journal_is_no_blob(killed: Path) -> None:
    (journal,) = (killed / "recent").glob("*.log")
    journal.write_bytes(journal.read_bytes()[:-1])
    last = list(CONTENTS)[-1]
    (killed / last[:2] / last).unlink()
    blobs = LocalBlobs(killed)
    try:
        assert not blobs.exists(last)
        assert all(blobs.exists(sha256) for sha256 in list(CONTENTS)[:-1])
    finally:
        blobs.close()


def test_a_journal_that_has_grown_is_given_up(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "JOURNAL_BYTES", 100)
    asyncio.run(blobs.put_all(CONTENTS))
    asyncio.run(blobs.put_all({hashlib.sha256(b"small").hexdigest(): b"small"}))
    blobs._settler.submit(lambda: None).result()
    (journal,) = (blobs.root / "recent").glob("*.log")
    assert [content for _, content in recent._records(journal.read_bytes())] == [b"small"]
    assert content_of(blobs) == CONTENTS


def test_what_was_removed_meanwhile_is_no_fault(blobs: LocalBlobs) -> None:
    asyncio.run(blobs.put_all(CONTENTS))
    assert blobs.discard(CONTENTS, older_than=float("inf")) == len(CONTENTS)


def test_a_full_disk_leaves_the_journal_whole(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def full(handle: int, raw: bytes) -> int:
        if len(raw) < 3000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, raw[:3000])

    first = {hashlib.sha256(b"first").hexdigest(): b"first"}
    asyncio.run(blobs.put_all(first))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(Problem) as refused:
            asyncio.run(blobs.put_all(CONTENTS))
    assert refused.value.code == "disk_full"
    asyncio.run(blobs.put_all(CONTENTS))
    assert content_of(blobs) == CONTENTS
    (journal,) = (blobs.root / "recent").glob("*.log")
    assert {digest for digest, _ in recent._records(journal.read_bytes())} == CONTENTS.keys() | first.keys()


def test_a_journal_that_a_starting_server_took_for_a_dead_ones_is_not_used(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = recent.lock, 0

    def late(handle: int) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:  # another process starts between the making of the file and its lock
            LocalBlobs(blobs.root).close()
        return real(handle)

    monkeypatch.setattr(recent, "lock", late)
    asyncio.run(blobs.put_all(CONTENTS))
    (journal,) = (blobs.root / "recent").glob("*.log")
    assert {digest for digest, _ in recent._records(journal.read_bytes())} == CONTENTS.keys()


def test_nothing_is_written_behind_a_torn_record(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {hashlib.sha256(b"first").hexdigest(): b"first"}
    asyncio.run(blobs.put_all(first))

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", broken)
        patched.setattr(os, "fdatasync", broken, raising=False)
        with pytest.raises(OSError, match="Input/output"):
            asyncio.run(blobs.put_all(CONTENTS))
    asyncio.run(blobs.put_all(CONTENTS))
    found = [recent._records(journal.read_bytes()) for journal in (blobs.root / "recent").glob("*.log")]
    assert any({digest for digest, _ in one} == CONTENTS.keys() for one in found)


def test_what_does_not_reach_the_disk_stays_in_its_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    handles = open_files()
    with monkeypatch.context() as patched:
        patched.setattr(recent, "JOURNAL_BYTES", 100)
        patched.setattr(recent, "_sync_file_system", lambda root: (_ for _ in ()).throw(OSError(errno.EIO, "EIO")))
        for sha256, content in CONTENTS.items():
            asyncio.run(blobs.put_all({sha256: content * 100}))
        blobs.close()
        left = list((blobs.root / "recent").glob("*.log"))
    assert left and open_files() <= handles
    again = LocalBlobs(blobs.root)
    again.close()
    assert list((blobs.root / "recent").iterdir()) == []


def test_a_server_without_room_starts_and_says_nothing_false(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torn, *_ = CONTENTS
    (killed / torn[:2] / torn).chmod(0o600)
    (killed / torn[:2] / torn).write_bytes(b"")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(recent, "_write", full)
        blobs = LocalBlobs(killed)
        assert not blobs.exists(torn) and len(list((killed / "recent").glob("*.log"))) == 1
        blobs.close()
    with_room = LocalBlobs(killed)
    assert content_of(with_room) == CONTENTS
    with_room.close()


def test_a_settled_journal_may_be_gone_already(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(blobs.put_all(CONTENTS))
    real = recent._Journal.close

    def slow(journal: recent._Journal) -> None:
        real(journal)
        LocalBlobs(blobs.root).close()  # starts between the unlocking and the removal, and takes it for a dead one's

    with monkeypatch.context() as patched:
        patched.setattr(recent._Journal, "close", slow)
        blobs._recent.close()
    assert list((blobs.root / "recent").iterdir()) == []


def test_a_journal_of_very_many_is_brought_to_the_disk_at_once(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one they would hold up the start of a server for minutes."""
    calls: list[str] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("one") or real(handle))
    blobs = LocalBlobs(killed)
    blobs.close()
    if sys.platform == "linux":
        assert calls == []
    assert content_of(blobs) == CONTENTS


@pytest.mark.slow
def test_small_blobs_of_others_and_reads_do_not_wait_for_a_long_list(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, order = threading.Event(), list[str]()
    real = recent.Recent.put

    def slow(self: recent.Recent, contents: dict[str, bytes]) -> None:
        assert held.wait(30)
        order.append("one" if len(contents) == 1 else "many")
        real(self, contents)

    monkeypatch.setattr(recent.Recent, "put", slow)
    many = {hashlib.sha256(text).hexdigest(): text for text in (b"%d" % number for number in range(1000))}

    async def work() -> None:
        long = [asyncio.create_task(blobs.put_all(many)) for _ in range(6)]
        await asyncio.sleep(0)
        one = asyncio.create_task(blobs.put_all({hashlib.sha256(b"x").hexdigest(): b"x"}))
        assert (await asyncio.wait_for(blobs.in_thread(lambda: "read"), 30)) == "read"
        held.set()
        await asyncio.gather(*long, one)

    asyncio.run(work())
    assert order.index("one") <= 7 and order.count("many") == 24
