"""``status``: from within a task, say how it goes. No server is spoken to: the agent on this machine passes it on."""

import json
import math
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sirdar.cli.reply import Reply
from sirdar.cli.session import Refused, UsageError

CONNECT_TIMEOUT_S = 10.0


def status(
    text: str | None = None,
    /,
    *,
    progress: Annotated[float | None, Parameter(help="from 0 to 1")] = None,
    metric: Annotated[
        list[str] | None,
        Parameter(help="name=number; may be repeated", consume_multiple=False, negative=""),
    ] = None,
) -> Reply:
    """Tell those who watch the job.

    Parameters
    ----------
    text
        what the program is doing
    """
    message = _message(text, progress, metric or [])
    if path := os.environ.get("SIRDAR_MESSAGE_FILE"):
        _append(Path(path), message)
    elif os.environ.get("EVEREST_AGENT_PORT"):
        if text is None:
            raise Refused("no_message_file", "the agent's port takes texts only, and SIRDAR_MESSAGE_FILE is not set")
        _send(text, os.environ)
    else:
        raise Refused("not_in_a_task", "this is no task: neither SIRDAR_MESSAGE_FILE nor EVEREST_AGENT_PORT is set")
    return Reply(message)


def _message(text: str | None, progress: float | None, metrics: list[str]) -> dict[str, Any]:
    if text is None and progress is None and not metrics:
        raise UsageError("what shall be told?", "sirdar status 'fold 3 of 7' --progress 0.4")
    if progress is not None and not 0 <= progress <= 1:
        raise UsageError(f"progress is from 0 to 1, and {progress:g} is not")
    found = {"text": text, "progress": progress, "metrics": dict(map(_metric, metrics)) or None}
    return {name: value for name, value in found.items() if value is not None}


def _metric(word: str) -> tuple[str, float]:
    name, _, number = word.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not name or not math.isfinite(value):
        raise UsageError(f"--metric {word!r} is not of the form name=number", "--metric loss=0.2")
    return name, value


def _append(path: Path, message: dict[str, Any]) -> None:
    """One line in one write, so that several programs of a task may speak at once."""
    line = json.dumps(message, ensure_ascii=False) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _send(text: str, environ: Mapping[str, str]) -> None:
    """Everest's protocol: the task's id in mode 0, then the text, each after its length in four bytes."""
    try:
        address = (environ.get("EVEREST_AGENT_ADDRESS", "127.0.0.1"), int(environ["EVEREST_AGENT_PORT"]))
        hello = b"\0" + environ.get("EVEREST_AGENT_TASK_ID", "").encode()
        body = text.encode()
        with socket.create_connection(address, CONNECT_TIMEOUT_S) as connection:
            connection.sendall(len(hello).to_bytes(4, "big") + hello + len(body).to_bytes(4, "big") + body)
    except (OSError, ValueError) as error:
        raise Refused("agent_unreachable", f"the agent does not take the message ({error})") from error
