"""What the live line shows while the events tell the job's story from its beginning."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sirdar.cli import watch
from sirdar.cli.draw import state_words
from sirdar.client.sse import Event

NOW = {"state": "RUNNING", "statusMessage": "step 4", "metrics": {"loss": 0.4}, "info": ""}
STORY = [
    Event("1", "job", {"kind": "submitted", "state": "READY"}),
    Event("3", "job", {"kind": "state", "state": "RUNNING"}),
    Event("", "message", {"text": "step 5", "metrics": {"loss": 0.3}}),
]


class Job:
    id = "j"

    def __init__(self, document: dict[str, Any], story: list[Event]) -> None:
        self.document, self._story = document, story

    def events(self) -> Iterator[Event]:
        return iter(self._story)

    def refresh(self) -> None:
        self.document = {**self.document, "state": "DONE"}


def shown(document: dict[str, Any], story: list[Event], capsys: pytest.CaptureFixture[str]) -> list[str]:
    session = SimpleNamespace(plain=True, terminal=SimpleNamespace(interactive=False))
    assert watch.follow(cast(Any, Job(document, story)), cast(Any, session)) is None
    return capsys.readouterr().err.splitlines()


def test_earlier_states_are_not_shown_as_the_present(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(NOW, STORY, capsys)
    assert all("Ready" not in line for line in lines)
    assert [line.split(" \u00b7 ")[1] for line in lines] == ["step 4", "step 5"]


def test_a_word_of_an_earlier_state_goes_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"state": "SUBMITTED", "info": "Being prepared: waiting for a job"}
    first, *later = shown(document, STORY[:1], capsys)
    assert "waiting for a job" in first and later and all("waiting for a job" not in line for line in later)


def test_what_is_done_before_it_runs_is_shown_until_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    building = {"text": "building environment", "progress": None, "metrics": {}}
    story = [Event("", "message", building), STORY[1], Event("", "message", {**building, "text": ""})]
    assert shown({"state": "READY"}, story, capsys) == ["○ Ready", "○ Ready · building environment", "● Running"]
    taken_back = [
        Event("", "message", {**building, "text": ""}),
        Event("", "message", {"progress": 0.5, "metrics": {}}),
    ]
    assert shown({"state": "READY", "statusMessage": "pulling image"}, taken_back, capsys)[-1] == "○ Ready"


def test_a_job_that_is_done_without_any_success_has_no_tick() -> None:
    tasks = {"total": 3, "done": 0, "failed": 3}
    assert state_words({"state": "DONE", "tasks": tasks}) == "! Done, none succeeded"
    assert state_words({"state": "DONE", "tasks": {**tasks, "done": 1, "failed": 2}}) == "✓ Done"
    assert state_words({"state": "DONE"}) == "✓ Done"
    assert state_words({"state": "FAILED", "tasks": tasks}) == "✕ Failed"
