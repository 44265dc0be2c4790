"""What the tabs Timeline and Machine draw: spans of attempts, and curves of cpu and memory as paths of SVG. Pure.

Coordinates are in thousandths of the picture's width and in points of its height, so that no style is needed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sirdar.domain.timeline import Kind, Span
from sirdar.services.task_usage import UsageView

WIDTH = 1000
HEIGHT = 120
MIB = 1 << 20
LEAST = 2.0  # of a span that took some time: thinner, nobody would see it


@dataclass(frozen=True, slots=True)
class Segment:
    """A span where it is drawn. ``until``: its end, or now. ``again``: one of that kind stands before it in the same attempt."""

    span: Span
    until: float
    x: float
    width: float
    again: bool = False

    @property
    def span_s(self) -> float:
        return self.until - self.span.begin_at


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt with what led to it; ``attempt`` None: nothing has been tried since. ``last``: the span with its end's reason."""

    attempt: int | None
    segments: tuple[Segment, ...]

    @property
    def last(self) -> Span:
        return self.segments[-1].span


def bars(spans: Sequence[Span], now: float) -> list[Bar]:
    """A task's spans, a bar for each attempt, on one axis from the first to the last."""
    if not spans:
        return []
    first = min(span.begin_at for span in spans)
    last = max(now if span.end_at is None else span.end_at for span in spans)
    scale = WIDTH / max(last - first, 1e-6)
    found: list[Bar] = []
    waiting: list[Segment] = []
    for span in spans:
        segment = _segment(span, first, scale, now)
        same = bool(found) and span.attempt is not None and found[-1].attempt == span.attempt
        waiting.append(replace(segment, again=same and _holds(found[-1], span.kind)))
        if span.attempt is None:
            continue
        if same:
            found[-1] = Bar(span.attempt, (*found[-1].segments, *waiting))
        else:
            found.append(Bar(span.attempt, tuple(waiting)))
        waiting = []
    return [*found, Bar(None, tuple(waiting))] if waiting else found


def _holds(bar: Bar, kind: Kind) -> bool:
    return any(segment.span.kind is kind for segment in bar.segments)


def _segment(span: Span, first: float, scale: float, now: float) -> Segment:
    until = max(span.begin_at, now if span.end_at is None else span.end_at)
    width = min(float(WIDTH), max(LEAST, (until - span.begin_at) * scale))
    x = min(WIDTH - width, max(0.0, (span.begin_at - first) * scale))
    return Segment(span, until, round(x, 1), round(width, 1))


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
