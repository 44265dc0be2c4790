"""Everest's plan file: a parameter sweep in lines of ``directive words``.

::

    # comment
    parameter alpha from 0 to 1 step 0.1
    parameter model "first one" second
    constraint $alpha < 0.5
    input_files run.sh @options.txt
    command sh run.sh ${model}
    output_files result.dat @values.txt stdout
    criterion min $error

A line is split as a shell splits it: quotes keep a space, a backslash keeps the next letter, ``#`` after a space begins a comment.
A line that ends with a backslash goes on with the next.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sirdar.domain.expressions import Expression, ExpressionError, Value, compile_expression
from sirdar.domain.names import closest
from sirdar.domain.problems import FieldError
from sirdar.domain.sweep import (
    MOST_CONDITIONS,
    MOST_VALUES,
    TOO_LONG,
    Condition,
    Parameter,
    SweepError,
    chosen,
    shown,
    steps,
    values_of,
)

DIRECTIVES = ("parameter", "constraint", "input_files", "command", "output_files", "criterion")
STREAMS = ("stdout", "stderr")
MOST_PARAMETERS, MOST_FILES = 100, 10_000
MOST_ERRORS = 50  # after so many wrong lines the rest is not read
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_USE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_RANGE = re.compile(r"\S+\s+from(\s|$)")
_WORD = re.compile(r"\w+")
SHOWN_PATHS = 8
_KEY = re.compile(r"\$\{?([^\s{}$]+)\}?")


@dataclass(frozen=True, slots=True)
class Named:
    """A file that the plan names. ``special``: with an ``@``; an input is a template, an output holds lines of ``KEY = VALUE``.

    ``line``: where it stands in the plan, from 1; 0 where there is none.
    """

    path: str
    special: bool = False
    line: int = field(default=0, compare=False)

    @property
    def place(self) -> str:
        """The field of an error about it."""
        return f"plan:{self.line}" if self.line else "plan"


@dataclass(frozen=True, slots=True)
class Criterion:
    """Which task is best: the one with the least (``min``) or greatest (``max``) value of that output."""

    sense: str
    key: str


@dataclass(frozen=True, slots=True)
class Plan:
    parameters: tuple[Parameter, ...]
    constraints: tuple[Expression, ...]
    inputs: tuple[Named, ...]
    command: str  # a line for a shell, with ${NAME} in it
    outputs: tuple[Named, ...]
    criterion: Criterion | None

    def combinations(self, most: int, expired: Callable[[], bool] = lambda: False) -> list[dict[str, Value]]:
        """The parameters of each task. Raises SweepError, ExpressionError (see ``sweep.chosen``)."""
        names = [one.name for one in self.parameters]
        compared = [one.compared for one in self.parameters]
        conditions = [Condition(one, names, compared) for one in self.constraints]
        columns = [one.values for one in self.parameters]
        places = chosen([len(column) for column in columns], conditions, most, paired=False, expired=expired)
        return [{name: column[at] for name, column, at in zip(names, columns, one, strict=True)} for one in places]


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """The plan, or everything that is wrong with it: the field of an error is ``plan:LINE``, lines from 1.

    ``inputs``: the files that it names, right or wrong, so that those that are missing are told together with the rest.
    """

    plan: Plan | None
    errors: list[FieldError]
    inputs: tuple[Named, ...] = ()


@dataclass(slots=True)
class _Draft:
    parameters: dict[str, Parameter] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)  # names of parameters whose lines are wrong, which is told once
    tried: bool = False  # there is a line of a parameter, right or wrong
    values: int = 0  # of all parameters
    constraints: list[tuple[int, str]] = field(default_factory=list)
    inputs: list[Named] = field(default_factory=list)
    command: str = ""
    command_line: int = 0
    outputs: list[Named] = field(default_factory=list)
    criterion: Criterion | None = None


def parse_plan(text: str, expired: Callable[[], bool] = lambda: False) -> ReadPlan:
    """Read a plan. ``expired``: asked now and then whether the time for it is over."""
    draft, errors = _Draft(), list[FieldError]()
    if (at := text.find("\0")) >= 0:
        return ReadPlan(None, [FieldError(f"plan:{text.count(chr(10), 0, at) + 1}", "holds a zero byte")])
    whole = _read_all(draft, text, errors, expired)
    inputs = tuple(draft.inputs)
    if not whole:
        return ReadPlan(None, errors, inputs)
    constraints = list(_constraints(draft, errors))
    errors.extend(_missing(draft))
    errors.extend(_unknown_names(draft))
    if errors:
        return ReadPlan(None, by_line(errors), inputs)
    parameters, outputs = tuple(draft.parameters.values()), tuple(draft.outputs)
    return ReadPlan(Plan(parameters, tuple(constraints), inputs, draft.command, outputs, draft.criterion), [], inputs)


def by_line(errors: Sequence[FieldError]) -> list[FieldError]:
    """In the order of the plan's lines; what belongs to none comes first."""
    return sorted(errors, key=lambda error: int(error.field.partition(":")[2] or 0))


def fill(text: str, values: Mapping[str, Value]) -> str:
    """``${NAME}`` of parameters replaced by their values; what else stands in braces is left as it is."""
    return _USE.sub(lambda found: shown(values[found[1]]) if found[1] in values else found[0], text)


def used_in(text: str) -> list[str]:
    """The names that stand as ``${NAME}`` in a text."""
    return _USE.findall(text)


# ---------------------------------------------------------------- lines


def _read_all(draft: _Draft, text: str, errors: list[FieldError], expired: Callable[[], bool]) -> bool:
    """False where it was not read to its end: it takes too long, holds too much, or too many lines of it are wrong."""
    for number, line in _lines(text):
        try:
            _read(draft, number, line)
        except (SweepError, ExpressionError) as error:
            errors.append(FieldError(f"plan:{number}", str(error)))
        if fault := _too_much(draft, expired):
            errors.append(FieldError(f"plan:{number}", fault))
            return False
        if len(errors) >= MOST_ERRORS:
            return False
    return True


def _too_much(draft: _Draft, expired: Callable[[], bool]) -> str:
    if len(draft.parameters) > MOST_PARAMETERS:
        return f"at most {MOST_PARAMETERS} parameters"
    if draft.values > 2 * MOST_VALUES:
        return f"more than {2 * MOST_VALUES} values of all parameters together"
    if len(draft.inputs) + len(draft.outputs) > MOST_FILES:
        return f"more than {MOST_FILES} names of files"
    return TOO_LONG if expired() else ""


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line with its number; one that goes on after a backslash has the number of its first."""
    began, kept = 0, ""
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        began = began or number
        if line.endswith("\\") and not line.endswith("\\\\"):
            kept += line[:-1] + " "
            continue
        whole, kept, first, began = kept + line, "", began, 0
        if whole.strip() and not whole.lstrip().startswith("#"):
            yield first, whole.strip()
    if kept.strip():
        yield began, kept.strip()


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        raise SweepError("a quote is opened and not closed") from None
    return words


def _without_comment(text: str) -> str:
    """What stands before a ``#`` that follows a space and is in no quotes."""
    quote = ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#" and text[place - 1 : place].isspace():
            return text[:place].rstrip()
    return text


def _read(draft: _Draft, number: int, line: str) -> None:
    directive, _, rest = line.replace("\t", " ").partition(" ")
    rest = rest.strip()
    match directive.lower():
        case "parameter":
            _parameter(draft, _without_comment(rest))
        case "constraint":
            if len(draft.constraints) == MOST_CONDITIONS:
                raise SweepError(f"at most {MOST_CONDITIONS} constraints; && joins several")
            draft.constraints.append((number, _without_comment(rest)))
        case "input_files":
            draft.inputs.extend(_named(_words(_without_comment(rest)), "input_files", number))
        case "output_files":
            draft.outputs.extend(_named(_words(_without_comment(rest)), "output_files", number))
        case "command":
            _command(draft, number, rest)
        case "criterion":
            _criterion(draft, _without_comment(rest))
        case _:
            near = closest(directive, DIRECTIVES)
            meant = f"; did you mean {near}?" if near else f"; there are {', '.join(DIRECTIVES)}"
            raise SweepError(f"{directive[:80]} is no directive{meant}")


def _parameter(draft: _Draft, text: str) -> None:
    draft.tried = True
    name, *values = _words(text) or [""]
    if not name:
        raise SweepError("parameter takes a name and values")
    if not _NAME.fullmatch(name):
        raise SweepError(f"{name[:80]} cannot be a parameter's name: letters, digits and _ can")
    if name in draft.parameters:
        raise SweepError(f"the parameter {name} is there already")
    draft.wrong.add(name)
    if not values:
        raise SweepError(f"the parameter {name} has no values")
    made = _range(values) if _RANGE.match(text) else values_of(values)
    draft.wrong.discard(name)
    draft.parameters[name] = Parameter(name, made)
    draft.values += len(made)


def _range(words: list[str]) -> tuple[Value, ...]:
    """Of ``from FIRST to LAST step STEP``; without a step it is 1."""
    match words:
        case ["from", first, "to", last, "step", step]:
            return steps(first, last, step)
        case ["from", first, "to", last]:
            return steps(first, last, "1")
    said = " ".join(words)[:80]
    raise SweepError(
        f"{said} is no range, such as: from 1 to 10 step 0.5 (a value that is the word from stands in quotes)"
    )


def _named(words: list[str], directive: str, line: int) -> list[Named]:
    if not words:
        raise SweepError(f"{directive} takes names of files")
    found = [Named(word.removeprefix("@"), word.startswith("@"), line) for word in words]
    outside = [word[:200] for word, one in zip(words, found, strict=True) if not _is_below(one.path)]
    if outside:
        shown_ones = ", ".join(outside[:SHOWN_PATHS]) + (", ..." if len(outside) > SHOWN_PATHS else "")
        raise SweepError(
            f"{shown_ones} {'is no path' if len(outside) == 1 else 'are no paths'} below the task's directory"
        )
    for one in found:
        if directive == "output_files" and one.path in STREAMS and one.special:
            raise SweepError(f"{one.path} is named without @")
    return found


def _is_below(path: str) -> bool:
    return bool(path) and not path.startswith("/") and ".." not in path.split("/") and "\x00" not in path


def _command(draft: _Draft, number: int, rest: str) -> None:
    if draft.command:
        raise SweepError(f"the command stands in line {draft.command_line} already")
    draft.command, draft.command_line = rest, number
    if not rest:
        raise SweepError("command takes a command line")


def _criterion(draft: _Draft, rest: str) -> None:
    sense, _, key = rest.partition(" ")
    named = _KEY.fullmatch(key.strip())
    if sense.lower() not in ("min", "max") or named is None:
        raise SweepError("criterion takes min or max and the key of an output, such as: criterion min $error")
    if draft.criterion is not None:
        raise SweepError("there is a criterion already")
    draft.criterion = Criterion(sense.lower(), named[1])


# ---------------------------------------------------------------- the whole


def _constraints(draft: _Draft, errors: list[FieldError]) -> Iterator[Expression]:
    kinds = {name: one.kind for name, one in draft.parameters.items()}
    for number, text in draft.constraints:
        if not draft.wrong.isdisjoint(_WORD.findall(text)):
            continue
        try:
            made = compile_expression(text, kinds)
            if made.kind == "text":
                raise ExpressionError("a constraint is a comparison")
            yield made
        except ExpressionError as error:
            errors.append(FieldError(f"plan:{number}", str(error)))


def _missing(draft: _Draft) -> Iterator[FieldError]:
    if not draft.tried:
        yield FieldError("plan", "there is no parameter", "a line such as: parameter x 1 2 3")
    if not draft.command_line:
        yield FieldError("plan", "there is no command", "a line such as: command sh run.sh ${x}")


def _unknown_names(draft: _Draft) -> Iterator[FieldError]:
    """In names of files only: a command's line may use the shell's own variables."""
    for one in (*draft.inputs, *draft.outputs):
        for name in _USE.findall(one.path):
            if name not in draft.parameters and name not in draft.wrong:
                yield FieldError(one.place, f"{one.path}: there is no parameter {name}")
