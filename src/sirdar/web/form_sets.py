"""The input sets of a job of many tasks out of a text: a JSON list, JSON lines, or a table with a header line (CSV). Pure.

What is wrong is said with the line on which it stands.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sirdar.domain.app import FILE_INPUTS, InputSpec, InputType
from sirdar.domain.names import closest
from sirdar.domain.problems import FieldError
from sirdar.domain.value_texts import from_text
from sirdar.domain.value_words import Invalid
from sirdar.domain.values import check
from sirdar.web import service_words
from sirdar.web.code_examples import example_value
from sirdar.web.words import gettext, ngettext

MAX_ERRORS = 20
MOST_SETS = 100_000  # of a form's text or file
DELIMITERS = (",", ";", "\t")
PLAIN = frozenset({InputType.STRING, InputType.NUMBER, InputType.INTEGER, InputType.BOOLEAN, InputType.ENUM})
NUMBERS = frozenset({InputType.NUMBER, InputType.INTEGER})
_BLANK = " \t\r\n"
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_ROW = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")  # as programs of all systems end them


@dataclass(slots=True)
class Sets:
    """What was read. ``lines``: where each set begins, from 1; empty where they came from elsewhere than a text.

    ``name``: of the file, ``job``: of the job that they come from.
    """

    items: list[dict[str, Any]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    errors: list[FieldError] = field(default_factory=list)
    name: str = ""
    job: str = ""

    def line_of(self, number: int) -> int | None:
        return self.lines[number] if 0 <= number < len(self.lines) else None


class _Wrong(ValueError):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


def read_sets(specs: Sequence[InputSpec], text: str, most: int = MOST_SETS) -> Sets:
    """The sets of a text. Its shape is seen from its first letter: ``[`` a JSON list, ``{`` JSON lines, else a table.

    Where there are more than ``most``, or than a form takes, the rest is not read, and none is given.
    """
    text = text.removeprefix("\ufeff")
    first = text.lstrip(_BLANK)[:1]
    sets = Sets()
    found = _list(text) if first == "[" else _json_lines(text) if first == "{" else _table(specs, text, sets)
    try:
        for line, item in found:
            if len(sets.items) >= min(most, MOST_SETS):
                return Sets(errors=[_too_many(most)])
            sets.items.append(item)
            sets.lines.append(line)
    except _Wrong as wrong:
        sets.errors.append(_error(wrong.line, wrong.what))
    if not sets.items and not sets.errors:
        what = gettext("It holds no input sets: the lines after the header are missing.") if first != "[" else ""
        sets.errors.append(FieldError("foreach", what or gettext("It holds no input sets.")))
    return sets


def _error(line: int, what: str) -> FieldError:
    return FieldError("foreach", gettext("Line %(line)s: %(what)s", line=line, what=what))


def _too_many(most: int) -> FieldError:
    if most < MOST_SETS:
        told = ngettext(
            "This server takes at most %(num)s set of one job.",
            "This server takes at most %(num)s sets of one job.",
            most,
        )
        return FieldError("foreach", told)
    told = gettext(
        "A form takes at most %(count)s sets: put them into a file of JSON lines, and send that with %(cli)s, or upload it and "
        "name it in a call of the API: %(call)s.",
        count=MOST_SETS,
        cli="sirdar run --foreach",
        call='"foreach": {"uri": …}',
    )
    return FieldError("foreach", told)


def _lines(text: str, pattern: re.Pattern[str]) -> Iterator[str]:
    """One after another: a text may be of many."""
    return (found[0] for found in pattern.finditer(text))


# ---------------------------------------------------------------- JSON


def _list(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The elements one by one, so that the line of each is known."""
    decode = json.JSONDecoder().raw_decode
    at = _skip(text, text.index("[") + 1)
    line, counted = 1, 0
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        item, at = _decoded(decode, text, at)
        if not isinstance(item, dict):
            raise _Wrong(line, gettext("not a set of inputs, as in %(example)s", example='{"x": 1}'))
        yield line, item
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            raise _Wrong(text.count("\n", 0, at) + 1, gettext("a comma or ] is missing"))
    if rest := text[at + 1 :].strip():
        raise _Wrong(text.count("\n", 0, at) + 1, gettext("something follows the list: %(what)s", what=rest[:40]))


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _decoded(decode: Any, text: str, at: int) -> tuple[Any, int]:
    try:
        item, end = decode(text, at)
    except json.JSONDecodeError as error:
        raise _Wrong(error.lineno, gettext("not JSON: %(why)s", why=f"{error.msg}, column {error.colno}")) from None
    except (ValueError, RecursionError):
        raise _Wrong(
            text.count("\n", 0, at) + 1, gettext("not JSON: %(why)s", why=gettext("nested too deep"))
        ) from None
    return item, end


def _json_lines(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(text, _LINE), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except json.JSONDecodeError as error:
            raise _Wrong(number, gettext("not JSON: %(why)s", why=f"{error.msg}, column {error.colno}")) from None
        except (ValueError, RecursionError):
            raise _Wrong(number, gettext("not JSON: %(why)s", why=gettext("nested too deep"))) from None
        if not isinstance(item, dict):
            raise _Wrong(number, gettext("not a set of inputs, as in %(example)s", example='{"x": 1}'))
        yield number, item


# ---------------------------------------------------------------- a table


def _table(specs: Sequence[InputSpec], text: str, sets: Sets) -> Iterator[tuple[int, dict[str, Any]]]:
    """A column for each input that differs; an empty cell gives nothing."""
    known = {spec.name: spec for spec in specs}
    rows = csv.reader(_lines(text, _ROW), delimiter=_delimiter(known, text), skipinitialspace=True)
    header: list[str] | None = None
    begin = 1
    try:
        for row in rows:
            line, begin = begin, rows.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if header is None:
                header = _header(known, row, line)
                continue
            if len(row) != len(header):
                what = gettext("%(found)s cells, and the header has %(wanted)s", found=len(row), wanted=len(header))
                sets.errors.append(_error(line, what))
            else:
                yield line, _row(known, header, row, line, sets)
            if len(sets.errors) >= MAX_ERRORS:
                return
    except csv.Error as error:
        raise _Wrong(rows.line_num, gettext("not a table: %(why)s", why=str(error))) from None


def _delimiter(known: Mapping[str, InputSpec], text: str) -> str:
    """The one by which the header falls into the most names of inputs."""
    header = next((line for line in _lines(text, _LINE) if line.strip()), "")

    def names(delimiter: str) -> int:
        return sum(cell.strip().strip('"') in known for cell in header.split(delimiter))

    return max(DELIMITERS, key=names)


def _header(known: Mapping[str, InputSpec], row: Sequence[str], line: int) -> list[str]:
    header = [cell.strip() for cell in row]
    for number, name in enumerate(header):
        if name not in known:
            near = closest(name, known)
            meant = near or ", ".join([*known][:12]) or "–"
            raise _Wrong(line, gettext("no input is called %(name)s; known: %(meant)s", name=_cut(name), meant=meant))
        if name in header[:number]:
            raise _Wrong(line, gettext("%(name)s stands in the header twice", name=name))
    return header


def _cut(text: str) -> str:
    return f"“{text[:60]}”"


def _row(
    known: Mapping[str, InputSpec], header: Sequence[str], row: Sequence[str], line: int, sets: Sets
) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=True):
        if not cell.strip():
            continue
        try:
            item[name] = from_text(known[name], cell)
        except Invalid as error:
            sets.errors.append(_error(line, f"{name}: {service_words.say(error.detail)}"))
    return item


# ---------------------------------------------------------------- what is wrong with the values


def check_sets(
    specs: Sequence[InputSpec], common: Mapping[str, Any], sets: Sets, most: int | None = None
) -> list[FieldError]:
    """Each of the first ``most`` sets over what they have in common, as the submission would look at it.

    What a set does not give itself is wrong at the input's own field.
    """
    found: dict[FieldError, None] = {}
    for number, item in enumerate(sets.items[:most]):
        where = f"foreach[{number}]"
        _, errors = check(specs, {**common, **item}, file_refs=False, where=where)
        for error in errors:
            place = error.field.removeprefix(where)
            own = place.lstrip(".").partition("[")[0] in item
            found[placed(error, sets) if own else replace(error, field=f"inputs{place}")] = None
        if len(found) >= MAX_ERRORS:
            break
    return list(found)


def in_lines(errors: Sequence[FieldError]) -> list[FieldError]:
    """As their lines stand in the text: each begins with the number of its own."""

    def line(error: FieldError) -> int:
        number = re.search(r"\d+", error.detail)
        return int(number[0]) if number else 0

    return sorted(errors, key=line)


def placed(error: FieldError, sets: Sets | None) -> FieldError:
    """An error of ``foreach[3].folds``, with its line, or its number from 1 where there is no line."""
    inside, _, place = error.field.removeprefix("foreach[").partition("]")
    if not error.field.startswith("foreach[") or not inside.isdecimal():
        return error
    number, name = int(inside), place.lstrip(".")
    what = service_words.say(error.detail)
    what = f"{name}: {what}" if name else what
    if line := (sets.line_of(number) if sets else None):
        return _error(line, what)
    return FieldError("foreach", gettext("Set %(number)s: %(what)s", number=number + 1, what=what))


# ---------------------------------------------------------------- what it looks like


def sample(specs: Sequence[InputSpec]) -> str:
    """Two or three sets of this application's own inputs: a table where its values fit into cells, else JSON lines."""
    needed = [spec for spec in specs if spec.type is not InputType.SECRET]
    plain = sorted((spec for spec in needed if spec.type in PLAIN), key=lambda spec: spec.type not in NUMBERS)
    if plain:
        shown = plain[:2]
        rows = [",".join(_cell(_varied(spec, number)) for spec in shown) for number in range(3)]
        return "\n".join([",".join(spec.name for spec in shown), *dict.fromkeys(rows)])
    if files := [spec for spec in needed if spec.type in FILE_INPUTS and spec.type is not InputType.FILES]:
        suffix = files[0].suffixes[0] if files[0].suffixes else ""
        return "\n".join([files[0].name, *(f"https://example.org/{number}{suffix}" for number in (1, 2))])
    return json.dumps({spec.name: example_value(spec) for spec in needed[:2]}, ensure_ascii=False)


def _varied(spec: InputSpec, number: int) -> Any:
    """One value after another that the input takes."""
    if spec.type is InputType.BOOLEAN:
        return number % 2 == 0
    if spec.values:
        return spec.values[number % len(spec.values)]
    value = example_value(spec)
    if spec.type not in NUMBERS or not isinstance(value, int | float):
        return value if isinstance(value, str) and value not in {"", "..."} else f"{spec.name}{number + 1}"
    low = value if spec.maximum is None or value + 2 <= spec.maximum else max(value - 2, spec.minimum or value - 2)
    varied = low + number if spec.type is InputType.INTEGER or abs(low) >= 1 or low == 0 else low * (number + 1)
    fits = spec.maximum is None or varied <= spec.maximum
    return float(f"{varied:.6g}") if isinstance(varied, float) and fits else varied if fits else low


def _cell(value: Any) -> str:
    text = "true" if value is True else "false" if value is False else str(value)
    return '"' + text.replace('"', '""') + '"' if any(letter in text for letter in ',"\n') else text
