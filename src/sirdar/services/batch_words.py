"""What a batch writes of jobs and tasks in words: the data of events, the latest words of a program."""

import json
from collections.abc import Mapping
from typing import Any

from sirdar.domain.job import Job


def state_event(job: Job) -> dict[str, Any]:
    """Data of the event ``state``."""
    event: dict[str, Any] = {"state": job.state.value}
    if job.outcome:
        event |= {"reason": job.outcome.reason.value, "message": job.outcome.message, "exitCode": job.outcome.exit_code}
    return event


def said_values(place: tuple[str, int], words: Mapping[str, Any]) -> dict[str, Any]:
    """Values of ``store.tasks.say``."""
    return {
        "b_job": place[0],
        "b_no": place[1],
        "b_status_message": words["text"],
        "b_progress": words["progress"],
        "b_metrics_json": json.dumps(words["metrics"]) if words["metrics"] else None,
    }


def storable(text: str) -> str:
    """The text without NUL, which PostgreSQL does not take: what a program says must not hold up its agent's outbox."""
    return text.replace("\0", "\ufffd") if "\0" in text else text
