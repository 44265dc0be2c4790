"""``agent.live_streams``: when bytes were first seen, and jumping ahead in a stream that grows too fast."""

from pathlib import Path

from sirdar.agent import live_streams
from sirdar.agent.live_streams import Newest, Seen, count_lines, jump_ahead


def test_a_byte_s_time_is_that_of_the_look_that_found_it() -> None:
    seen = Seen(looked_at=100.0)
    seen.look(0, 100.2)
    seen.look(30, 100.3)
    seen.look(30, 100.4)
    seen.look(50, 100.5)
    assert seen.marks == [(0, 100.3), (30, 100.5)] == seen.untold


def test_what_came_between_two_late_looks_has_no_time() -> None:
    seen = Seen(looked_at=100.0)
    seen.look(30, 105.0)  # such as after an agent's restart
    seen.look(40, 105.1)
    seen.look(90, 107.0)
    assert seen.marks == [(0, None), (30, 105.1), (40, None)]


def test_marks_are_thinned_and_stay_true() -> None:
    seen = Seen(looked_at=0.0)
    for number in range(5 * live_streams.MARKS):
        seen.look(number * 10 + 10, number * 0.1)
    assert live_streams.MARKS / 2 <= len(seen.marks) <= live_streams.MARKS
    assert seen.marks[0] == (0, 0.0)
    assert all(at == round(start / 100, 1) for start, at in seen.marks)


def test_far_behind_it_goes_on_near_the_end_at_a_line_s_beginning(tmp_path: Path) -> None:
    path, lines = tmp_path / "stdout", [b"line %d\n" % number for number in range(400_000)]
    whole = b"".join(lines)
    path.write_bytes(whole)
    near = Newest(len(whole) - 1000, 5)
    assert jump_ahead(path, near) is near
    far = jump_ahead(path, Newest(len(lines[0] + lines[1]), 2))
    assert whole[far.sent_bytes - 1 :].startswith(b"\n" + lines[far.line])
    assert 0 < len(whole) - far.sent_bytes <= live_streams.AHEAD_BYTES
    assert count_lines(path, 0, len(whole)) == 400_000
