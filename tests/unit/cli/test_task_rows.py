"""Tasks in lines: long values are cut to the terminal, numbers stand flush right, ``wide`` shows everything."""

from typing import Any

from sirdar.cli.draw import width
from sirdar.cli.session import Terminal
from sirdar.cli.task_rows import task_lines

LONG = "converged after many steps " * 8


def task(no: int, note: str) -> dict[str, Any]:
    result = {"loss": 10.0**no, "note": note, "steps": no * 100}
    return {"no": no, "state": "DONE", "inputs": {"a": no}, "result": result, "resource": {"name": "lab"}, "runS": 1.0}


TASKS = [task(0, "short"), task(1, LONG), task(2, "x")]


def lines(columns: int | None, **more: Any) -> list[str]:
    return task_lines(TASKS, ["a"], [], Terminal(columns is not None, False, columns), Terminal(), **more)


def test_a_long_value_is_cut_to_the_terminal_and_pushes_nothing() -> None:
    for columns in (80, 100, 120):
        found = lines(columns)
        assert all(width(line) <= columns for line in found), found
        place = found[0].index("RESOURCE")
        assert [line[place : place + 3] for line in found[1:]] == ["lab"] * 3
    assert "…" in lines(120)[2]


def test_numbers_stand_flush_right_and_texts_flush_left() -> None:
    found = lines(120)
    loss, note = found[0].index("LOSS") + 4, found[0].index("NOTE")
    assert [line[loss - 4 : loss].strip() for line in found[1:]] == ["1.0", "10.0", "00.0"]
    assert [line[note : note + 1] for line in found[1:]] == ["s", "c", "x"]


def test_wide_shows_everything_whole() -> None:
    found = lines(80, wide=True)
    assert LONG.strip() in found[2] and "STEPS" in found[0] and "…" not in "".join(found)
