"""When problems are sent while others are still written."""

from sirdar.optim.sending import Pace


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def calls(count: int, each_s: float, call_s: float, *, known: bool = True, each_bytes: int = 0) -> list[int]:
    """Sizes of the portions, the last one too, where a problem takes ``each_s`` to write."""
    clock = Clock()
    pace = Pace(count if known else None, clock)
    sizes, fresh = [], 0
    for written in range(1, count + 1):
        clock.now += each_s
        fresh += 1
        if pace.is_time(written, fresh, fresh * each_bytes):
            with pace.call():
                clock.now += call_s
            sizes.append(fresh)
            fresh = 0
    return [*sizes, fresh]


def test_what_is_there_quickly_is_one_call() -> None:
    assert calls(1, 0.5, 0.01) == [1]
    assert calls(2, 0.007, 0.01) == [2]
    assert calls(100, 0.0001, 0.01) == [100]


def test_the_first_go_at_once_and_portions_grow() -> None:
    eight = calls(8, 0.007, 0.008)
    assert eight[0] == 2 and sum(eight) == 8 and 2 <= len(eight) <= 3
    many = calls(200, 0.007, 0.008)
    assert many[0] == 2 and len(many) < 25 and many[-2] > 2 * many[0]


def test_slow_ones_go_one_by_one_while_calls_are_cheap() -> None:
    assert calls(5, 0.4, 0.01, known=False) == [1, 1, 1, 1, 1, 0]
    assert len(calls(20, 0.1, 0.5)) <= 4, "a call that takes long is not made for each"


def test_much_to_send_goes_in_portions_however_quickly_it_is_there() -> None:
    assert calls(200, 0.00004, 0.02, each_bytes=38_000) == [7, *[56] * 3, 25]
    assert calls(6, 0.00004, 0.02, each_bytes=38_000) == [6]
    assert calls(7, 0.00004, 0.02, each_bytes=38_000) == [7], "the last go with the word that they are the last"
