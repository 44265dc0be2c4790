"""What programs say by their message file: JSON lines with ``text``, ``progress`` (0..1) and ``metrics``."""

import json
import math
import os
import time
from typing import Any, TypeGuard

from sirdar.agent.attempts import Attempt

MOST_BYTES = 1 << 20
TEXT_CHARS = 2000
METRICS_KEPT = 100


def read_messages(attempt: Attempt, path: str) -> bool:
    """Takes what has been appended since the last time; True if that said anything new.

    A line that is no JSON object is taken as text. A last line without its end is left for the next time.
    """
    said = attempt.said
    try:
        if os.stat(path).st_size <= said.file_offset:  # noqa: PTH116
            return False
        with open(path, "rb") as file:
            file.seek(said.file_offset)
            raw = file.read(MOST_BYTES)
    except OSError:
        return False
    whole, newline, _ = raw.rpartition(b"\n")
    if len(raw) == MOST_BYTES and not newline:  # one endless line: not a message
        said.file_offset += len(raw)
        return False
    said.file_offset += len(whole) + len(newline)
    changed = False
    for line in whole.splitlines():
        changed = _take_line(attempt, line) or changed
    return changed


def _take_line(attempt: Attempt, line: bytes) -> bool:
    text = line.decode("utf-8", errors="replace").strip()
    if not text:
        return False
    try:
        value = json.loads(text)
    except ValueError:
        value = {"text": text}
    if not isinstance(value, dict):
        value = {"text": text}
    return say(attempt, value)


def say(attempt: Attempt, value: dict[str, Any]) -> bool:
    """Takes one message; what is not as it should be is left out."""
    said = attempt.said
    text, progress, metrics = value.get("text"), value.get("progress"), value.get("metrics")
    if isinstance(text, str):
        said.text = text[:TEXT_CHARS]
    if _is_number(progress):
        said.progress = min(1.0, max(0.0, float(progress)))
    if isinstance(metrics, dict):
        for name, number in metrics.items():
            if _is_number(number) and (name in said.metrics or len(said.metrics) < METRICS_KEPT):
                said.metrics[str(name)[:100]] = float(number)
    said.waits = False
    said.seq += 1
    said.at = time.time()
    return True


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
