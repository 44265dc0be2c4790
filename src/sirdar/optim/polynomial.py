"""Expressions of a .nl file that are polynomials of degree two or less; anything else is told by its name."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sirdar.optim.nl_tokens import Tokens

PLUS, MINUS, TIMES, OVER, POWER, NEGATIVE, SUM = 0, 1, 2, 3, 5, 16, 54
TWO_OF = {PLUS: "+", MINUS: "-", TIMES: "*", OVER: "/", POWER: "^"}
FUNCTIONS: dict[int, tuple[str, Callable[[float], float]]] = {
    13: ("floor", math.floor),
    14: ("ceil", math.ceil),
    15: ("abs", abs),
    37: ("tanh", math.tanh),
    38: ("tan", math.tan),
    39: ("sqrt", math.sqrt),
    40: ("sinh", math.sinh),
    41: ("sin", math.sin),
    42: ("log10", math.log10),
    43: ("log", math.log),
    44: ("exp", math.exp),
    45: ("cosh", math.cosh),
    46: ("cos", math.cos),
    47: ("atanh", math.atanh),
    49: ("atan", math.atan),
    50: ("asinh", math.asinh),
    51: ("asin", math.asin),
    52: ("acosh", math.acosh),
    53: ("acos", math.acos),
}


class Nonlinear(ValueError):
    """What no polynomial of degree two can say; the message is the function or the operation, as ``exp`` or ``x*y*z``."""


@dataclass(slots=True)
class Polynomial:
    """``constant + sum(linear[i] * x[i]) + sum(square[i, j] * x[i] * x[j])`` with ``i >= j``."""

    constant: float = 0.0
    linear: dict[int, float] = field(default_factory=dict)
    square: dict[tuple[int, int], float] = field(default_factory=dict)

    @property
    def degree(self) -> int:
        return 2 if self.square else 1 if self.linear else 0

    def copy(self) -> "Polynomial":
        return Polynomial(self.constant, dict(self.linear), dict(self.square))

    def add(self, other: "Polynomial", factor: float = 1.0) -> None:
        """``self += factor * other``."""
        self.constant += factor * other.constant
        for index, value in other.linear.items():
            self.linear[index] = self.linear.get(index, 0.0) + factor * value
        for pair, value in other.square.items():
            self.square[pair] = self.square.get(pair, 0.0) + factor * value

    def scaled(self, factor: float) -> "Polynomial":
        made = Polynomial()
        made.add(self, factor)
        return made

    def times(self, other: "Polynomial") -> "Polynomial":
        """Raises Nonlinear where the product is of a higher degree."""
        if not self.degree:
            return other.scaled(self.constant)
        if not other.degree:
            return self.scaled(other.constant)
        if self.degree + other.degree > 2:
            raise Nonlinear(f"a product of degree {self.degree + other.degree}")
        made = Polynomial(self.constant * other.constant)
        for index, value in self.linear.items():
            made.linear[index] = value * other.constant
        for index, value in other.linear.items():
            made.linear[index] = made.linear.get(index, 0.0) + value * self.constant
        for i, left in self.linear.items():
            for j, right in other.linear.items():
                pair = (i, j) if i >= j else (j, i)
                made.square[pair] = made.square.get(pair, 0.0) + left * right
        return made


@dataclass(slots=True)
class _Pending:
    """An operation whose arguments are still being read."""

    operation: int
    wanting: int
    arguments: list[Polynomial] = field(default_factory=list)


def read_polynomial(tokens: Tokens, n_vars: int, defined: Mapping[int, Polynomial]) -> Polynomial:
    """The expression that comes next. ``defined``: the common expressions, by their numbers (from ``n_vars`` on).

    Trees may be as deep as the model has terms, so that they are read without recursion. Raises Nonlinear.
    """
    pending: list[_Pending] = []
    while True:
        found = _leaf(tokens, n_vars, defined, pending)
        while found is not None:
            if not pending:
                return found
            pending[-1].arguments.append(found)
            pending[-1].wanting -= 1
            found = None
            if not pending[-1].wanting:
                done = pending.pop()
                found = _apply(done.operation, done.arguments)


def _leaf(tokens: Tokens, n_vars: int, defined: Mapping[int, Polynomial], pending: list[_Pending]) -> Polynomial | None:
    """A constant or a variable; None where an operation begins, which is put on the pile."""
    letter = tokens.letter()
    if letter == "n":
        return Polynomial(tokens.number())
    if letter == "s":
        return Polynomial(tokens.short())
    if letter == "l":
        return Polynomial(float(tokens.integer()))
    if letter == "v":
        index = tokens.integer()
        return Polynomial(0.0, {index: 1.0}) if index < n_vars else defined[index].copy()
    if letter != "o":
        raise Nonlinear("an imported function" if letter == "f" else f"an item {letter!r}")
    operation = tokens.integer()
    if operation in TWO_OF:
        wanting = 2
    elif operation == SUM:
        wanting = tokens.integer()
    elif operation == NEGATIVE or operation in FUNCTIONS:
        wanting = 1
    else:
        raise Nonlinear(f"operation o{operation}")
    if not wanting:
        return Polynomial()
    pending.append(_Pending(operation, wanting))
    return None


def _apply(operation: int, arguments: Sequence[Polynomial]) -> Polynomial:
    first = arguments[0]  # nobody else holds it
    if operation in (PLUS, SUM):
        for other in arguments[1:]:
            first.add(other)
        return first
    if operation == MINUS:
        first.add(arguments[1], -1.0)
        return first
    if operation == NEGATIVE:
        return first.scaled(-1.0)
    if operation == TIMES:
        return first.times(arguments[1])
    if operation == OVER:
        return _quotient(first, arguments[1])
    if operation == POWER:
        return _power(first, arguments[1])
    name, function = FUNCTIONS[operation]
    if first.degree:
        raise Nonlinear(name)
    try:
        return Polynomial(function(first.constant))
    except ValueError:
        raise Nonlinear(f"{name}({first.constant:g}), which is no number,") from None


def _quotient(above: Polynomial, below: Polynomial) -> Polynomial:
    if below.degree:
        raise Nonlinear("a division by a variable")
    if not below.constant:
        raise Nonlinear("a division by zero")
    return above.scaled(1.0 / below.constant)


def _power(base: Polynomial, exponent: Polynomial) -> Polynomial:
    if exponent.degree:
        raise Nonlinear("a variable as an exponent")
    if not base.degree:
        return Polynomial(float(base.constant**exponent.constant))
    if exponent.constant == 2:
        return base.times(base)
    if exponent.constant == 1:
        return base
    if exponent.constant == 0:
        return Polynomial(1.0)
    raise Nonlinear(f"a power of {exponent.constant:g}")
