"""The table of a job of many tasks: its columns, and how it is sorted. Pure.

What can stand in a column is a scalar: inputs that differ between the tasks (of a file its name), and outputs that are values.
"""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sirdar.domain.app import App, InputSpec, InputType, OutputType
from sirdar.domain.problems import Problem


class Kind(StrEnum):
    """How a column's values compare and look.

    NUMBER: as numbers. TEXT: by their letters. BOOLEAN: false before true. TIME: seconds since 1970, written as a date.
    """

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Column:
    """``name`` as in addresses: ``no``, ``state``, ``resource``, ``waitS``, ``runS``, ``inputs.NAME``, ``outputs.NAME``,
    ``totalS``, ``stagedInBytes``, ``stagedOutBytes`` or ``attempts``.

    ``path``: where in a stored input set or result the value stands; empty for what the platform knows itself. ``unit``: of the
    values, as people write it.
    """

    name: str
    kind: Kind
    title: str = ""
    path: tuple[str, ...] = ()
    unit: str = ""
    whole: bool = False  # of numbers: they have no fraction

    @property
    def of_input(self) -> bool:
        return self.name.startswith("inputs.")

    @property
    def of_output(self) -> bool:
        return self.name.startswith("outputs.")


NO, STATE, RESOURCE = Column("no", Kind.NUMBER, whole=True), Column("state", Kind.TEXT), Column("resource", Kind.TEXT)
WAIT, RUN = Column("waitS", Kind.NUMBER, unit="s"), Column("runS", Kind.NUMBER, unit="s")
FIXED = (NO, STATE, RESOURCE, WAIT, RUN)
TOTAL, ATTEMPTS = Column("totalS", Kind.NUMBER, unit="s"), Column("attempts", Kind.NUMBER, whole=True)
BYTES_IN = Column("stagedInBytes", Kind.NUMBER, unit="B", whole=True)
BYTES_OUT = Column("stagedOutBytes", Kind.NUMBER, unit="B", whole=True)
SELDOM = (TOTAL, BYTES_IN, BYTES_OUT, ATTEMPTS)  # there for whoever asks for them
AGAIN = Column(
    "againOf", Kind.NUMBER, whole=True
)  # of a job that runs some tasks of another again: their numbers there
EXPORTED = (  # besides, in a file of the whole table
    Column("reason", Kind.TEXT),
    Column("createdAt", Kind.TIME),
    Column("startedAt", Kind.TIME),
    Column("endedAt", Kind.TIME),
)
NO_COLOR = "none"  # of a plot, where a colour would be chosen
MOST_LETTERS = 200  # of a text that is sorted and compared
_INPUTS = {
    InputType.NUMBER: Kind.NUMBER,
    InputType.INTEGER: Kind.NUMBER,
    InputType.BOOLEAN: Kind.BOOLEAN,
    InputType.STRING: Kind.TEXT,
    InputType.ENUM: Kind.TEXT,
    InputType.FILE: Kind.TEXT,
    InputType.DIRECTORY: Kind.TEXT,
}
_OUTPUTS = {
    OutputType.NUMBER: Kind.NUMBER,
    OutputType.INTEGER: Kind.NUMBER,
    OutputType.BOOLEAN: Kind.BOOLEAN,
    OutputType.STRING: Kind.TEXT,
}
_FILES = frozenset({InputType.FILE, InputType.DIRECTORY})


@dataclass(frozen=True, slots=True)
class Sort:
    """``descending``: the largest first. What has no value comes last either way."""

    column: Column = NO
    descending: bool = False


class Compare(StrEnum):
    """How a condition compares; what has no value fits none of them."""

    EQUAL = "="
    DIFFERENT = "!="
    AT_MOST = "<="
    AT_LEAST = ">="
    LESS = "<"
    MORE = ">"


@dataclass(frozen=True, slots=True)
class Condition:
    """One value of a task against a given one: ``outputs.loss<0.01``."""

    column: Column
    compare: Compare
    value: float | str


_CONDITION = re.compile(r"\s*(?P<name>[\w.\- ]+?)\s*(?P<compare><=|>=|!=|==|=|<|>)\s*(?P<value>.*)", re.DOTALL)
_TRUTHS = {"true": 1.0, "yes": 1.0, "1": 1.0, "false": 0.0, "no": 0.0, "0": 0.0}


def read_condition(columns: Sequence[Column], text: str) -> Condition:
    """``inputs.solver=ipopt``, ``outputs.loss<=0.01``: a column that is indexed, compared. Raises Problem ``invalid_field``."""
    expected = "a column, one of = != < <= > >=, and a value, such as outputs.loss<0.01"
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise Problem("invalid_field", f"{text[:80]!r} is no condition.", field="where", expected=expected)
    column = find_column([one for one in columns if is_ordered(one)], found["name"], "where")
    compare = Compare("=" if found["compare"] == "==" else found["compare"])
    given = found["value"].strip()
    if column.kind is Kind.TEXT:
        return Condition(column, compare, given[:MOST_LETTERS])
    value = _TRUTHS.get(given.casefold()) if column.kind is Kind.BOOLEAN else _number(given)
    if value is None:
        kind = "truth (true or false)" if column.kind is Kind.BOOLEAN else "number"
        raise Problem("invalid_field", f"{given[:80]!r} is no {kind}.", field="where", expected=expected)
    return Condition(column, compare, value)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def is_ordered(column: Column) -> bool:
    """Whether the column's values are kept in order for jobs that are looked at so."""
    return bool(column.path) or column is RUN


def ordered_value(value: Any) -> tuple[float | None, str | None] | None:
    """A value as it is kept in order: a number (a truth is 0 or 1), or the beginning of a text. None where there is none."""
    if isinstance(value, str):
        return None, value.replace("\0", "\ufffd")[:MOST_LETTERS]
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    return None if math.isnan(number) else (number, None)


def varying(items: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Names of the inputs that are not the same in all of these input sets."""
    first: dict[str, Any] = {}
    given: dict[str, int] = {}
    differ: set[str] = set()
    count = 0
    for item in items:
        count += 1
        for name, value in item.items():
            if name in differ:
                continue
            if name not in first:
                first[name], given[name] = value, 1
            elif first[name] != value:
                differ.add(name)
            else:
                given[name] += 1
    return frozenset(differ | {name for name, times in given.items() if times < count})


def columns_of(app: App, differing: Collection[str]) -> tuple[Column, ...]:
    """All columns of the table, in the order of the application's description."""
    inputs = [_input(spec) for spec in app.inputs if spec.name in differing and spec.type in _INPUTS]
    outputs = [
        Column(
            f"outputs.{spec.name}",
            _OUTPUTS[spec.type],
            spec.title,
            (spec.name,),
            spec.unit or "",
            spec.type is OutputType.INTEGER,
        )
        for spec in app.outputs
        if spec.type in _OUTPUTS
    ]
    return (*FIXED, *inputs, *outputs, *SELDOM)


def found_columns(app: App, results: Iterable[Mapping[str, Any]], known: Iterable[Column]) -> Iterator[Column]:
    """A column for each value of an output of type ``values`` that stands in these results, in the order in which they appear."""
    if all(spec.type is not OutputType.VALUES for spec in app.outputs):
        return
    declared = {spec.name for spec in app.outputs} | {column.name.removeprefix("outputs.") for column in known}
    kinds: dict[str, Kind] = {}
    broken: set[str] = set()  # of numbers: some are not whole
    for result in results:
        for name, value in result.items():
            if name not in declared and isinstance(value, str | int | float):
                kind = _kind_of(value)
                kinds[name] = kind if kinds.get(name, kind) is kind else Kind.TEXT
                if not _is_whole(value):
                    broken.add(name)
    for name, kind in kinds.items():
        yield Column(f"outputs.{name}", kind, name, (name,), whole=kind is Kind.NUMBER and name not in broken)


def widen(found: dict[str, Column], more: Iterable[Column]) -> None:
    """Add columns of further results: one that holds values of several kinds is of texts."""
    for column in more:
        known = found.setdefault(column.name, column)
        kind = known.kind if known.kind is column.kind else Kind.TEXT
        found[column.name] = replace(known, kind=kind, whole=kind is Kind.NUMBER and known.whole and column.whole)


def _is_whole(value: str | float) -> bool:
    """A whole number of 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _kind_of(value: str | float) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    return Kind.TEXT if isinstance(value, str) else Kind.NUMBER


def _input(spec: InputSpec) -> Column:
    kind, whole = _INPUTS[spec.type], spec.type is InputType.INTEGER
    if spec.type is InputType.ENUM and len(kinds := {_kind_of(value) for value in spec.values}) == 1:
        kind, whole = kinds.pop(), all(map(_is_whole, spec.values))
    path = (spec.name, "$file", "name") if spec.type in _FILES else (spec.name,)
    return Column(
        f"inputs.{spec.name}",
        kind,
        spec.title,
        path,
        spec.unit or "",
        whole,
    )


def value_at(document: Mapping[str, Any], column: Column) -> Any:
    """The column's value in a stored input set or result; None where there is none."""
    value: Any = document
    for key in column.path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value if isinstance(value, str | int | float) else None


def find_column(columns: Sequence[Column], name: str, field: str) -> Column:
    """Raises Problem ``invalid_field``, which says what there is."""
    found = next((column for column in columns if column.name == name), None)
    if found is None:
        names = ", ".join(column.name for column in columns)
        raise Problem("invalid_field", f"The table has no column {name[:80]!r}.", field=field, expected=names)
    return found


def read_sort(columns: Sequence[Column], text: str) -> Sort:
    """``-outputs.error``: by that column, the largest first; empty: by number. Raises Problem ``invalid_field``."""
    if not text:
        return Sort()
    return Sort(find_column(columns, text.removeprefix("-"), "sort"), text.startswith("-"))


def read_axes(
    columns: Sequence[Column], x: str, y: str, color: str, *, sought: str = ""
) -> tuple[Column, Column, Column | None]:
    """What a plot shows. Where nobody chose: the output ``sought``, if the job seeks the best of one, else the first output that
    is a number, over the first such input, else how long each ran; in the colour of another input that varies, else of what is
    sought, if it is not an axis already. The color ``none`` is no colour.

    Raises Problem ``invalid_field``.
    """
    numbers = [column for column in columns if column.kind is Kind.NUMBER]
    wanted = next((column for column in numbers if sought and column.name == f"outputs.{sought}"), None)
    of_x = next((column for column in numbers if column.of_input), NO)
    of_y = wanted or next((column for column in numbers if column.of_output), RUN)
    along = find_column(columns, x, "x") if x else of_x
    up = find_column(columns, y, "y") if y else of_y
    return along, up, _color(columns, color, wanted, (along, up))


def _color(columns: Sequence[Column], color: str, wanted: Column | None, shown: Sequence[Column]) -> Column | None:
    if color == NO_COLOR:
        return None
    if color:
        return find_column(columns, color, "color")
    others = [column for column in columns if column.of_input and column not in shown]
    others.sort(key=lambda column: column.kind is not Kind.NUMBER)
    return next(iter(others), wanted if wanted not in shown else None)
