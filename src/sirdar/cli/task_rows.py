"""Tasks of a job in lines: what was asked for and what varies stand beside how each of them went."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sirdar.cli import draw
from sirdar.cli.job_page import value_words
from sirdar.cli.numbers import duration, size
from sirdar.cli.session import Terminal

MOST_VALUES = 12  # columns of inputs and outputs
WIDEST_VALUE = 16
FEWEST_LETTERS = 48  # of a terminal's line, for what is told of every task
_COLUMN = re.compile(r"(inputs|outputs)\.[\w.\- ]*\w")

Task = Mapping[str, Any]


def task_lines(
    tasks: Sequence[Task],
    varying: Sequence[str],
    asked: Sequence[str],
    terminal: Terminal,
    states: Terminal,
    *,
    wide: bool = False,
) -> list[str]:
    """A table of them.

    ``varying``: names of inputs. ``asked``: conditions and a column to sort by, whose columns come first; the others as
    far as the terminal is wide. ``wide``: all columns, and every value whole, however long the lines become.
    """
    if wide:
        terminal = replace(terminal, columns=None)
    named = [found[0] for text in asked if (found := _COLUMN.match(text.strip().removeprefix("-")))]
    names = dict.fromkeys([*named, *_values(tasks, varying)])
    values = list(names) if wide else _fitting(tasks, names, len(set(named)), terminal)
    again = any("againOf" in task for task in tasks)
    headers = [
        "no>",
        *(["again of>"] if again else []),
        "state",
        *(_short(name, values) + (">" if _of_numbers(tasks, name) else "") for name in values),
        "resource",
        "waited>",
        "ran>",
    ]
    if not values:
        headers += ["in>", "out>", "attempts>"]
    most = None if wide else 2 * WIDEST_VALUE
    rows = [_row(task, [_cell(task, name, most) for name in values], states, again=again) for task in tasks]
    return draw.table([*headers, "message"], rows, terminal)


def _row(task: Task, values: Sequence[str], states: Terminal, *, again: bool) -> list[Any]:
    number = [task.get("no"), *([task.get("againOf")] if again else [])]
    row = [*number, draw.state(str(task.get("state")), states), *values]
    row += [_place(task.get("resource")), duration(task.get("waitS")), duration(task.get("runS"))]
    if not values:
        row += [size(task.get("stagedInBytes")), size(task.get("stagedOutBytes")), task.get("attempts")]
    return [*row, (task.get("outcome") or {}).get("message") or task.get("statusMessage")]


def _values(tasks: Sequence[Task], varying: Sequence[str]) -> Iterator[str]:
    """Inputs that vary, then outputs that are values: numbers, truths and short texts, but no files."""
    yield from (f"inputs.{name}" for name in varying)
    for task in tasks:
        for name, value in (task.get("result") or {}).items():
            if isinstance(value, int | float) or (isinstance(value, str) and not value.startswith("/api/files/")):
                yield f"outputs.{name}"


def _fitting(tasks: Sequence[Task], names: Mapping[str, None], asked: int, terminal: Terminal) -> list[str]:
    """Those that were asked for, and of the others the first ones, as far as there is room."""
    left = None if terminal.columns is None else terminal.columns - FEWEST_LETTERS
    chosen: list[str] = []
    for name in names:
        words = [_short(name, ()), *(_cell(task, name) for task in tasks)]
        needed = min(WIDEST_VALUE, max(draw.width(word) for word in words)) + 2
        left = None if left is None else left - needed
        if len(chosen) >= max(asked, MOST_VALUES) or (len(chosen) >= asked and left is not None and left < 0):
            break
        chosen.append(name)
    return chosen


def _short(name: str, among: Sequence[str]) -> str:
    """A column's own name, where no other is called so."""
    own = name.partition(".")[2]
    return name if sum(other.partition(".")[2] == own for other in among) > 1 else own


def _of_numbers(tasks: Sequence[Task], name: str) -> bool:
    """Whether no value in the column is a text, so that digits shall stand below digits."""
    return not any(isinstance(_value(task, name), str) for task in tasks)


def _cell(task: Task, name: str, most: int | None = 2 * WIDEST_VALUE) -> str:
    value = _value(task, name)
    text = "" if value is None else value_words(value, most)
    return text if most is None else draw.cut(text, most)


def _value(task: Task, name: str) -> Any:
    kind, _, own = name.partition(".")
    value: Any = (task.get("inputs") if kind == "inputs" else task.get("result")) or {}
    if own not in value:  # a value within an output, as ``outputs.values.loss``
        for key in own.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
    else:
        value = value[own]
    return value


def _place(resource: Any) -> str:
    return str(resource.get("name", "")) if isinstance(resource, Mapping) else str(resource or "")
