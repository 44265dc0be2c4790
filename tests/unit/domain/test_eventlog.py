"""The job's log as Everest's clients read it."""

import json
import re

import pytest

from sirdar.services.eventlog import Seen, lines_of
from sirdar.store.job_events import EventView

WORDS = ("submitted", "sent to", "RUNNING", "COMPLETED", '"DONE"', "is DONE")


def lines(*events: EventView) -> list[str]:
    return lines_of("j0b", events, Seen())


def test_each_line_begins_with_a_time_in_utc_and_tells_each_start_once() -> None:
    told = lines(
        EventView(1, 0.5, "submitted", {"state": "READY", "total": 1}),
        EventView(2, 1.0, "offered", {"resource": "res1", "tasks": [[0, 1]]}),
        EventView(3, 2.0, "running", {"tasks": [[0, 1, 1.5]]}),
        EventView(4, 3.0, "message", {"tasks": [[0, 1, "half way"]]}),
        EventView(4, 3.5, "message", {"tasks": [[0, 1, ""]]}),  # taken back
        EventView(5, 5.0, "ended", {"tasks": [[0, 1, "DONE", "ok", 1.5, 4.0]]}),
        EventView(6, 5.0, "state", {"state": "DONE", "message": ""}),
    )
    assert all(re.match(r"1970-01-01 00:00:0\d\.\d{3} ", line) for line in told)
    messages = [json.loads(line.split("[res1/agent] ")[1]) for line in told if "[res1/agent]" in line]
    assert messages == [
        ["TASK_STATE", "j0b-0-0", "RUNNING", {}],
        ["TASK_MESSAGE", "j0b-0-0", "half way"],
        ["TASK_STATE", "j0b-0-0", "COMPLETED", {}],
        ["TASK_STATE", "j0b-0-0", "DONE", {"reason": "ok"}],
    ]


def test_a_short_task_whose_start_came_with_its_end_has_all_its_lines() -> None:
    told = lines(
        EventView(2, 1.0, "offered", {"resource": "res1", "tasks": [[0, 2]]}),
        EventView(5, 5.0, "ended", {"tasks": [[0, 2, "FAILED", "exit_code", 1.5, 1.6]]}),
    )
    assert [line.split('"')[5] for line in told[1:]] == ["RUNNING", "COMPLETED", "FAILED"]
    assert told[1].startswith("1970-01-01 00:00:01.500 [res1/agent] ")
    assert '"j0b-0-1"' in told[1]


def test_lines_stand_in_the_order_of_their_times() -> None:
    told = lines(
        EventView(1, 0.5, "submitted", {"total": 2}),
        EventView(2, 1.0, "offered", {"resource": "res1", "tasks": [[0, 1], [1, 1]]}),
        EventView(3, 3.0, "message", {"tasks": [[0, 1, "all in one"]]}),
        EventView(4, 3.0, "ended", {"tasks": [[0, 1, "DONE", "ok", 1.2, 1.6]]}),
        EventView(5, 3.0, "state", {"state": "RUNNING"}),
        EventView(6, 9.0, "ended", {"tasks": [[1, 1, "DONE", "ok", 1.1, 2.5]]}),
    )
    assert [line.split(" ", 2)[1][6:] for line in told] == sorted(line.split(" ", 2)[1][6:] for line in told)
    steps = [(line[17:23], words[1]) for line in told if len(words := re.findall(r'"([^"]+)"', line)[1:])]
    assert steps == [
        ("01.100", "RUNNING"), ("01.200", "RUNNING"), ("01.600", "COMPLETED"), ("02.500", "COMPLETED"),
        ("03.000", "all in one"), ("03.000", "DONE"), ("09.000", "DONE"),
    ]  # fmt: skip


@pytest.mark.parametrize("wrong_by", [-3600.0, 3600.0])
def test_an_agents_wrong_clock_turns_nothing_round(wrong_by: float) -> None:
    told = lines(
        EventView(1, 7200.5, "submitted", {"total": 1}),
        EventView(2, 7201.0, "offered", {"resource": "res1", "tasks": [[0, 1]]}),
        EventView(3, 7202.0, "running", {"tasks": [[0, 1, 7201.5 + wrong_by]]}),
        EventView(4, 7205.0, "ended", {"tasks": [[0, 1, "DONE", "ok", 7201.5 + wrong_by, 7204.0 + wrong_by]]}),
        EventView(5, 7205.0, "state", {"state": "DONE"}),
    )
    said = [next(word for word in WORDS if word in line) for line in told]
    assert said == ["submitted", "sent to", "RUNNING", "COMPLETED", '"DONE"', "is DONE"]
