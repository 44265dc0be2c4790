"""``blobs.logs``: what a running program wrote, its beginning and its newest part, with true places and lines; when bytes came."""

from pathlib import Path

import pytest

from sirdar.blobs import logs
from sirdar.blobs.logs import NOTE, LogStore
from sirdar.domain.ids import AttemptKey, JobId

KEY = AttemptKey(JobId("a" * 16), 0, 1)
WHOLE = b"".join(b"line %d of it\n" % number for number in range(5000))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogStore:
    monkeypatch.setattr(logs, "SEGMENT_BYTES", 2000)
    return LogStore(tmp_path)


def send(store: LogStore, start: int, stop: int) -> int:
    return store.append_newest(KEY, "stdout", start, WHOLE.count(b"\n", 0, start), WHOLE[start:stop])


def text_of(store: LogStore) -> bytes:
    content, text = store.read_live(KEY, "stdout", 0, 10**9)
    assert len(content) == text.size
    return content


def test_what_follows_the_head_without_a_gap_is_the_whole_text(store: LogStore) -> None:
    assert store.append(KEY, "stdout", 0, WHOLE[:1000], 1000) == 1000
    assert store.append(KEY, "stdout", 1000, b"more", 1000) == 1000  # nothing is taken any more
    for start in range(1000, 4000, 500):
        assert send(store, start, start + 500) == start + 500
        assert text_of(store) == WHOLE[: start + 500]
    assert store.live(KEY, "stdout").omitted == 0
    assert store.read_live(KEY, "stdout", 990, 20)[0] == WHOLE[990:1010]
    assert store.read_live(KEY, "stdout", -30, 20)[0] == WHOLE[3970:3990]


@pytest.mark.parametrize("head", [1000, WHOLE.find(b"\n", 1000) + 1])
def test_the_newest_part_is_kept_and_says_where_it_begins(store: LogStore, head: int) -> None:
    store.append(KEY, "stdout", 0, WHOLE[:head], head)
    for start in range(head, 30_000, 700):
        send(store, start, start + 700)
        send(store, start, start + 700)  # a resend is harmless
    end, text = start + 700, store.live(KEY, "stdout")
    shown, note = text_of(store), NOTE.format(omitted=text.omitted).encode()
    before, _, behind = shown.partition(note)
    assert before == WHOLE[:head] + (b"" if WHOLE[head - 1 : head] == b"\n" else b"\n")
    assert WHOLE[:end].endswith(behind) and 2000 <= len(behind) <= 4 * 2000
    assert text.omitted == end - head - len(behind)
    assert text.gap_at == len(before) and text.tail_line == WHOLE.count(b"\n", 0, end - len(behind))
    assert behind.startswith(b"line %d of it\n" % text.tail_line), "a whole line, and its number"


def test_of_a_line_without_a_beginning_nothing_is_shown(store: LogStore) -> None:
    """However long it is; where nothing else is known, its newest part is better than nothing."""
    store.append(KEY, "stdout", 0, b"head\n", 5)
    place, expected = 5, b""
    for piece, follows in (
        (b"a\n" * 1500, b"a\n" * 1500),  # a segment for each: joined, and the older ones go
        (b"first" * 500, b"a\n" * 1500 + b"first" * 500),
        (b"second" * 500, b"first" * 500 + b"second" * 500),  # one endless line
        (b"\nb\nc" * 600, b"b\nc" + b"\nb\nc" * 599),
    ):
        store.append_newest(KEY, "stdout", place, 1, piece)
        place, expected = place + len(piece), follows
        assert text_of(store).endswith(expected)
        gap = place - len(expected) - 5
        assert store.live(KEY, "stdout").omitted == gap
        if gap:
            assert text_of(store) == b"head\n" + NOTE.format(omitted=gap).encode() + expected
    assert store.read_live(KEY, "stdout", -5, 4)[0] == expected[-5:-1]


def test_a_jump_forgets_what_was_newest(store: LogStore) -> None:
    store.append(KEY, "stdout", 0, WHOLE[:100], 100)
    send(store, 100, 500)
    send(store, 9000, 9100)
    assert text_of(store).endswith(b" bytes left out here ...]\n" + WHOLE[9000:9100])
    assert store.live(KEY, "stdout").omitted == 8900
    assert len(list((store.root / "aa").glob("*.newest/*"))) == 1


@pytest.mark.parametrize("resent", [(1000, 3000), (1000, 1500), (2500, 4500)])
def test_a_resend_of_an_older_part_loses_nothing(store: LogStore, resent: tuple[int, int]) -> None:
    store.append(KEY, "stdout", 0, WHOLE[:1000], 1000)
    for start in range(1000, 5000, 2000):
        send(store, start, start + 2000)
    assert send(store, *resent) == 5000
    assert text_of(store) == WHOLE[:5000] and store.live(KEY, "stdout").omitted == 0


def test_going_on_from_where_an_older_part_began_keeps_what_was_written(store: LogStore) -> None:
    """Such as an agent that was restarted, and reads a stream anew from where its head ends."""
    store.append(KEY, "stdout", 0, WHOLE[:1000], 1000)
    send(store, 1000, 1200)
    directory = next((store.root / "aa").glob("*.newest"))
    (directory / f"9000-{WHOLE.count(10, 0, 9000)}").write_bytes(WHOLE[9000:9100])
    assert send(store, 1000, 1300) == 1300
    assert text_of(store) == WHOLE[:1300] and len(list(directory.iterdir())) == 1


def test_a_hole_before_the_newest_part_is_told(store: LogStore) -> None:
    """Between writing what stands apart and removing what was newest, somebody reads."""
    store.append(KEY, "stdout", 0, WHOLE[:1000], 1000)
    send(store, 1000, 3000)
    directory = next((store.root / "aa").glob("*.newest"))
    (directory / f"9000-{WHOLE.count(10, 0, 9000)}").write_bytes(WHOLE[9000:9100])
    text = store.live(KEY, "stdout")
    assert text.omitted == 8000 and text.tail_line == WHOLE.count(b"\n", 0, 9000)
    assert text_of(store).endswith(b" bytes left out here ...]\n" + WHOLE[9000:9100])
    send(store, 9100, 9200)
    assert text_of(store).endswith(b" bytes left out here ...]\n" + WHOLE[9000:9200])


def test_times_are_written_down_and_thinned(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.notes(KEY, "stdout") == []
    store.append(KEY, "stdout", 0, b"x", 100)
    store.note(KEY, "stdout", [(0, 10.5), (40, None)])
    store.note(KEY, "stdout", [(0, 10.5), (30, 11.0)])  # a resend
    assert store.notes(KEY, "stdout") == [(0, 10.5), (30, 11.0), (40, None)]
    monkeypatch.setattr(logs, "SEEN_BYTES", 200)
    for number in range(100):
        store.note(KEY, "stdout", [(100 + number, float(number))])
    kept = store.notes(KEY, "stdout")
    assert 5 < len(kept) < 30 and kept[0] == (0, 10.5)
    assert all(at == start - 100 for start, at in kept if start >= 100)  # none is made up


def test_all_of_it_goes_with_its_job(store: LogStore) -> None:
    store.append(KEY, "stdout", 0, b"x" * 10, 10)
    send(store, 10, 50)
    store.note(KEY, "stdout", [(0, 1.0)])
    assert store.jobs() == {KEY.job}
    store.remove_jobs([KEY.job])
    assert not [path for path in store.root.rglob("*") if path.parent != store.root]
    assert store.read_live(KEY, "stdout", 0, 10)[1].size == 0
