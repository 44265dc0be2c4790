"""What the tabs Timeline and Machine draw: spans of attempts, and curves of cpu and memory as paths of SVG. Pure.

Coordinates are in thousandths of the picture's width and in points of its height, so that no style is needed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sirdar.services.task_usage import UsageView

WIDTH = 1000
HEIGHT = 120
MIB = 1 << 20
LEAST = 2.0  # of a span that took some time: thinner, nobody would see it


@dataclass(frozen=True, slots=True)
class Segment:
    """``kind``: waiting, staging-in, running or staging-out; times are seconds since 1970, ``ended``: it is over."""

    kind: str
    began_at: float
    ended_at: float
    ended: bool
    x: float
    width: float

    @property
    def span_s(self) -> float:
        return self.ended_at - self.began_at


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt: its spans in order. ``row``: the attempt as the store has it."""

    row: Mapping[str, Any]
    segments: tuple[Segment, ...]


def bars(attempts: Sequence[Mapping[str, Any]], ready_at: float, now: float) -> list[Bar]:
    """Attempts side by side on one axis, which begins where the task was ready and ends where the last span does."""
    told = []
    begin = ready_at
    for row in attempts:
        told.append((row, spans(row, begin, now)))
        begin = _ended(row) or begin
    ends = [end for _, parts in told for _, _, end, _ in parts]
    if not ends:
        return []
    first = min(ready_at, *(start for _, parts in told for _, start, _, _ in parts))
    scale = WIDTH / max(max(ends) - first, 1e-6)
    return [
        Bar(row, tuple(_segment(part, first, scale) for part in parts if part[2] > part[1] or not part[3]))
        for row, parts in told
    ]


def _segment(part: tuple[str, float, float, bool], first: float, scale: float) -> Segment:
    kind, start, end, ended = part
    width = min(float(WIDTH), max(LEAST, (end - start) * scale))
    x = min(WIDTH - width, max(0.0, (start - first) * scale))
    return Segment(kind, start, end, ended, round(x, 1), round(width, 1))


def spans(row: Mapping[str, Any], begin: float, now: float) -> list[tuple[str, float, float, bool]]:
    """(kind, from, until, whether it is over) of one attempt. Clocks of two machines never make a span negative."""
    marks = [
        ("waiting", begin),
        ("staging-in", row.get("staging_at")),
        ("waiting", row.get("staged_at")),
        ("running", row.get("started_at")),
        ("staging-out", row.get("ended_at") if row.get("started_at") is not None else None),
    ]
    known = [(kind, at) for kind, at in marks if at is not None]
    over = _ended(row)
    found: list[tuple[str, float, float, bool]] = []
    for place, (kind, at) in enumerate(known):
        start = max(at, found[-1][2] if found else at)
        if place + 1 < len(known):
            found.append((kind, start, max(start, known[place + 1][1]), True))
        else:
            last = over if over is not None else now
            found.append((kind, start, max(start, last), over is not None))
    return found


def _ended(row: Mapping[str, Any]) -> float | None:
    """When nothing of the attempt was left to do; None while it lives."""
    if row.get("state") != "ENDED":
        return None
    told = [at for name in ("reported_at", "ended_at") if (at := row.get(name)) is not None]
    return max(told) if told else row.get("offered_at")


# ---------------------------------------------------------------- curves


@dataclass(frozen=True, slots=True)
class Chart:
    """A curve in a picture of WIDTH x HEIGHT. ``limit_y``: where the limit is drawn; None where there is none.

    ``top``: the value at the upper edge; ``line``: the curve, ``area``: the same, closed at the ground.
    """

    line: str
    area: str
    top: float
    limit_y: float | None
    until_s: float


@dataclass(frozen=True, slots=True)
class Charts:
    """Cpu in cores, memory in MiB."""

    cpu: Chart
    memory: Chart


def charts(usage: UsageView) -> Charts | None:
    """Both curves on one axis of time; None where nothing was measured."""
    if not usage.points:
        return None
    cpu = [(point.at_s, point.cpus) for point in usage.points]
    memory = [(point.at_s, point.memory_bytes / MIB) for point in usage.points]
    limit = None if usage.limit_memory_bytes is None else usage.limit_memory_bytes / MIB
    return Charts(chart(cpu, float(usage.limit_cpus)), chart(memory, limit))


def chart(points: Sequence[tuple[float, float]], limit: float | None) -> Chart:
    """A curve of (seconds, value). A limit far above the curve is not drawn: it would flatten what there is to see."""
    most = max(value for _, value in points)
    shown = limit if limit is not None and (limit <= most * 8 or most == 0) else None
    top = round_up(max(most, shown or 0.0) or 1.0)
    until_s = points[-1][0] or 1.0
    corners = [(at / until_s * WIDTH, HEIGHT - value / top * HEIGHT) for at, value in points]
    corners = [(0.0, corners[0][1]), *corners]
    line = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
    limit_y = None if shown is None else round(HEIGHT - shown / top * HEIGHT, 1)
    return Chart(line, f"{line} L{WIDTH} {HEIGHT} L0 {HEIGHT} Z", top, limit_y, until_s)


def round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 8, 10 times a power of ten, a little above the value."""
    wanted = value * 1.05
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 8, 10, 20) if step * power >= wanted)
