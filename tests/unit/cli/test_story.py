"""What `sirdar job events` makes of the log's lines."""

import pytest

from sirdar.cli.story import in_words

AT = "2026-11-22 06:40:00.123"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Job j1 submitted: 2 task(s)", "Job j1 submitted: 2 task(s)"),
        ("Task j1-0-0 sent to resource r1", "Task 0 sent to resource lab"),
        ("Task j1-0-0 sent to resource r2", "Task 0 sent to resource r2"),
        ('[r1/agent] ["TASK_STATE", "j1-0-0", "RUNNING", {}]', "Task 0 runs on lab"),
        ('[r1/agent] ["TASK_STATE", "j1-1-2", "COMPLETED", {}]', "Task 1 (attempt 3) has run; its outputs are fetched"),
        ('[-/agent] ["TASK_STATE", "j1-0-0", "DONE", {"reason": "ok"}]', "Task 0 is done"),
        (
            '[r1/agent] ["TASK_STATE", "j1-0-0", "FAILED", {"reason": "time_limit"}]',
            "Task 0 failed: time limit",
        ),
        ('[r1/agent] ["TASK_STATE", "j1-0-0", "CANCELED", {"reason": "cancelled"}]', "Task 0 was cancelled"),
        ('[r1/agent] ["TASK_MESSAGE", "j1-0-0", "half of j1-0-0"]', "Task 0: half of j1-0-0"),
        ('[r1/agent] ["TASK_NEWS"]', '["TASK_NEWS"]'),
        ("[r1/agent] [not JSON]", "[not JSON]"),
        ("Task j1-0-0 waits again (agent_lost): gone", "Task 0 waits again (agent_lost): gone"),
    ],
)
def test_a_line_in_words(line: str, words: str) -> None:
    assert list(in_words("j1", [f"{AT} {line}"], {"r1": "lab"})) == [f"{AT} {words}"]
