"""A sweep as a form says it: a text of values for each input, conditions on lines, and how combinations are made. Pure.

Names of the form's parts: ``sweep.NAME`` an input's values, as ``sirdar sweep -i NAME=...`` takes them; ``where`` conditions, one
on each line; ``mode`` ``product`` or ``zip``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sirdar.domain.app import FILE_INPUTS, InputSpec, InputType
from sirdar.domain.problems import FieldError
from sirdar.web import service_words, words
from sirdar.web.code_examples import example_value

SWEEP, WHERE, MODE = "sweep.", "where", "mode"
PARAMETERS = "sweep.parameters."
# Lists, objects and several files are no values between commas, and secrets are not shown again: a table of sets takes them.
SWEPT = frozenset(InputType) - {InputType.SECRET, InputType.FILES, InputType.LIST, InputType.JSON}
MOST_CHOICES = 6  # shown as what may stand in a field


@dataclass(slots=True)
class Swept:
    """A sweep that was typed. ``body``: as ``wire.submit.Sweep`` takes it; ``lines``: where each condition stands, from 1.

    ``total`` and ``tasks``: combinations, and those that meet the conditions; None where they were not counted. ``uncounted``: it
    would have taken too long.
    """

    body: dict[str, Any]
    lines: list[int] = field(default_factory=list)
    errors: list[FieldError] = field(default_factory=list)
    total: int | None = None
    tasks: int | None = None
    uncounted: bool = False

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.body["parameters"])


def read_sweep(specs: Sequence[InputSpec], texts: Mapping[str, str], *, tabled: bool) -> Swept | None:
    """None where no input has values of its own for each task, and no condition asks for them. ``tabled``: there are input sets."""
    named = {spec.name: text for spec in specs if (text := texts.get(SWEEP + spec.name, "").strip())}
    lines = [(number, line.strip()) for number, line in enumerate(texts.get(WHERE, "").splitlines(), 1)]
    conditions = [(number, line) for number, line in lines if line]
    if not named and not conditions:
        return None
    body: dict[str, Any] = {"parameters": named, "where": [line for _, line in conditions]}
    if texts.get(MODE) == "zip":
        body["mode"] = "zip"
    swept = Swept({name: value for name, value in body.items() if value or name == "parameters"})
    swept.lines = [number for number, _ in conditions]
    if not named:
        told = words.gettext("No input has values that a condition could choose from: give some above.")
        swept.errors.append(FieldError("sweep.where", told))
    if tabled:
        told = words.gettext("A sweep and a table of sets exclude one another: keep one of them.")
        swept.errors.append(FieldError("sweep", told))
    return swept


def placed(error: FieldError, swept: Swept | None) -> FieldError:
    """An error of a sweep in words that say which value, or which line, it is of."""
    inside = error.field.partition("[")[2].partition("]")[0]
    if not inside.isdecimal() or not error.field.startswith("sweep."):
        return error
    number = int(inside)
    if error.field.startswith(PARAMETERS):
        what = words.gettext("value %(number)s: %(what)s", number=number + 1, what=service_words.say(error.detail))
        return FieldError(error.field.partition("[")[0], what, error.expected)
    if swept is None or len(swept.lines) < 2 or number >= len(swept.lines):
        return replace(error, field="sweep.where")
    what = words.gettext("Line %(line)s: %(what)s", line=swept.lines[number], what=service_words.say(error.detail))
    return FieldError("sweep.where", what, error.expected)


def part_of(place: str) -> str:
    """The part of the form that an error's field is of: ``sweep.parameters.a[2]`` is ``sweep.a``'s; empty for anything else."""
    if place.startswith(PARAMETERS):
        return SWEEP + place.removeprefix(PARAMETERS).partition("[")[0]
    if place.startswith("sweep.where"):
        return WHERE
    return "sweep" if place.partition(".")[0] == "sweep" else ""


# ---------------------------------------------------------------- what the page says of it


@dataclass(frozen=True, slots=True)
class Row:
    """An input that may have values of its own for each task. ``sample``: values that it would take."""

    name: str
    title: str
    text: str
    sample: str
    unit: str


def rows(specs: Sequence[InputSpec], texts: Mapping[str, str]) -> list[Row]:
    return [
        Row(spec.name, spec.title or spec.name, texts.get(SWEEP + spec.name, ""), _sample(spec), spec.unit or "")
        for spec in specs
        if spec.type in SWEPT
    ]


def _sample(spec: InputSpec) -> str:
    if spec.type is InputType.BOOLEAN:
        return "true, false"
    if spec.values:
        return ", ".join(str(value) for value in spec.values[:MOST_CHOICES])
    if spec.type is InputType.INTEGER:
        first = int(spec.minimum) if spec.minimum is not None else 1
        return f"{first}..{int(spec.maximum) if spec.maximum is not None else first + 9}"
    if spec.type is InputType.NUMBER:
        return _range(spec)
    return "https://…, https://…" if spec.type in FILE_INPUTS else "x, y"


def _range(spec: InputSpec) -> str:
    """Some values around the default, within the bounds where it has both."""
    if spec.minimum is not None and spec.maximum is not None:
        return f"{spec.minimum:g}..{spec.maximum:g}:{(spec.maximum - spec.minimum) / 10:g}"
    value = example_value(spec)
    if isinstance(value, int | float) and 0 < value < 1 and (spec.maximum is None or value * 100 <= spec.maximum):
        return f"{value:g}..{value * 100:g}:*10"
    return "0..1:0.1" if spec.minimum is None or spec.minimum <= 0 else f"{spec.minimum:g}..{spec.minimum * 10:g}"


def told(swept: Swept | None) -> str:
    """How many tasks it would be."""
    if swept is None or swept.errors:
        return ""
    if swept.uncounted:
        later = words.gettext("Counting takes a while: it is done when the form is sent.")
        return later if swept.total is None else f"{_combinations(swept.total)}. {later}"
    if swept.total is None or swept.tasks is None:
        return ""
    tasks = words.ngettext("%(num)s task", "%(num)s tasks", swept.tasks)
    if "where" not in swept.body:
        return f"{_combinations(swept.total)}: {tasks}."
    left = words.ngettext("%(num)s passes the conditions", "%(num)s pass the conditions", swept.tasks)
    return f"{_combinations(swept.total)}, {left}: {tasks}."


def _combinations(count: int) -> str:
    return words.ngettext("%(num)s combination", "%(num)s combinations", count)
