"""The grid of a sweep: parameters, their values, and the combinations that conditions leave. All is made when it is asked for."""

import itertools
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from sirdar.domain.expressions import Expression, Kind, Value

MOST_VALUES = 1_000_000  # of one parameter
MOST_COMBINATIONS = 100_000_000  # that conditions may be asked about


class SweepError(ValueError):
    """What is wrong with a sweep."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One axis: a name and at least one value."""

    name: str
    values: tuple[Value, ...]

    @property
    def kind(self) -> Kind:
        return "text" if any(isinstance(value, str) for value in self.values) else "number"


@dataclass(frozen=True, slots=True)
class Grid:
    """All combinations of the parameters' values; the last parameter runs fastest."""

    parameters: tuple[Parameter, ...]

    @property
    def total(self) -> int:
        return math.prod(len(one.values) for one in self.parameters)

    @property
    def kinds(self) -> dict[str, Kind]:
        return {one.name: one.kind for one in self.parameters}

    def at(self, index: int) -> dict[str, Value]:
        """The combination of that number, from 0. Raises IndexError."""
        if not 0 <= index < self.total:
            raise IndexError(index)
        found: dict[str, Value] = {}
        for one in reversed(self.parameters):
            index, place = divmod(index, len(one.values))
            found[one.name] = one.values[place]
        return {one.name: found[one.name] for one in self.parameters}

    def kept(self, conditions: Sequence[Expression], most: int) -> "array[int]":
        """Numbers of the combinations for which all conditions hold, in order.

        Raises SweepError for more than ``most`` of them, or too many to ask about; ExpressionError where a condition has no value.
        """
        if self.total > (MOST_COMBINATIONS if conditions else most):
            raise SweepError(f"{self.total} combinations are too many: {most} tasks are allowed")
        found = array("L")
        for index, values in enumerate(self._combinations()):
            if all(condition(values) for condition in conditions):
                if len(found) == most:
                    raise SweepError(f"more than {most} combinations are left, and so many tasks are allowed")
                found.append(index)
        return found

    def _combinations(self) -> Iterator[Mapping[str, Value]]:
        names = [one.name for one in self.parameters]
        for values in itertools.product(*(one.values for one in self.parameters)):
            yield dict(zip(names, values, strict=True))


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


def steps(first: str, last: str, step: str) -> tuple[Value, ...]:
    """Values from ``first`` to ``last``, both included where the step meets it. Counted in decimals: 0 to 1 by 0.1 are eleven.

    Raises SweepError.
    """
    try:
        begin, end, by = (Decimal(text) for text in (first, last, step))
    except InvalidOperation:
        raise SweepError(f"from {first} to {last} step {step}: these are not numbers") from None
    if not all(one.is_finite() for one in (begin, end, by)) or by == 0:
        raise SweepError(f"from {first} to {last} step {step}: the step leads nowhere")
    count = (end - begin) / by
    if count < 0:
        raise SweepError(f"from {first} to {last} step {step}: the step leads away from the end")
    if count >= MOST_VALUES:
        raise SweepError(f"from {first} to {last} step {step}: more than {MOST_VALUES} values")
    whole = all(one == one.to_integral_value() for one in (begin, by))
    made = (begin + by * number for number in range(int(count) + 1))
    return tuple(int(value) if whole else float(value) for value in made)
