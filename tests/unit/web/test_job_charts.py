"""Spans of attempts and curves, as they are drawn."""

from typing import Any

import pytest

from sirdar.domain.usage import Point
from sirdar.services.task_usage import UsageView
from sirdar.web.job_charts import HEIGHT, WIDTH, bars, chart, charts, round_up, spans


def attempt(no: int = 1, **times: Any) -> dict[str, Any]:
    names = ("staging_at", "staged_at", "started_at", "ended_at", "reported_at")
    return {"no": no, "state": "ENDED", "offered_at": 1.0, **dict.fromkeys(names), **times}


def test_an_attempt_is_told_from_waiting_to_staging_out() -> None:
    row = attempt(staging_at=10, staged_at=12, started_at=13, ended_at=20, reported_at=21)
    assert spans(row, 5, 99) == [
        ("waiting", 5, 10, True), ("staging-in", 10, 12, True), ("waiting", 12, 13, True),
        ("running", 13, 20, True), ("staging-out", 20, 21, True),
    ]  # fmt: skip


def test_what_goes_on_goes_on_until_now() -> None:
    row = attempt(state="RUNNING", staging_at=10, started_at=12)
    assert spans(row, 5, 30)[-1] == ("running", 12, 30, False)
    assert spans(attempt(state="OFFERED"), 5, 30) == [("waiting", 5, 30, False)]


def test_clocks_that_disagree_make_no_negative_span() -> None:
    row = attempt(staging_at=9, started_at=8, ended_at=7, reported_at=12)
    assert all(end >= start for _, start, end, _ in spans(row, 10, 99))


def test_attempts_share_one_axis() -> None:
    first = attempt(1, started_at=10, ended_at=30, reported_at=30)
    second = attempt(2, state="RUNNING", offered_at=40, started_at=50)
    one, two = bars([first, second], 0, 100)
    assert [(part.kind, part.x, part.width) for part in one.segments] == [("waiting", 0, 100), ("running", 100, 200)]
    assert [(part.kind, part.x, part.width) for part in two.segments] == [("waiting", 300, 200), ("running", 500, 500)]
    assert bars([], 0, 100) == []
    for bar in bars([attempt(started_at=10, ended_at=10.0001, reported_at=5000)], 0, 6000):
        assert all(0 <= part.x <= part.x + part.width <= WIDTH + 0.1 for part in bar.segments)


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
