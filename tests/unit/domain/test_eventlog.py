"""The job's log as Everest's clients read it."""

import json
import re

from sirdar.services.eventlog import Seen, lines_of
from sirdar.store.job_views import EventView


def lines(*events: EventView) -> list[str]:
    seen = Seen()
    return [line for event in events for line in lines_of("j0b", event, seen)]


def test_each_line_begins_with_a_time_in_utc_and_tells_each_start_once() -> None:
    told = lines(
        EventView(1, 0.5, "submitted", {"state": "READY", "total": 1}),
        EventView(2, 1.0, "offered", {"resource": "res1", "tasks": [[0, 1]]}),
        EventView(3, 2.0, "running", {"tasks": [[0, 1, 1.5]]}),
        EventView(4, 3.0, "message", {"tasks": [[0, 1, "half way"]]}),
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
