"""Which gpus which attempt has; and what the journal and the cache know for the sake of placement."""

import json
from pathlib import Path

import pytest

from sirdar.agent.attempts import Attempt, Attempts
from sirdar.agent.cache import TOLD_CHARS, TOLD_FROM_BYTES, TOLD_MOST, BlobCache
from sirdar.agent.gpus import Gpus
from sirdar.agent.journal import Record
from sirdar.agent.outbox import Outbox
from sirdar.agent.probe import gpu_ids
from sirdar.agent.records import given_back_record, gone_record, live_records, offers_record, recover, run_record
from sirdar.agent.seal import Seal
from sirdar.wire.agent import SyncReply


def test_no_two_attempts_have_the_same_and_each_sees_its_own() -> None:
    gpus = Gpus()
    assert gpus.take("a", 1) is None and not gpus.known, "nobody knows yet which there are"
    gpus.learn(["0", "1", "2"])
    assert gpus.take("a", 2) == ("0", "1") == gpus.take("a", 2)
    assert gpus.take("b", 2) is None
    assert gpus.take("c", 1) == ("2",)
    assert gpus.release("a") and not gpus.release("a")
    assert gpus.take("b", 2) == ("0", "1")
    assert gpus.environment("c") == {"CUDA_VISIBLE_DEVICES": "2"}
    assert gpus.environment("b") == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert gpus.environment("x") == {"CUDA_VISIBLE_DEVICES": ""}, "it asked for none"


def test_a_machine_without_gpus_says_nothing() -> None:
    gpus = Gpus()
    gpus.learn([])
    assert gpus.environment("x") == {}


def test_what_an_earlier_agent_gave_is_taken() -> None:
    gpus = Gpus()
    gpus.keep("old", ["0"])
    gpus.learn(["0", "1"])
    assert gpus.take("new", 1) == ("1",)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ["0", "1"]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ["1"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8a, GPU-9b"}, ["GPU-8a", "GPU-9b"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_an_agent_gives_out_what_it_was_given(environment: dict[str, str], expected: list[str]) -> None:
    assert gpu_ids(["T1", "T2"], environment) == expected
    assert gpu_ids([], environment) == []


# ---------------------------------------------------------------- what was given back


def test_what_was_given_back_is_known_to_the_next_agent_and_never_started(tmp_path: Path) -> None:
    seal = Seal(tmp_path)
    one, other = (Attempt(f"j-{no}-0", "j", {}, {}, "token", folder=tmp_path, gpus=("1",)) for no in (1, 2))
    records: list[Record] = [offers_record([one, other], seal), run_record(one), run_record(other)]
    records.append(given_back_record([one.key]))
    known = recover(records, seal)
    assert known.attempts[one.key].given_back and one.key not in known.handles
    assert not known.attempts[other.key].given_back and known.attempts[other.key].gpus == ("1",)
    attempts = Attempts()
    for attempt in known.attempts.values():
        attempt.handed_over = False
        attempts.add(attempt)
    kept = [json.loads(record) if isinstance(record, bytes) else record for record in live_records(attempts, [], seal)]
    assert recover(kept, seal).attempts[one.key].given_back, "also when the journal was made shorter"
    assert one.key not in recover([*records, gone_record([one.key])], seal).attempts


def test_it_is_said_until_the_server_has_heard_it() -> None:
    outbox = Outbox(started_delay_s=0.0, finals_per_sync=10)
    outbox.give_back(["j-1-0"])
    for _ in range(2):
        request = outbox.compose("s")
        assert outbox.has_news() and request.given_back == ["j-1-0"]
        outbox.settle(request, SyncReply())
    outbox.settle(request, SyncReply(acked=["j-1-0"]))
    assert not outbox.has_news()


# ---------------------------------------------------------------- what lies in the cache


def test_the_server_is_told_a_bounded_number_of_large_blobs(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 1 << 40)

    def keep(name: str, size_bytes: int) -> None:
        with cache.partial(name).open("wb") as file:
            file.truncate(size_bytes)
        cache.keep(name)

    before = cache.version
    keep("small".ljust(64, "0"), 10)
    assert (cache.version, cache.large_ones()) == (before, [])
    names = [f"{no:04d}".ljust(64, "0") for no in range(TOLD_MOST + 2)]
    for name in names:
        keep(name, TOLD_FROM_BYTES)
    assert cache.version > before
    assert cache.large_ones() == [name[:TOLD_CHARS] for name in reversed(names[2:])]
    cache.drop_if_spoiled(names[-1])
    assert cache.large_ones()[0] == names[-2][:TOLD_CHARS]
