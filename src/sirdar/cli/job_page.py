"""A job on the terminal: its state, inputs, outputs, as ``job show`` and the end of ``run`` print them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from sirdar.cli.draw import pairs
from sirdar.cli.numbers import duration, memory, moment, number, percent
from sirdar.cli.session import Session, Terminal
from sirdar.cli.watch import best_words, ended_words, left_words, summary, task_counts
from sirdar.client.errors import SirdarError
from sirdar.client.requests import jobs as requests
from sirdar.client.requests.jobs import has_ended

LONGEST_VALUE = 200
ROWS_SHOWN = 10
NAMES_SHOWN = 12
STDERR_LINES = 10
STDERR_BYTES = 16 * 1024


def page(document: Mapping[str, Any], terminal: Terminal) -> Iterator[str]:
    """All that is worth knowing at a glance; the answer first."""
    yield ended_words(document) if has_ended(document) else summary(document)
    resource = document.get("resource")
    stats = document.get("stats") or {}
    cpu_s = (stats.get("cpuUserS") or 0.0) + (stats.get("cpuSystemS") or 0.0)
    outcome = document.get("outcome") or {}
    yield from pairs(
        {
            "job": document.get("id"),
            "name": document.get("name"),
            "app": _app(document),
            "code": document.get("codeVersion"),
            "owner": document.get("owner"),
            "on": resource.get("name") if isinstance(resource, Mapping) else resource,
            "submitted": moment(document.get("submittedAt") or document.get("createdAt")),
            "waited": duration(document.get("waitS")),
            "ran": duration(document.get("runS")),
            "message": document.get("statusMessage"),
            "progress": percent(document.get("progress")),
            "metrics": ", ".join(f"{name} {number(value)}" for name, value in (document.get("metrics") or {}).items()),
            "tasks": task_counts(document.get("tasks")),
            "best": best_of(document),
            "stops when": _stops_when(document),
            "left": left_words(document) or None,
            "failed": _failed(document),
            "attempts": document.get("attempts") if (document.get("attempts") or 1) > 1 else None,
            "reason": _reason(outcome),
            "cpu time": duration(cpu_s) if cpu_s else None,
            "peak memory": memory(stats["maxRssBytes"]) if stats.get("maxRssBytes") else None,
            "parent": document.get("parent"),
            "repeats": document.get("againOf"),
            "repeated by": ", ".join(document.get("repeatedBy") or ()) or None,
            "page": document.get("url"),
        },
        terminal,
    )
    yield from _input_lines(document, terminal)
    yield from output_lines(document, terminal)


def _input_lines(document: Mapping[str, Any], terminal: Terminal) -> Iterator[str]:
    """The inputs; of many tasks those that all have alike, and which others there are."""
    varying = document.get("varying") or []
    given = {k: value_words(v) for k, v in (document.get("inputs") or {}).items() if k not in varying}
    if given:
        yield ""
        yield "Inputs of all tasks" if varying else "Inputs"
        yield from (f"  {line}" for line in pairs(given, terminal))
    if varying:
        shown = ", ".join(varying[:NAMES_SHOWN]) + (", …" if len(varying) > NAMES_SHOWN else "")
        yield ""
        yield f"{len(varying)} {'input varies' if len(varying) == 1 else 'inputs vary'}: {shown}"


def best_of(document: Mapping[str, Any]) -> str | None:
    """The best task so far and its inputs, or why there is none."""
    words = best_words(document)
    if not words:
        return _no_best(document)
    inputs = (document.get("best") or {}).get("inputs") or {}
    given = ", ".join(f"{name} {value_words(value)}" for name, value in inputs.items())
    return words.removeprefix("best ") + (f": {given}" if given else "")


def _no_best(document: Mapping[str, Any]) -> str | None:
    sought = document.get("criterion")
    if not sought:
        return None
    direction, key = next(iter(sought.items()))
    done = (document.get("tasks") or {}).get("done") or 0
    none = "none" if has_ended(document) else "none yet"
    why = f"no task gave a number {key} ({done} done)" if done else "no task is done"
    return f"{none} ({direction} {key}): {why}"


def _stops_when(document: Mapping[str, Any]) -> str | None:
    """The condition, and what came of it: a name that no task gives is met by none."""
    condition = document.get("stopWhen")
    if not condition:
        return None
    if (met := document.get("metBy")) is not None:
        return f"{condition}: task {met} met it"
    done = (document.get("tasks") or {}).get("done") or 0
    return f"{condition}: no task met it ({done} done)" if has_ended(document) else str(condition)


def _failed(document: Mapping[str, Any]) -> str | None:
    """Why tasks failed, by kind."""
    kinds = [f"{group['count']} by {group['reason']}" for group in document.get("failures") or []]
    return ", ".join(kinds) or None


def output_lines(document: Mapping[str, Any], terminal: Terminal) -> Iterator[str]:
    """The outputs; of many tasks the first ones."""
    result = document.get("result")
    if not result or (isinstance(result, list) and all(row is None for row in result)):
        return
    yield ""
    yield "Outputs"
    if isinstance(result, Mapping):
        yield from (f"  {line}" for line in pairs({k: value_words(v) for k, v in result.items()}, terminal))
    elif isinstance(result, list):
        rows = [(no, row) for no, row in enumerate(result) if row is not None]
        yield from (f"  {no}  {_row_words(row)}" for no, row in rows[:ROWS_SHOWN])
        if len(rows) > ROWS_SHOWN:
            yield f"  … and {len(rows) - ROWS_SHOWN} more: --json shows all"
    else:
        yield f"  {result}"


def value_words(value: Any, most: int | None = LONGEST_VALUE) -> str:
    """A value in a line: numbers as scientists write them, files by their names, long texts cut unless ``most`` is None."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        name = unquote(urlsplit(value).path.rpartition("/")[2]) if value.startswith("/api/files/") else value
        text = name.replace("\n", "⏎")
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if most is None or len(text) <= most else f"{text[:most]}…"


def tail_of_stderr(session: Session, job_id: str) -> list[str]:
    """The last lines that the program (of many tasks: that of the first that failed) wrote to stderr; nothing without any."""
    try:
        failed = session.client.call(requests.tasks(job_id, state="FAILED", limit=1))
        number = failed[0]["no"] if failed else 0
        reply = session.client.send(requests.stream(job_id, "stderr", offset=-STDERR_BYTES, task=number or None))
    except SirdarError:
        return []
    lines = [shown_line(line) for line in reply.body.decode(errors="replace").splitlines()]
    if not any(lines):
        return []
    heading = f"Last lines of stderr of task {number}" if number else "Last lines of stderr"
    return ["", heading, *(f"  {line}" for line in lines[-STDERR_LINES:])]


def shown_line(line: str) -> str:
    """A program's line without what would move the cursor."""
    return "".join(c if c.isprintable() or c == "\t" else "·" for c in line)


def _row_words(row: Any) -> str:
    if not isinstance(row, Mapping):
        return value_words(row)
    return ", ".join(f"{name} {value_words(value)}" for name, value in row.items())


def _app(document: Mapping[str, Any]) -> str:
    name = document.get("app") or document.get("appAlias") or document.get("appId")
    return f"{name}@{document['appVersion']}" if document.get("appVersion") else str(name)


def _reason(outcome: Mapping[str, Any]) -> str | None:
    if not outcome or outcome.get("reason") == "ok":
        return None
    fault = outcome.get("fault")
    whose = f", the {fault}'s fault" if fault and fault != "nobody" else ""
    return f"{outcome.get('reason')}{whose}"
