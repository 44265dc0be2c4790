"""The order in which a writer takes what has queued up."""

import queue
import threading
import time
from dataclasses import dataclass, field

import pytest

from sirdar.store import gather
from sirdar.store.gather import BURST, Gatherer


@dataclass
class Command:
    name: str
    patient: bool = False
    queued_at: float = field(default_factory=time.monotonic)


Commands = queue.SimpleQueue[Command | None]


def put(commands: Commands, *names: str, patient: bool = False) -> None:
    for name in names:
        commands.put(Command(name, patient))


def names(batch: list[Command] | None) -> list[str]:
    assert batch is not None
    return [command.name for command in batch]


@pytest.fixture
def commands() -> Commands:
    return queue.SimpleQueue()


def test_what_has_queued_up_is_one_batch(commands: Commands) -> None:
    put(commands, "a", "b")
    put(commands, "r", patient=True)
    put(commands, "c")
    assert names(Gatherer(commands, 256).next()) == ["a", "b", "c", "r"]


def test_the_patient_do_not_wait_where_there_is_no_crowd(commands: Commands) -> None:
    gatherer = Gatherer(commands, 256)
    for name in "abc":
        put(commands, name, patient=True)
        began = time.monotonic()
        assert names(gatherer.next()) == [name]
        assert time.monotonic() - began < gather.LOOK_EVERY_S


def test_in_a_burst_the_patient_come_last_but_come(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "FADING_S", 10.0)  # the burst does not end by itself
    gatherer = Gatherer(commands, 256)
    put(commands, "r", patient=True)
    put(commands, *(f"s{n}" for n in range(int(BURST) + 1)))
    assert "r" not in names(gatherer.next())
    put(commands, "next")
    assert names(gatherer.next()) == ["next"]
    began = time.monotonic()
    assert names(gatherer.next()) == ["r"]
    assert time.monotonic() - began < 2 * gather.PATIENCE_S


def test_when_the_burst_is_over_they_go_at_once(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "PATIENCE_S", 60.0)
    monkeypatch.setattr(gather, "FADING_S", 0.02)
    gatherer = Gatherer(commands, 256)
    put(commands, "r", patient=True)
    put(commands, *(f"s{n}" for n in range(100)))
    assert "r" not in names(gatherer.next())
    assert names(gatherer.next()) == ["r"]


def test_a_crowd_that_fills_every_batch_starves_nobody(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "PATIENCE_S", 0.05)
    gatherer = Gatherer(commands, 10)
    put(commands, "r", patient=True)
    put(commands, *(f"s{n}" for n in range(30)))
    deadline = time.monotonic() + 5
    while "r" not in (batch := names(gatherer.next())):
        assert time.monotonic() < deadline
        put(commands, *batch)  # each of them has the next one ready


def test_a_batch_has_its_bounds(commands: Commands) -> None:
    gatherer = Gatherer(commands, 10)
    put(commands, *(f"s{n}" for n in range(25)))
    assert [len(names(gatherer.next())) for _ in range(3)] == [10, 10, 5]


def test_nothing_is_left_at_the_end(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "FADING_S", 10.0)
    gatherer = Gatherer(commands, 256)
    put(commands, *(f"s{n}" for n in range(100)))
    put(commands, "r", patient=True)
    assert len(names(gatherer.next())) == 100
    commands.put(None)
    assert names(gatherer.next()) == ["r"]
    assert gatherer.next() is None


def test_it_waits_for_the_first(commands: Commands) -> None:
    timer = threading.Timer(0.05, put, (commands, "a"))
    timer.start()
    assert names(Gatherer(commands, 256).next()) == ["a"]
    timer.join()
