import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sirdar.agent import journal as journal_module
from sirdar.agent.journal import Journal, JournalBroken, encode, replay


def test_what_is_committed_is_replayed_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal"

    journal = Journal(path)
    journal.note([{"t": "a", "n": 0}])
    for n in range(100):
        journal.write([{"t": "b", "n": n}])
    journal.close()
    assert [record["n"] for record in replay(path)] == [0, *range(100)]


@pytest.mark.parametrize("torn", [b"0", b'deadbeef {"t":"x"}', b"12345678 {", b"\0" * 20])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(encode([{"t": "a"}, {"t": "b"}]) + torn)
    assert [record["t"] for record in replay(path)] == ["a", "b"]
    with path.open("ab") as file:
        file.write(encode([{"t": "c"}]))
    assert [record["t"] for record in replay(path)] == ["a", "b", "c"]


def test_a_damaged_line_in_the_middle_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    raw = bytearray(encode([{"t": "a"}, {"t": "b"}, {"t": "c"}]))
    raw[raw.index(b'"b"') + 1] = ord("x")
    path.write_bytes(raw)
    assert [record["t"] for record in replay(path)] == ["a", "c"]


def test_compaction_keeps_what_lives_and_what_comes_meanwhile(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "journal"
    monkeypatch.setattr(journal_module, "COMPACT_OVER_BYTES", 1000)
    journal = Journal(path)
    journal.write([{"t": "dead", "n": n} for n in range(1000)])
    journal.compact(lambda: [{"t": "live", "n": 0}])
    for n in range(50):
        journal.write([{"t": "late", "n": n}])
    _await(lambda: path.stat().st_size < 5000)
    journal.write([{"t": "later", "n": 0}])
    journal.close()
    records = [(record["t"], record["n"]) for record in replay(path)]
    assert records == [("live", 0), *(("late", n) for n in range(50)), ("later", 0)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_and_leaves_no_half_record(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "journal"
    real = os.write
    journal = Journal(path)
    journal.write([{"t": "a"}])

    def full(fd: int, raw: bytes) -> int:
        real(fd, bytes(raw)[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(JournalBroken, match="No space left"):
        journal.write([{"t": "b"}])
    journal.note([{"t": "b"}])
    monkeypatch.setattr(os, "write", real)
    journal.write([{"t": "c"}])
    journal.close()
    assert [record["t"] for record in replay(path)] == ["a", "c"]


@pytest.mark.parametrize("sync_first", [False, True])
def test_what_is_written_comes_to_the_disk(tmp_path: Path, monkeypatch, sync_first: bool) -> None:  # type: ignore[no-untyped-def]
    synced: list[int] = []
    monkeypatch.setattr(journal_module, "_sync", synced.append)
    journal = Journal(tmp_path / "journal", sync_first=sync_first)
    journal.write([{"t": "a"}])
    assert len(synced) == sync_first
    _await(lambda: len(synced) == 1 + sync_first)
    journal.close()


def test_a_disk_that_refuses_is_tried_again(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """As a disk on the network does that is full: it says so only when it is asked to keep what was written."""

    def refuse(fd: int) -> None:
        raise OSError(122, "Disk quota exceeded")

    real = journal_module._sync
    monkeypatch.setattr(journal_module, "SYNC_AGAIN_S", 0.01)
    monkeypatch.setattr(journal_module, "_sync", refuse)
    journal = Journal(tmp_path / "journal")
    journal.write([{"t": "a"}])
    _await(lambda: journal._fault is not None)
    with pytest.raises(JournalBroken, match="quota"):
        journal.write([{"t": "b"}])
    monkeypatch.setattr(journal_module, "_sync", real)
    _await(lambda: journal._fault is None)
    journal.write([{"t": "c"}])
    monkeypatch.setattr(journal_module, "_sync", refuse)
    journal.close()  # ends all the same
    assert [record["t"] for record in replay(tmp_path / "journal")] == ["a", "c"]


def _await(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
