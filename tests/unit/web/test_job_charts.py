"""Spans of attempts and curves, as they are drawn."""

import pytest

from sirdar.domain.timeline import Kind, Span
from sirdar.domain.usage import Point
from sirdar.services.task_usage import UsageView
from sirdar.web.job_charts import HEIGHT, LEAST, WIDTH, bars, chart, charts, round_up


def test_a_bar_for_each_attempt_on_one_axis() -> None:
    spans = [
        Span(Kind.WAITING, 0, 10), Span(Kind.RUNNING, 10, 30, 1, "lab1", "agent_lost"), Span(Kind.WAITING, 30, 50),
        Span(Kind.QUEUED, 50, 60, 2, "lab2"), Span(Kind.RUNNING, 60, None, 2, "lab2"),
    ]  # fmt: skip
    one, two = bars(spans, 100)
    assert [(part.span.kind, part.x, part.width) for part in one.segments] == [
        ("waiting", 0, 100),
        ("running", 100, 200),
    ]
    assert [(part.x, part.width) for part in two.segments] == [(300, 200), (500, 100), (600, 400)]
    assert (one.attempt, one.last.reason, two.attempt, two.segments[-1].span_s) == (1, "agent_lost", 2, 40)


def test_what_waits_again_has_a_bar_of_its_own() -> None:
    first, again = bars([Span(Kind.RUNNING, 0, 5, 1, "lab1"), Span(Kind.WAITING, 5, None)], 10)
    assert first.attempt == 1 and again.attempt is None and again.segments[0].until == 10
    assert bars([], 10) == []


def test_short_spans_are_seen_and_stay_inside() -> None:
    drawn = bars([Span(Kind.WAITING, 0, 5000), Span(Kind.RUNNING, 5000, 5000.001, 1)], 6000)
    assert all(
        part.width >= LEAST and 0 <= part.x <= part.x + part.width <= WIDTH for bar in drawn for part in bar.segments
    )


@pytest.mark.parametrize(
    ("value", "top"), [(0.97, 1.5), (1.0, 1.5), (1.9, 2), (3.9, 5), (95, 100), (0.011, 0.015), (490, 800)]
)
def test_the_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


def test_a_curve_stays_in_its_picture() -> None:
    drawn = chart([(1, 0.5), (2, 1.0), (4, 0.0)], 1.0)
    assert drawn.line == "M0.0 80.0 L250.0 80.0 L500.0 40.0 L1000.0 120.0"
    assert drawn.limit_y == 40.0 and drawn.top == 1.5 and drawn.until_s == 4
    assert drawn.area.endswith(f"L{WIDTH} {HEIGHT} L0 {HEIGHT} Z")
    assert chart([(1, 10)], 1000.0).limit_y is None  # it would flatten the curve
    assert chart([(1, 0)], None).top > 0


def test_nothing_measured_is_no_picture() -> None:
    empty = UsageView(1, (), 2, None, (), 0, 0, 0, True)
    assert charts(empty) is None
    told = charts(UsageView(1, (1,), 2, 512 << 20, (Point(1.0, 0.5, 100 << 20),), 0.5, 100 << 20, 0.5, True))
    assert told is not None and told.memory.limit_y is not None and told.memory.top == 800
