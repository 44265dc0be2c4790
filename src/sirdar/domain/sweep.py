"""The grid of a sweep: parameters, their values, and the combinations that conditions leave. All is made when it is asked for."""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext

from sirdar.domain.expressions import Expression, ExpressionError, Kind, Value

MOST_VALUES = 1_000_000  # of one parameter
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
MOST_COMBINATIONS = 10_000_000  # that conditions may be asked about
MOST_CONDITIONS = 100
TOO_LONG = "takes too long; give fewer values, or plainer conditions"
_SHOWN_CHARS = 40  # of a value that a message names
_AT_ONCE = 1000  # combinations between two looks at the time
_DIGITS, _EXPONENT = 40, 400  # of a number in a range: int(Decimal("1e500000")) takes seconds, and holds all threads
_SCALE = 1000  # digits that hold each sum and product of whole numbers of such sizes exactly


class SweepError(ValueError):
    """What is wrong with a sweep."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One axis: a name and at least one value."""

    name: str
    values: tuple[Value, ...]

    @property
    def kind(self) -> Kind:
        """As conditions see its values: texts that all stand for numbers are compared as numbers."""
        return "text" if any(isinstance(value, str) for value in self.compared) else "number"

    @property
    def compared(self) -> tuple[Value, ...]:
        numbers = tuple(number_of(value) if isinstance(value, str) else value for value in self.values)
        return self.values if any(isinstance(value, str) for value in numbers) else numbers


def _never() -> bool:
    return False


def chosen(
    axes: Sequence[int],
    conditions: Sequence["Condition"],
    most: int,
    *,
    paired: bool,
    expired: Callable[[], bool] = _never,
) -> list[tuple[int, ...]]:
    """The combinations of a sweep, each as the places of its values on the axes; the last axis runs fastest.

    ``axes``: how many values each parameter has. ``paired``: the first values go together, then the second ones, and so on; a
    parameter of one value goes with all of them. ``expired``: asked now and then whether the time for it is over. Raises SweepError
    for more than ``most``, for none, for axes that do not pair, or when it has expired; ExpressionError where a condition has no
    value.
    """
    total = paired_length(axes) if paired else math.prod(axes)
    refuse_many(total, len(conditions), most)
    made: Iterator[tuple[int, ...]]
    if paired:
        made = (tuple(place if count > 1 else 0 for count in axes) for place in range(total))
    else:
        made = itertools.product(*(range(count) for count in axes))
    found: list[tuple[int, ...]] = []
    while some := list(itertools.islice(made, _AT_ONCE)):
        kept: Iterable[tuple[int, ...]] = some
        for condition in conditions:
            kept = filter(condition, kept)
        found.extend(kept)
        if len(found) > most:
            raise SweepError(f"more than {most} combinations are left, and so many tasks are allowed")
        if expired():
            raise SweepError(TOO_LONG)
    if not found:
        raise SweepError(
            f"the conditions leave none of the {total} combinations" if total else "there is no combination"
        )
    return found


def refuse_many(total: int, conditions: int, most: int, *, more: bool = False) -> None:
    """Raises SweepError where so many combinations, with so many conditions, are too many. ``more``: others are not counted yet."""
    if conditions > MOST_CONDITIONS:
        raise SweepError(f"at most {MOST_CONDITIONS} conditions; && joins several")
    allowed = MOST_COMBINATIONS if conditions else most
    if total > allowed:
        told = f"{'at least ' if more else ''}{total} combinations are too many"
        asked = f"conditions choose from {allowed}, and " if conditions else ""
        raise SweepError(f"{told}: {asked}{most} tasks are allowed")


def paired_length(axes: Sequence[int], names: Sequence[str] = ()) -> int:
    """How many pairs the axes make. Raises SweepError where their lengths differ; ``names`` of the axes are told then."""
    lengths = sorted({count for count in axes if count > 1})
    if len(lengths) > 1:
        of_length = {
            length: [name for name, count in zip(names, axes, strict=False) if count == length] for length in lengths
        }
        told = [f"{length} ({', '.join(of_it)})" if of_it else str(length) for length, of_it in of_length.items()]
        raise SweepError(f"values that go together must be equally many; here are {' and '.join(told)}")
    return lengths[0] if lengths else 1


class Condition:
    """An expression asked about places on the axes."""

    def __init__(self, expression: Expression, names: Sequence[str], axes: Sequence[Sequence[Value]]) -> None:
        at = [names.index(name) for name in expression.names]
        self._columns = [(place, axes[place]) for place in at]
        self._expression = expression
        self._of = expression.of

    def __call__(self, places: tuple[int, ...]) -> bool:
        """Raises ExpressionError, which names the combination."""
        values = [axis[places[place]] for place, axis in self._columns]
        try:
            return bool(self._of(*values))
        except ExpressionError as error:
            where = [f"{name} is {_short(value)}" for name, value in zip(self._expression.names, values, strict=True)]
            raise ExpressionError(f"{error}, where {' and '.join(where)}" if where else str(error)) from None


def _short(value: Value) -> str:
    text = shown(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 3]}..."


_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::(\*?)({_NUMBER}))?")


def read_texts(text: str) -> list[str]:
    """The values that a person wrote for one parameter: ``x,y``, ``1..10``, ``0..1:0.1``, ``0.001..10:*10``, or several of these.

    Commas separate; what stands in quotes, or after a backslash, is taken as it is. Raises SweepError.
    """
    found: list[str] = []
    for piece, plain in _pieces(text):
        given = _RANGE.fullmatch(piece) if plain else None
        if given is None:
            found.append(piece)
        elif given[3]:
            found.extend(str(value) for value in _factors(given[1], given[2], given[4]))
        else:
            found.extend(str(value) for value in steps(given[1], given[2], given[4] or "1"))
        if len(found) > MOST_VALUES:
            raise SweepError(f"more than {MOST_VALUES} values")
    return found


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Each piece between commas, and whether it was written plainly."""
    piece, plain, quote = "", True, ""
    letters = iter(text)
    for letter in letters:
        if letter == "\\" and quote != "'":
            piece, plain = piece + next(letters, "\\"), False
        elif quote:
            piece, quote = (piece, "") if letter == quote else (piece + letter, quote)
        elif letter in "\"'" and not piece.strip():
            piece, plain, quote = "", False, letter
        elif letter == ",":
            yield (piece.strip() if plain else piece), plain
            piece, plain = "", True
        else:
            piece += letter
    if quote:
        raise SweepError("a quote is opened and not closed")
    yield (piece.strip() if plain else piece), plain


def _factors(first: str, last: str, by: str) -> Iterator[Value]:
    """``first``, then each time ``by`` times as much, as far as ``last``. Raises SweepError."""
    begin, end, factor = _decimal(first), _decimal(last), _decimal(by)
    told = f"{first}..{last}:*{by}"
    grows = factor > 1
    if factor <= 0 or factor == 1 or begin == 0 or (begin > 0) != (end > 0) or (abs(end) < abs(begin)) == grows:
        raise SweepError(f"{told}: the factor leads nowhere")
    yield from _distinct(_products(begin, end, factor), told)


def _products(begin: Decimal, end: Decimal, factor: Decimal) -> Iterator[Value]:
    """Whole numbers while they are exact, and floats from there on."""
    whole = begin == begin.to_integral_value() and factor == factor.to_integral_value()
    context = Context(prec=_SCALE if whole else 2 * _DIGITS)
    while abs(begin) <= abs(end) if factor > 1 else abs(begin) >= abs(end):
        exact = begin == begin.to_integral_value() and not context.flags[Inexact]
        yield int(begin) if exact else float(begin)
        begin = context.multiply(begin, factor)


def _distinct(values: Iterable[Value], told: str) -> Iterator[Value]:
    """The same values. Raises SweepError for one that is the same as that before it: the step was too small for it."""
    before: Value | None = None
    for number, value in enumerate(values):
        if number == MOST_VALUES:
            raise SweepError(f"{told}: more than {MOST_VALUES} values")
        if value == before:
            raise SweepError(f"{told}: {shown(value)} comes twice, because the step is too small for such numbers")
        before = value
        yield value


def _decimal(text: str) -> Decimal:
    """Exactly this number. Raises SweepError for one that has no place in a range: endless, too large, too small or too long."""
    try:
        number = Decimal(text) if len(text) <= _SCALE else Decimal("NaN")
    except InvalidOperation:
        raise SweepError(f"{text[:50]} is no number, or too large a one") from None
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or len(digits) > _DIGITS or abs(exponent) > _EXPONENT:
        raise SweepError(f"{text[:50]} is no number of at most {_DIGITS} digits that a program could read")
    if not math.isfinite(float(number)) or (number != 0) != (float(number) != 0):
        raise SweepError(f"{text[:50]} is no number that a program could read: it is too large, or too small")
    return number


def number_of(text: str) -> Value:
    """The number that a text is; else the text."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) and "_" not in text else text


def values_of(texts: Sequence[str]) -> tuple[Value, ...]:
    """The values that words stand for: numbers, if all of them are written as Sirdar writes numbers, so that nothing is lost.

    ``1 2 10`` are numbers; ``001 002`` stay texts, because a file's name may be made of them.
    """
    numbers = tuple(number_of(text) for text in texts)
    plain = all(not isinstance(value, str) and shown(value) == text for value, text in zip(numbers, texts, strict=True))
    return numbers if plain else tuple(texts)


def shown(value: Value) -> str:
    """A value as a program reads it."""
    return repr(value) if isinstance(value, float) else str(value)


def steps(first: str, last: str, step: str) -> tuple[Value, ...]:
    """Values from ``first`` to ``last``, both included where the step meets it. Counted in decimals: 0 to 1 by 0.1 are eleven.

    Raises SweepError.
    """
    begin, end, by = (_decimal(text) for text in (first, last, step))
    told = f"from {first} to {last} step {step}"
    if by == 0:
        raise SweepError(f"{told}: the step leads nowhere")
    with localcontext(Context(prec=_SCALE)):
        count = (end - begin) / by
        if count < 0:
            raise SweepError(f"{told}: the step leads away from the end")
        if count >= MOST_VALUES:
            raise SweepError(f"{told}: more than {MOST_VALUES} values")
        whole = all(one == one.to_integral_value() for one in (begin, by))
        made = (begin + by * number for number in range(int(count) + 1))
        return tuple(_distinct((int(value) if whole else float(value) for value in made), told))
