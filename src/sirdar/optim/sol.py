"""Writes AMPL's solution file (.sol), as Pyomo and AMPL read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REAL = 4  # flag of a suffix whose values are no integers
DEFAULT_OPTIONS = ("1", "1", "0")


@dataclass(slots=True)
class Answer:
    """What a solver found. ``code``: AMPL's (``CODES``). ``x`` empty: no point; ``duals`` by row, empty: none.

    ``suffixes``: real values for each variable, by name (``rc``: reduced costs).
    """

    code: int
    message: str
    x: Sequence[float] = ()
    duals: Sequence[float] = ()
    suffixes: Mapping[str, Sequence[float]] = field(default_factory=dict)


# AMPL's solve codes: hundreds are what counts (0 solved, 2 infeasible, 3 unbounded, 4 limit, 5 failure).
SOLVED, UNSURE, INFEASIBLE, INFEASIBLE_OR_UNBOUNDED, UNBOUNDED = 0, 100, 200, 299, 300
LIMIT, LIMIT_BY_TIME, LIMIT_BY_ITERATIONS, LIMIT_BY_NODES = 400, 402, 403, 404
WITHOUT_POINT = 70  # added to a limit, where no solution was found before it
FAILURE = 500


def write_sol(path: Path, answer: Answer, *, n_vars: int, n_rows: int, options: Sequence[str] = ()) -> None:
    """Write the file whole or not at all: it is moved to its place. ``options``: of the problem's header. Raises OSError."""
    lines = [*(answer.message.strip().splitlines() or [""]), ""]
    numbers = list(options or DEFAULT_OPTIONS)
    n_options = len(numbers) - 1 if len(numbers) > 2 and numbers[1] == "3" else len(numbers)
    lines += ["Options", str(n_options), *numbers[:n_options]]
    lines += [str(n_rows), str(len(answer.duals)), str(n_vars), str(len(answer.x))]
    lines += numbers[n_options:]
    lines += map(repr, map(float, answer.duals))
    lines += map(repr, map(float, answer.x))
    lines.append(f"objno 0 {answer.code}")
    for name, values in answer.suffixes.items():
        told = [(index, value) for index, value in enumerate(values) if value]
        lines += [f"suffix {REAL} {len(told)} {len(name) + 1} 0 0", name]
        lines += [f"{index} {float(value)!r}" for index, value in told]
    beside = path.with_name(path.name + ".part")
    beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    beside.replace(path)


def read_sol(path: Path) -> Answer:
    """What a solution file says; its suffixes are left out. Raises ValueError where it is none, OSError."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        begin = lines.index("Options")
        n_options = int(lines[begin + 1])
        at = begin + 2 + n_options
        _, n_duals, _, n_values = (int(line) for line in lines[at : at + 4])
        numbers = [float(line) for line in lines[at + 4 : at + 4 + n_duals + n_values]]
        words = next((line.split() for line in lines[at + 4 + n_duals + n_values :] if line.startswith("objno")), [])
        if len(numbers) < n_duals + n_values:
            raise ValueError("numbers are missing")
        code = int(words[2]) if len(words) > 2 else SOLVED
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path} is no solution file: {error}") from None
    return Answer(code, "\n".join(lines[:begin]).strip(), numbers[n_duals:], numbers[:n_duals])
