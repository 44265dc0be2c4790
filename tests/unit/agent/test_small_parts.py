"""Capacity, outbox, redaction, verdicts, directories: without processes."""

import asyncio
import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sirdar.agent import events
from sirdar.agent import outbox as outbox_module
from sirdar.agent.attempts import Attempt, Attempts, SharedFile
from sirdar.agent.backoff import Backoff
from sirdar.agent.capacity import Capacity
from sirdar.agent.directories import Directories, remove
from sirdar.agent.executors.base import ProgramEnd
from sirdar.agent.messages import read_messages
from sirdar.agent.outbox import Outbox
from sirdar.agent.outcomes import Limits, judge
from sirdar.agent.redact import redact, safe_length, secrets_of
from sirdar.agent.settings import Settings
from sirdar.agent.stage_in import changed, place
from sirdar.agent.stage_out import COPY_BYTES, Cap, store_stream, tail_of
from sirdar.agent.stage_plan import Plan, Planned
from sirdar.domain.states import AttemptState
from sirdar.wire.agent import Final, Message, Started, Stats, Stream, SyncReply

SETTINGS = Settings(home=Path("/nowhere"), slots=4)
NO_LIMITS = Limits(None, None, None, address_space_only=False)


def final(key: str) -> Final:
    return Final(key=key, reason="ok", message="", ended_at=1.0, reported_at=1.0)


def attempt(key: str) -> Attempt:
    return Attempt(key=key, job="j", inputs={}, secrets={}, token="t")


def test_what_was_handed_over_is_left_though_nobody_has_heard_of_its_start() -> None:
    attempts = Attempts()
    for key in ("waits", "handed", "ended"):
        attempts.add(attempt(key))
    assert attempts.left() == 0
    for key, state in (("handed", AttemptState.STAGING_IN), ("ended", AttemptState.ENDED)):
        one = attempts.by_key[key]
        one.handed_over, one.state = True, state
    assert attempts.left() == 1
    for key in ("handed", "waits"):
        one = attempts.by_key[key]
        one.handed_over, one.state = True, AttemptState.RUNNING
    assert attempts.left() == 2


def test_an_agent_asks_for_what_it_can_start_within_a_second() -> None:
    async def work() -> None:
        attempts = Attempts()
        capacity = Capacity(SETTINGS, attempts)
        assert capacity.wanted() == 8, "unknown: twice its slots"
        capacity.note(0.001)
        assert capacity.wanted() == 256
        capacity = Capacity(SETTINGS, attempts)
        capacity.note(0.5)
        assert capacity.wanted() == 4 + 8
        capacity = Capacity(SETTINGS, attempts)
        capacity.note(100.0)
        assert capacity.wanted() == 4
        for number in range(4):
            attempts.add(attempt(f"j-{number}-0"))
        assert capacity.wanted() == 0, "nothing is hoarded"

    asyncio.run(work())


def test_a_started_fact_is_dropped_when_the_final_comes_first() -> None:
    async def work() -> None:
        outbox = Outbox(started_delay_s=0.05, finals_per_sync=10)
        outbox.add_started(Started(key="a", state="RUNNING", at=1.0))
        outbox.add_started(Started(key="b", state="RUNNING", at=1.0))
        outbox.add_finals([final("a")])
        request = outbox.compose("s")
        assert (request.started, [f.key for f in request.finals]) == ([], ["a"])
        outbox.settle(request, SyncReply(acked=["a"]))
        await asyncio.wait_for(outbox.wait(), 5)
        request = outbox.compose("s")
        assert [started.key for started in request.started] == ["b"] and not request.finals

    asyncio.run(work())


def test_words_take_the_start_with_them() -> None:
    outbox = Outbox(started_delay_s=600.0, finals_per_sync=10)
    for key in ("a", "b"):
        outbox.add_started(Started(key=key, state="RUNNING", at=1.0))
    outbox.add_message(Message(key="a", seq=1, at=2.0, text="half"))
    request = outbox.compose("s")
    assert [started.key for started in request.started] == ["a"]
    outbox.settle(request, SyncReply())
    assert not outbox.compose("s").started and not outbox.has_news()


def test_what_is_not_acknowledged_is_sent_again_and_news_is_not_lost() -> None:
    async def work() -> None:
        outbox = Outbox(started_delay_s=0.0, finals_per_sync=2)
        outbox.add_finals([final("a"), final("b"), final("c")])
        first = outbox.compose("s")
        assert [f.key for f in first.finals] == ["a", "b"]
        outbox.settle(first, SyncReply(acked=["b"]))
        assert [f.key for f in outbox.compose("s").finals] == ["a", "c"]
        outbox.add_message(Message(key="m", seq=1, at=1.0, text="old"))
        sent = outbox.compose("s")
        outbox.add_message(Message(key="m", seq=2, at=2.0, text="new"))
        outbox.settle(sent, SyncReply())
        assert [message.text for message in outbox.compose("s").messages] == ["new"]

    asyncio.run(work())


def test_work_waits_for_company_and_one_that_hurries_takes_all_along() -> None:
    async def work() -> None:
        outbox = Outbox(started_delay_s=60.0, finals_per_sync=10)
        outbox.accept([])  # as after a restart with nothing at hand
        outbox.add_finals([final("a")], within_s=60.0)
        assert not outbox.has_news() and not outbox.is_empty()
        waiting = asyncio.create_task(outbox.wait())
        await asyncio.sleep(0)
        outbox.accept(["b"], within_s=60.0)
        outbox.add_finals([final("c")])
        await asyncio.wait_for(waiting, 5)
        request = outbox.compose("s")
        assert ([one.key for one in request.finals], request.accepts) == (["a", "c"], ["b"])
        outbox.add_finals([final("d")], within_s=60.0)  # while the call is under way
        outbox.settle(request, SyncReply(acked=["a", "c"]))
        assert not outbox.has_news() and not outbox.is_empty()
        outbox.unsent()
        assert outbox.has_news()

    asyncio.run(work())


def test_what_was_due_and_then_dropped_does_not_silence_what_comes_after() -> None:
    async def work() -> None:
        outbox = Outbox(started_delay_s=60.0, finals_per_sync=10)
        outbox.accept(["a"])
        outbox.compose("s")
        outbox.unsent()  # the call was cut, and is due again
        outbox.drop(["a"])  # and the server, heard at last, has given it to somebody else
        waiting = asyncio.create_task(outbox.wait())
        await asyncio.sleep(0)
        outbox.accept(["b"])
        await asyncio.wait_for(waiting, 5)
        assert outbox.compose("s").accepts == ["b"]

    asyncio.run(work())


def test_a_call_takes_no_more_files_than_it_may() -> None:
    outbox = Outbox(started_delay_s=0.0, finals_per_sync=10)
    large = {"ab" * 32: "x" * (outbox_module.CALL_BYTES // 2 - 2000)}
    outbox.add_finals([final(key).model_copy(update={"files": large}) for key in "abc"])
    request = outbox.compose("s")
    assert [one.key for one in request.finals] == ["a", "b"]
    outbox.settle(request, SyncReply(acked=["a", "b"]))
    assert outbox.has_news() and [one.key for one in outbox.compose("s").finals] == ["c"]


@pytest.mark.parametrize(
    "parts",
    [
        {"stdout": Stream(size=16384, text="\x01" * 16384), "stderr": Stream(size=16384, text="line\n" * 3276)},
        {"outputs": {"text": "\u044f" * 16384, "more": {"list": [0.1] * 5000}}},
        {"files": {"ab" * 32: "x" * 87000}, "message": '"' * 2000},
        {"stats": Stats(curve=[(1234567.123456, 0.123456789, 123456789)] * 600), "metrics": {"m" * 200: 0.1}},
    ],
)
def test_a_call_of_many_ends_stays_below_what_a_server_takes(parts: dict[str, Any]) -> None:
    outbox = Outbox(started_delay_s=0.0, finals_per_sync=500)
    outbox.add_finals([final(f"job-{number}-1").model_copy(update=parts) for number in range(500)])
    total = 0
    while outbox.finals:
        request = outbox.compose("s")
        assert len(request.model_dump_json(exclude_defaults=True)) <= outbox_module.CALL_BYTES + 200
        total += len(request.finals)
        outbox.settle(request, SyncReply(acked=[one.key for one in request.finals]))
    assert total == 500


def test_ends_that_the_server_does_not_take_go_in_smaller_calls_and_at_last_without_their_values() -> None:
    outbox = Outbox(started_delay_s=0.0, finals_per_sync=500)
    outbox.add_finals([final(key).model_copy(update={"outputs": {"v": "x" * 100_000}}) for key in "abcd"])
    asked = []
    for _ in range(3):
        request = outbox.compose("s")
        asked.append([one.key for one in request.finals])
        outbox.unsent()
        outbox.too_large(request)
    assert asked == [["a", "b", "c", "d"], ["a", "b"], ["a"]]
    (without,) = outbox.compose("s").finals[:1]
    assert (without.key, without.reason, without.outputs) == ("a", "stage_out", {})
    assert "outputs of type file" in without.message and outbox.finals["b"].outputs


def test_words_that_do_not_fit_give_way_to_ends_and_no_end_is_blamed_for_them() -> None:
    outbox = Outbox(started_delay_s=0.0, finals_per_sync=500)
    for number in range(256):
        outbox.add_message(Message(key=f"m-{number}-1", seq=1, at=1.0, text="x" * 16000))
    outbox.add_finals([final("a"), final("b")])
    most, ended, said = 1 << 20, [], 0
    for _ in range(100):
        if outbox.is_empty():
            break
        request = outbox.compose("s")
        if len(request.model_dump_json(exclude_defaults=True)) > most:
            outbox.unsent()
            outbox.too_large(request)
            continue
        ended += [(one.key, one.reason) for one in request.finals]
        said += len(request.messages)
        outbox.settle(request, SyncReply(acked=[one.key for one in request.finals]))
    assert (ended, said) == ([("a", "ok"), ("b", "ok")], 256)


def test_ends_wait_only_while_their_job_has_more_to_start_here() -> None:
    async def work() -> None:
        attempts = Attempts()
        capacity = Capacity(SETTINGS, attempts)
        attempts.add(attempt("j-0-0"))
        attempts.by_key["j-0-0"].state = AttemptState.ENDED
        assert capacity.spare_s() == 0, "nothing is known of how long tasks take"
        capacity.note(0.4)
        assert capacity.spare_s() == 0 and not attempts.waits("j"), "nothing is at hand"
        for number in range(1, 5):
            attempts.add(attempt(f"j-{number}-0"))
            attempts.by_key[f"j-{number}-0"].state = AttemptState.ACCEPTED
        assert 0 < capacity.spare_s() <= SETTINGS.company_s
        assert attempts.waits("j") and not attempts.waits("k")

    asyncio.run(work())


def test_backoff_grows_with_jitter_up_to_its_bound() -> None:
    backoff = Backoff(Settings(home=Path(), period_scale=0.5))
    waits = [backoff.next_s() for _ in range(50)]
    assert all(0.5 <= wait <= 30 for wait in waits) and max(waits) > 10 and len(set(waits)) > 10


def test_secrets_are_replaced_length_for_length_also_across_pieces() -> None:
    secrets = secrets_of(["hunter22", "abc", "longer-secret"])
    assert redact(b"x hunter22 abc longer-secret", secrets) == b"x ******** abc *************"
    raw = b"some text and then hunt"
    assert safe_length(raw, secrets) <= len(raw) - 4
    assert safe_length(b"whole line\n", secrets) == 11


@pytest.mark.parametrize(
    ("values", "raw", "hidden"),
    [
        (["password", "password123"], b"a password123 password12", b"a *********** ********12"),
        (["xyzxy"], b"xyzxyzxyz", b"********z"),  # one begins within another
        (["0000"], b"00000 000", b"***** 000"),
        (["abcd", "cdefg"], b"abcdefg", b"*******"),
        (["one\ntwo\n"], b"one\n one\ntwo\n", b"one\n ********"),
    ],
)
def test_what_is_sent_piece_by_piece_is_hidden_as_the_whole_is(values: list[str], raw: bytes, hidden: bytes) -> None:
    secrets = secrets_of(values)
    assert redact(raw, secrets) == hidden
    for stop in range(len(raw) + 1):
        safe = safe_length(raw[:stop], secrets)
        assert redact(raw[:stop], secrets)[:safe] == hidden[:safe]
    assert safe_length(raw + b"\nno more", secrets) == len(raw) + 8


@pytest.mark.parametrize("before", [1, 3, 5, 11])
def test_a_long_stream_s_secrets_are_hidden_at_the_borders_of_pieces(tmp_path: Path, before: int) -> None:
    """Also where head and tail begin and end amid one."""
    secret, stored = b"one\ntwo\nfour", []

    async def store(path: Path, *, final: bool) -> tuple[str, int]:
        stored.append(await asyncio.to_thread(path.read_bytes))
        return "sha256", len(stored[-1])

    filling = b"line of it\n" * (COPY_BYTES // 11 + 1)
    whole = (filling[: COPY_BYTES - before] + secret) * 3 + b"one\ntwo\n"
    hidden = whole.replace(secret, b"*" * len(secret))
    path = tmp_path / "stdout"
    path.write_bytes(whole)
    blobs = cast(Any, SimpleNamespace(store=store))
    for cap in (len(whole), COPY_BYTES, len(whole) - COPY_BYTES):
        asyncio.run(store_stream(path, Cap(cap, COPY_BYTES + 9, secrets_of([secret.decode()])), blobs))
        assert stored[-1].startswith(hidden[:cap]) and stored[-1].endswith(hidden[-COPY_BYTES - 9 :])
    assert stored[0] == hidden


def test_only_what_may_become_a_secret_is_held_back() -> None:
    secrets = secrets_of(["-----BEGIN\nkey\n-----END", "-begin"])
    for raw, held in [(b"text", 0), (b"text\n", 0), (b"x-----BEGIN\nke", 13), (b"-----BEGINNING", 0), (b"a------", 5)]:
        assert safe_length(raw, secrets) == len(raw) - held
    assert safe_length(b"-----BEGIN\n", []) == 11


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (ProgramEnd("k", 0), "ok"),
        (ProgramEnd("k", -11), "signal"),
        (ProgramEnd("k", lost=True), "porter_lost"),
        (ProgramEnd("k", error_number=errno.EAGAIN, error_at="system"), "start"),
        (ProgramEnd("k", error_number=errno.ENOENT, error_at="directory"), "start"),
        (ProgramEnd("k", error_number=errno.ENOENT, error_at="program"), "command_not_found"),
        (ProgramEnd("k", -15, by="time"), "time_limit"),
        (ProgramEnd("k", -9, out_of_memory=True), "out_of_memory"),
    ],
)
def test_verdicts(end: ProgramEnd, reason: str) -> None:
    assert judge(end, NO_LIMITS, cancelled=False, disk_exceeded=False, stderr_tail="").reason == reason


def test_a_program_that_ended_before_the_cancel_came_ended_by_itself() -> None:
    assert (
        judge(ProgramEnd("k", 3), NO_LIMITS, cancelled=True, disk_exceeded=False, stderr_tail="").reason == "exit_code"
    )


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("", ""),
        ("warning\nValueError: no\n\n  \n", ": ValueError: no"),
        ("step 1\rstep 2\rbad", ": bad"),
        ("\x1b[31mred\x1b[0m\ttab\x00\n", ": red tab"),
        ("x" * 300, ": " + "x" * 199 + "…"),
    ],
)
def test_a_verdict_repeats_what_the_program_said_last(stderr: str, said: str) -> None:
    verdict = judge(ProgramEnd("k", 1), NO_LIMITS, cancelled=False, disk_exceeded=False, stderr_tail=stderr)
    assert verdict.message == "the program ended with exit code 1" + said


def test_the_end_of_a_long_stream_holds_no_part_of_a_secret(tmp_path: Path) -> None:
    stream = tmp_path / "stderr"
    stream.write_bytes(b"a" * 5000 + b"\nbegin S3CRET\nLINES end\nlast\n")
    assert tail_of(stream, [b"S3CRET\nLINES"]).endswith("end\nlast\n")
    assert "LINES" not in tail_of(stream, [b"S3CRET\nLINES"], count_bytes=16)
    assert tail_of(tmp_path / "none", []) == ""


def test_directories_are_emptied_and_used_again(tmp_path: Path) -> None:
    pool = Directories(tmp_path)
    folder = pool.take()
    (folder / "dir" / "sub").mkdir()
    (folder / "dir" / "file").write_text("x")
    (folder / "messages").write_text("x")
    (folder / "stdout").write_text("secret")
    assert not pool.give(folder), "a directory in it takes longer"
    pool.give_slowly(folder)
    again = pool.take()
    assert again == folder and list((again / "dir").iterdir()) == [] and not (again / "messages").exists()
    assert pool.take() != folder
    (again / "dir" / "file").write_text("x")
    (again / "stdout").write_text("secret")
    assert pool.give(again) and pool.take() == again
    assert list((again / "dir").iterdir()) == [] and (again / "stdout").read_bytes() == b""


def test_what_a_program_protects_from_its_owner_is_removed_too(tmp_path: Path) -> None:
    deep = tmp_path / "slot/dir/a/b"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    for folder in (deep, deep.parent, deep.parent.parent):
        folder.chmod(0o500)
    remove(tmp_path / "slot")
    assert not (tmp_path / "slot").exists()


def test_message_files_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "messages"
    one = attempt("k")
    path.write_bytes(
        b'{"text": "a", "progress": 7}\nplain words\n{"metrics": {"x": 1, "y": "no", "z": NaN}}\n{"text": "unfin'
    )
    assert read_messages(one, str(path))
    assert (one.said.text, one.said.progress, one.said.metrics) == ("plain words", 1.0, {"x": 1.0})
    with path.open("ab") as file:
        file.write(b'ished"}\n[1]\n')
    assert read_messages(one, str(path))
    assert one.said.text == "[1]" and not read_messages(one, str(path))


def test_many_small_inputs_are_linked_and_few_are_copied(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"x" * 100)
    files = [Planned(f"d/{number}", "0" * 64, 100) for number in range(501)]
    own = Planned("own", "0" * 64, 100, writable=True)
    for name, planned, shared in (("many", [*files, own], 501), ("few", [*files[:3], own], 0)):
        target = tmp_path / name
        target.mkdir()
        assert len(place(Plan(planned), target, lambda _: blob, link_over_bytes=1 << 20)) == shared
        assert (target / "d/0").read_bytes() == b"x" * 100
        assert (target / "own").stat().st_nlink == 1
        found = [SharedFile("d/0", "0" * 64, 100, blob.stat().st_mtime_ns)]
        assert changed(found, target) == [] or not shared


def test_a_log_that_has_grown_large_is_put_aside_while_the_agent_lives(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(events, "ROTATE_OVER_BYTES", 100)
    sink = events._Sink(tmp_path / "agent.log", None)
    for number in range(5):
        sink.write(f"{number}" * 60 + "\n")
    before, now = ((tmp_path / name).read_text().split() for name in ("agent.log.1", "agent.log"))
    assert [line[0] for line in (*before, *now)] == ["2", "3", "4"]
    sink._file.close()
