"""Writes a linear problem as a free-form MPS file, minimising, with rows R0.. and columns C0..; numbers exact."""

import math
from collections.abc import Iterator

from sirdar.optim.nl import NotLinear, Problem


def mps_lines(problem: Problem) -> Iterator[str]:
    """The file's lines. A problem that maximises has its costs negated; the constant is left out. Raises NotLinear."""
    if problem.quadratic:
        raise NotLinear("its objective is quadratic")
    yield "NAME problem FREE"
    yield "ROWS"
    yield " N OBJ"
    for row in range(problem.n_rows):
        yield f" {_kind(problem.row_lower[row], problem.row_upper[row])} R{row}"
    yield "COLUMNS"
    yield from _columns(problem)
    yield "RHS"
    for row in range(problem.n_rows):
        low, high = problem.row_lower[row], problem.row_upper[row]
        side = low if math.isfinite(low) and not math.isfinite(high) else high
        if math.isfinite(side) and side:
            yield f" RHS R{row} {side!r}"
    yield "RANGES"
    for row in range(problem.n_rows):
        low, high = problem.row_lower[row], problem.row_upper[row]
        if math.isfinite(low) and math.isfinite(high) and low != high:
            yield f" RNG R{row} {high - low!r}"
    yield "BOUNDS"
    for column in range(problem.n_vars):
        yield from _bounds(column, problem.lower[column], problem.upper[column], whole=problem.integer[column])
    yield "ENDATA"


def _kind(low: float, high: float) -> str:
    if low == high:
        return "E"
    if math.isfinite(high):
        return "L"
    return "G" if math.isfinite(low) else "N"


def _columns(problem: Problem) -> Iterator[str]:
    entries: list[list[tuple[int, float]]] = [[] for _ in range(problem.n_vars)]
    for row in range(problem.n_rows):
        for at in range(problem.starts[row], problem.starts[row + 1]):
            entries[problem.columns[at]].append((row, problem.values[at]))
    sign = -1.0 if problem.maximize else 1.0
    within = False
    for column, found in enumerate(entries):
        if problem.integer[column] != within:
            within = problem.integer[column]
            yield f" M{column} 'MARKER' '{'INTORG' if within else 'INTEND'}'"
        yield f" C{column} OBJ {sign * problem.cost[column]!r}"
        for row, value in found:
            yield f" C{column} R{row} {value!r}"
    if within:
        yield " MEND 'MARKER' 'INTEND'"


def _bounds(column: int, low: float, high: float, *, whole: bool) -> Iterator[str]:
    name = f"BND C{column}"
    if low == high:
        yield f" FX {name} {low!r}"
        return
    if not math.isfinite(low) and not math.isfinite(high):
        yield f" FR {name}"
        return
    if not math.isfinite(low):
        yield f" MI {name}"
    elif low or whole:
        yield f" LO {name} {low!r}"
    if math.isfinite(high):
        yield f" UP {name} {high!r}"
    elif whole:  # some readers take 1 for the upper bound of an integer that has none
        yield f" PL {name}"
