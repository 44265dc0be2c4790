import asyncio
import os
from pathlib import Path

import pytest

from sirdar.agent import journal as journal_module
from sirdar.agent.journal import Journal, JournalBroken, encode, replay


def run(work) -> None:  # type: ignore[no-untyped-def]
    asyncio.run(work())


def test_what_is_committed_is_replayed_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal"

    async def work() -> None:
        journal = Journal(path)
        journal.append([{"t": "a", "n": 0}])
        await asyncio.gather(*(journal.commit([{"t": "b", "n": n}]) for n in range(100)))
        journal.close()

    run(work)
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

    async def work() -> None:
        journal = Journal(path)
        await journal.commit([{"t": "dead", "n": n} for n in range(1000)])
        commits = [asyncio.ensure_future(journal.commit([{"t": "late", "n": n}])) for n in range(5)]
        await asyncio.sleep(0)
        journal.compact(lambda: [{"t": "live", "n": 0}])
        await asyncio.gather(*commits)
        await journal.commit([{"t": "later", "n": 0}])
        journal.close()

    run(work)
    records = replay(path)
    assert "dead" not in {record["t"] for record in records}
    assert {(record["t"], record["n"]) for record in records} == {
        ("live", 0), ("later", 0), *(("late", n) for n in range(5)),
    }  # fmt: skip


def test_a_full_disk_is_told_and_leaves_no_half_record(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "journal"
    real = os.write

    async def work() -> None:
        journal = Journal(path)
        await journal.commit([{"t": "a"}])

        def full(fd: int, raw: bytes) -> int:
            real(fd, bytes(raw)[:5])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(JournalBroken, match="No space left"):
            await journal.commit([{"t": "b"}])
        monkeypatch.setattr(os, "write", real)
        await journal.commit([{"t": "c"}])
        journal.close()

    run(work)
    assert [record["t"] for record in replay(path)] == ["a", "c"]
