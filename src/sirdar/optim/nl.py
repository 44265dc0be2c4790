"""Reads an AMPL problem (.nl) that is linear, or has a quadratic objective; continuous or with integers; text or binary.

Solvers that read .nl themselves (Ipopt, SCIP) do not need it. Pure Python without NumPy: a command starts in milliseconds.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

from sirdar.optim.nl_tokens import ByteTokens, TextTokens, Tokens, Truncated
from sirdar.optim.polynomial import Nonlinear, Polynomial, read_polynomial

HEADER_LINES = 10
BIG_ENDIAN = 2  # what the header calls the arithmetic of such a machine
VARIABLE, CONSTRAINT = 0, 1  # whose suffix it is
VTOL_FOLLOWS = 3  # second option: one more number stands on the first line


class NlError(ValueError):
    """The file is no .nl file, or is broken."""


class NotLinear(ValueError):
    """The problem is a sound one, and not of the kind that is read here. The message says what is not."""


@dataclass(slots=True)
class Problem:
    """Minimise (or maximise) ``constant + cost x + x quadratic x`` with rows and bounds. Infinite: ``math.inf``.

    Row ``i`` has ``columns`` and ``values`` from ``starts[i]`` to ``starts[i + 1]``. ``quadratic`` is by (i, j), i >= j.
    ``options``: words of the header that the solution file repeats. ``start``: where to begin, by variable.
    """

    n_vars: int
    n_rows: int
    options: tuple[str, ...]
    maximize: bool = False
    constant: float = 0.0
    cost: list[float] = field(default_factory=list)
    quadratic: dict[tuple[int, int], float] = field(default_factory=dict)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    start: dict[int, float] = field(default_factory=dict)

    @property
    def is_lp(self) -> bool:
        return not self.quadratic and not any(self.integer)

    def objective(self, x: list[float]) -> float:
        """The value of the objective."""
        total = self.constant + math.fsum(cost * value for cost, value in zip(self.cost, x, strict=True))
        return total + math.fsum(value * x[i] * x[j] for (i, j), value in self.quadratic.items())


@dataclass(frozen=True, slots=True)
class Header:
    """The first ten lines: sizes, and of which kinds the variables are."""

    binary: bool
    order: str
    options: tuple[str, ...]
    n_vars: int
    n_rows: int
    n_objectives: int
    n_logical: int
    nonlinear: tuple[int, int, int]  # variables that are nonlinear in constraints, in objectives, in both
    n_arcs: int
    n_functions: int
    integers: tuple[int, int, int, int, int]  # binary, integer, and nonlinear integer in both, constraints, objectives


def read_nl(path: Path, objective: int = 1) -> Problem:
    """The problem in the file. ``objective``: which of several, from 1; 0: none.

    Raises NlError, NotLinear, OSError.
    """
    content = path.read_bytes()
    header, body = read_header(content)
    if header.n_functions:
        raise NotLinear("it calls an imported function")
    if header.n_logical:
        raise NotLinear("it has logical constraints")
    if objective > max(1, header.n_objectives) or objective < 0:
        raise NlError(f"there is no objective {objective}: it has {header.n_objectives}")
    tokens: Tokens = ByteTokens(body, header.order) if header.binary else TextTokens(body)
    reading = _Reading(header, objective - 1)
    try:
        reading.read(tokens)
    except (NlError, NotLinear):
        raise
    except (Truncated, ValueError, IndexError, KeyError, OverflowError) as error:
        raise NlError(f"it is broken: {error}") from None
    return reading.finish()


def read_header(content: bytes) -> tuple[Header, bytes]:
    """The header, and what stands after it. Raises NlError."""
    *lines, body = content.split(b"\n", HEADER_LINES)
    if content[:1] not in (b"g", b"b") or len(lines) < HEADER_LINES:
        raise NlError("it is no .nl file: its header is not one")
    words = [line.split(b"#")[0].split() for line in lines]
    try:
        first = [word.decode("ascii") for word in words[0]]
        rows = [[int(word) for word in line] + [0] * 6 for line in words[1:]]
        options = _options(first)
    except (ValueError, IndexError):
        raise NlError("it is no .nl file: its header is not one") from None
    sizes, _, _, nonlinear, functions, discrete = rows[:6]
    return (
        Header(
            binary=first[0].startswith("b"),
            order=">" if functions[2] == BIG_ENDIAN else "<",
            options=options,
            n_vars=sizes[0],
            n_rows=sizes[1],
            n_objectives=sizes[2],
            n_logical=sizes[5],
            nonlinear=(nonlinear[0], nonlinear[1], nonlinear[2]),
            n_arcs=functions[0],
            n_functions=functions[1],
            integers=(discrete[0], discrete[1], discrete[2], discrete[3], discrete[4]),
        ),
        body,
    )


def _options(first: list[str]) -> tuple[str, ...]:
    """``g3 1 1 0``: how many, and they; a tolerance where the second is 3."""
    n = int(first[0][1:] or "0")
    options = first[1 : 1 + n]
    follows = n > 1 and int(options[1]) == VTOL_FOLLOWS
    return tuple(options + first[1 + n : 2 + n] if follows else options)


def integer_variables(header: Header) -> list[bool]:
    """Which variables are integers: their order says so."""
    in_rows, in_objectives, in_both = header.nonlinear
    binary, integer, both, rows, objectives = header.integers
    only_objectives = max(0, in_objectives - in_rows)
    kinds: list[bool] = []
    for size, whole in ((in_both, both), (in_rows - in_both, rows), (only_objectives, objectives)):
        kinds += [False] * (size - whole) + [True] * whole
    kinds += [False] * (header.n_vars - len(kinds) - binary - integer)
    return kinds + [True] * (binary + integer)


class _Reading:
    """Goes through the segments, each of which begins with a letter."""

    def __init__(self, header: Header, objective: int) -> None:
        n, m = header.n_vars, header.n_rows
        self._n, self._m = n, m
        self._objective = objective
        self._defined: dict[int, Polynomial] = {}
        self._of_rows: dict[int, Polynomial] = {}
        self._rows: list[tuple[list[int], list[float]]] = [([], []) for _ in range(m)]
        self._problem = Problem(n, m, header.options, cost=[0.0] * n, integer=integer_variables(header))
        self._problem.lower, self._problem.upper = [-math.inf] * n, [math.inf] * n
        self._problem.row_lower, self._problem.row_upper = [-math.inf] * m, [math.inf] * m

    def read(self, tokens: Tokens) -> None:
        segments = {
            "F": self._function, "S": self._suffix, "V": self._common, "C": self._row, "L": self._logical,
            "O": self._goal, "d": self._pairs, "x": self._start, "r": self._ranges, "b": self._bounds,
            "k": self._column_sizes, "K": self._column_sizes, "J": self._jacobian, "G": self._gradient,
        }  # fmt: skip
        while not tokens.ended():
            letter = tokens.letter()
            if letter not in segments:
                raise NlError(f"it is broken: there is no segment {letter!r}")
            segments[letter](tokens)

    def finish(self) -> Problem:
        """The rows in order, with what their expressions hold of linear terms and constants."""
        problem = self._problem
        for number, polynomial in self._of_rows.items():
            columns, values = self._rows[number]
            for column, value in polynomial.linear.items():
                if column in columns:
                    values[columns.index(column)] += value
                else:
                    columns.append(column)
                    values.append(value)
            problem.row_lower[number] -= polynomial.constant
            problem.row_upper[number] -= polynomial.constant
        problem.starts = [0]
        for columns, values in self._rows:
            problem.columns += columns
            problem.values += values
            problem.starts.append(len(problem.columns))
        return problem

    # ------------------------------------------------------------ expressions

    def _function(self, tokens: Tokens) -> None:
        raise NotLinear("it calls an imported function")

    def _logical(self, tokens: Tokens) -> None:
        raise NotLinear("it has logical constraints")

    def _common(self, tokens: Tokens) -> None:
        number, n_linear, _ = tokens.integer(), tokens.integer(), tokens.integer()
        columns, values = tokens.pairs(n_linear)
        polynomial = self._expression(tokens, f"common expression {number - self._n}")
        polynomial.add(Polynomial(0.0, dict(zip(columns, values, strict=True))))
        self._defined[number] = polynomial

    def _row(self, tokens: Tokens) -> None:
        number = tokens.integer()
        polynomial = self._expression(tokens, f"constraint {number}")
        if polynomial.square:
            raise NotLinear(f"constraint {number} is quadratic")
        if polynomial.constant or polynomial.linear:
            self._of_rows[number] = polynomial

    def _goal(self, tokens: Tokens) -> None:
        number, sense = tokens.integer(), tokens.integer()
        polynomial = self._expression(tokens, "the objective")
        if number != self._objective:
            return
        problem = self._problem
        problem.maximize = bool(sense)
        problem.constant += polynomial.constant
        problem.quadratic = {pair: value for pair, value in polynomial.square.items() if value}
        for column, value in polynomial.linear.items():
            problem.cost[column] += value

    def _expression(self, tokens: Tokens, what: str) -> Polynomial:
        try:
            return read_polynomial(tokens, self._n, self._defined)
        except Nonlinear as why:
            raise NotLinear(f"{what} has {why}") from None

    # ------------------------------------------------------------ numbers

    def _suffix(self, tokens: Tokens) -> None:
        """Read over: none of them changes the problem."""
        kind, n = tokens.integer(), tokens.integer()
        name = tokens.string()
        if name in ("sosno", "ref", "sos", "sosref") and n:
            raise NotLinear("it has special ordered sets (SOS)")
        tokens.pairs(n, whole=not kind & 4)

    def _pairs(self, tokens: Tokens) -> None:
        tokens.pairs(tokens.integer())

    def _start(self, tokens: Tokens) -> None:
        self._problem.start = dict(zip(*tokens.pairs(tokens.integer()), strict=True))

    def _ranges(self, tokens: Tokens) -> None:
        for number in range(self._m):
            self._problem.row_lower[number], self._problem.row_upper[number] = _range(tokens)

    def _bounds(self, tokens: Tokens) -> None:
        for number in range(self._n):
            self._problem.lower[number], self._problem.upper[number] = _range(tokens)

    def _column_sizes(self, tokens: Tokens) -> None:
        for _ in range(tokens.integer()):
            tokens.integer()

    def _jacobian(self, tokens: Tokens) -> None:
        number, n = tokens.integer(), tokens.integer()
        columns, values = tokens.pairs(n)
        if columns and (max(columns) >= self._n or min(columns) < 0):
            raise NlError(f"it is broken: constraint {number} speaks of variable {max(columns)} of {self._n}")
        self._rows[number] = (columns, values)

    def _gradient(self, tokens: Tokens) -> None:
        number, n = tokens.integer(), tokens.integer()
        columns, values = tokens.pairs(n)
        if number == self._objective:
            for column, value in zip(columns, values, strict=True):
                self._problem.cost[column] += value


def _range(tokens: Tokens) -> tuple[float, float]:
    kind = tokens.letter()
    if kind == "0":
        return tokens.number(), tokens.number()
    if kind == "1":
        return -math.inf, tokens.number()
    if kind == "2":
        return tokens.number(), math.inf
    if kind == "3":
        return -math.inf, math.inf
    if kind == "4":
        value = tokens.number()
        return value, value
    if kind == "5":
        raise NotLinear("it has complementarity conditions")
    raise NlError(f"it is broken: there is no kind {kind!r} of bound")
