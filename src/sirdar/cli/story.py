"""A job's log in words. The log itself keeps the lines that Everest's clients read: agents' messages stand in it as JSON."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_MESSAGE = re.compile(r"(?P<at>\S+ \S+) \[(?P<place>[^\]/]*)/[^\]]*\] (?P<message>\[.*\])")
_SENT = re.compile(r"(?P<before>.* sent to resource )(?P<place>\S+)")
_STATES = {
    "RUNNING": "runs",
    "COMPLETED": "has run; its outputs are fetched",
    "DONE": "is done",
    "FAILED": "failed",
    "CANCELED": "was cancelled",
}


def in_words(job_id: str, lines: Iterable[str], names: Mapping[str, str]) -> Iterator[str]:
    """The lines as people read them. ``names``: of resources, by their ids; what is not among them keeps its id."""
    tasks = re.compile(rf"\b(?:Task )?{re.escape(job_id)}-(\d+)-(\d+)\b")
    for line in lines:
        found, sent = _MESSAGE.fullmatch(line), _SENT.fullmatch(line)
        text = line
        if found is not None:
            place = names.get(found["place"], found["place"])
            text = f"{found['at']} {_of_message(found['message'], place)}"
        elif sent is not None:
            text = sent["before"] + names.get(sent["place"], sent["place"])
        yield tasks.sub(_task, text, count=1)


def _of_message(text: str, place: str) -> str:
    try:
        kind, task, *rest = json.loads(text)
        if kind == "TASK_MESSAGE":
            return f"{task}: {rest[0]}"
        state, more = rest
    except ValueError:
        return text
    return f"{task} {_STATES.get(state, state)}{_reason(more)}" + (f" on {place}" if state == "RUNNING" else "")


def _reason(more: Any) -> str:
    reason = more.get("reason") if isinstance(more, dict) else None
    return f": {str(reason).replace('_', ' ')}" if reason and reason not in {"ok", "cancelled"} else ""


def _task(found: "re.Match[str]") -> str:
    again = f" (attempt {int(found[2]) + 1})" if found[2] != "0" else ""
    return f"Task {found[1]}{again}"
