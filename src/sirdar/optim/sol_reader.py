"""Reads AMPL's .sol files: the message, the solve code, duals, values, suffixes."""

from dataclasses import dataclass, field

FLOAT_SUFFIX = 4  # bit of a suffix's kind: its values are real numbers
KINDS = ("variable", "constraint", "objective", "problem")


@dataclass(frozen=True, slots=True)
class Suffix:
    """Values that a solver gives to variables, constraints, objectives or the problem, by their numbers from 0."""

    name: str
    kind: str
    values: dict[int, float]


@dataclass(frozen=True, slots=True)
class Sol:
    """A solution as it was written. ``code``: AMPL's solve_result_num, None where the file does not tell.
    Empty ``x`` or ``y``: none were given."""

    message: str
    code: int | None
    x: list[float]
    y: list[float]
    suffixes: list[Suffix] = field(default_factory=list)


def read_sol(text: str) -> Sol:
    """Raises ValueError where it is no .sol file, or a part of one."""
    lines = text.splitlines()
    try:
        options = next(at for at, line in enumerate(lines) if line.strip() == "Options")
    except StopIteration:
        raise ValueError("it has no line 'Options'") from None
    message = "\n".join(line.strip() for line in lines[:options] if line.strip())
    try:
        return _rest(message, lines, options + 1)
    except (IndexError, ValueError) as error:
        raise ValueError(f"it is cut off or garbled ({error})") from error


def _rest(message: str, lines: list[str], at: int) -> Sol:
    count = int(lines[at])
    has_tolerance = count > 4
    count -= 2 if has_tolerance else 0
    numbers = [int(line) for line in lines[at + 1 : at + 1 + count + 4]]
    at += 1 + count + 4 + (1 if has_tolerance else 0)
    duals, values = numbers[count + 1], numbers[count + 3]
    y = [float(line) for line in lines[at : at + duals]]
    at += duals
    x = [float(line) for line in lines[at : at + values]]
    at += values
    if len(y) != duals or len(x) != values:
        raise IndexError(f"{len(x)} of {values} values")
    code = None
    if at < len(lines) and lines[at].startswith("objno"):
        code = int(lines[at].split()[2])
        at += 1
    return Sol(message, code, x, y, _suffixes(lines, at))


def _suffixes(lines: list[str], at: int) -> list[Suffix]:
    found = []
    while at < len(lines):
        words = lines[at].split()
        if not words:
            at += 1
            continue
        if words[0] != "suffix":
            break  # what comes after the suffixes is for AMPL's own use
        kind, count, table_lines = int(words[1]), int(words[2]), int(words[5])
        name = lines[at + 1].strip()
        at += 2 + table_lines
        pairs = (line.split() for line in lines[at : at + count])
        values = {int(number): float(value) if kind & FLOAT_SUFFIX else int(value) for number, value in pairs}
        found.append(Suffix(name, KINDS[kind & 3], values))
        at += count
    return found
