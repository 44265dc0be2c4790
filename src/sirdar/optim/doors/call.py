"""The command line of an AMPL solver: what stands on it, in the environment and in option files; what comes of faults."""

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sirdar.optim.constants import HEADER_BYTES, decide, has_no_variables
from sirdar.optim.nl import NlError, NotLinear, Problem, read_header, read_nl
from sirdar.optim.sol import FAILURE, Answer, write_sol

OK, FAULT, USAGE = 0, 1, 2
FILE_OPTION = "option_file_name"
TAKEN_AS_THEY_ARE = (".mps", ".lp")
# Words that AMPL's solvers share; the solver's own name of what each does stands in the door.
READ_OVER = frozenset({"wantsol", "timing", "version"})
SETTING = re.compile(r"\s*([^\s=]+)\s*(?:=\s*|\s+)(\"[^\"]*\"|'[^']*'|[^\s=]+)(?=\s|$)")


class OptionFault(ValueError):
    """An option that the solver does not have, or with a value that it does not take."""


class SolverFault(RuntimeError):
    """The solver could not be used, or broke off."""


@dataclass(frozen=True, slots=True)
class Given:
    """``problem``: the file; ``ampl``: called as AMPL does; ``options``: in the order of setting, so that the last one counts."""

    problem: Path
    ampl: bool
    options: tuple[tuple[str, str], ...] = ()
    objective: int = 1

    @property
    def is_nl(self) -> bool:
        return self.problem.suffix not in TAKEN_AS_THEY_ARE

    @property
    def solution(self) -> Path:
        return self.problem.with_suffix(".sol")


@dataclass(frozen=True, slots=True)
class Door:
    """A solver behind the command ``name``. ``solve`` answers, with the sizes of the problem for the solution file.

    ``alias``: AMPL's usual names of options, and the solver's own. ``solve`` raises OptionFault, SolverFault, NlError,
    NotLinear, OSError.
    """

    name: str
    version: Callable[[], str]
    solve: Callable[[Given], "Solved"]
    alias: Mapping[str, str] = field(default_factory=dict)
    solves: str = "linear problems, with integers or without"


@dataclass(frozen=True, slots=True)
class Solved:
    answer: Answer
    n_vars: int
    n_rows: int
    options: tuple[str, ...] = ()


def serve(door: Door, words: Sequence[str]) -> int:
    """One call of the command; the exit code: 0 where there is a solution file that says how it ended, else 1 (2: usage)."""
    if any(word in ("-v", "--version") for word in words):
        print(door.version())  # noqa: T201
        return OK
    if not words or words[0].startswith("-"):
        print(usage(door), file=sys.stderr)  # noqa: T201
        return OK if words and words[0] in ("-h", "--help", "-?") else USAGE
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the solver runs outside Python, where nobody would look at it
    try:
        given = given_of(door, words, os.environ)
    except (OptionFault, OSError) as fault:
        return _complain(door, str(fault), USAGE)
    return _solve(door, given)


def usage(door: Door) -> str:
    return (
        f"usage: {door.name} STUB -AMPL [option=value ...]\n"
        f"Reads STUB.nl (or FILE.mps), writes STUB.sol. Options come, the later ones counting, from {door.name}.opt here or the\n"
        f"file that {FILE_OPTION}=FILE names, from the variable {door.name}_options, and from the command line.\n"
        f"-v: the version."
    )


def given_of(door: Door, words: Sequence[str], environ: Mapping[str, str]) -> Given:
    """What the call says. Raises OptionFault, OSError."""
    stub, *more = words
    flags = [word for word in more if word.startswith("-")]
    if unknown := [flag for flag in flags if flag not in ("-AMPL", "-s", "-e")]:
        raise OptionFault(f"there is no option {unknown[0]}: option=value is expected")
    own = [_setting(word) for word in more if not word.startswith("-")]
    named = list(_settings(environ.get(f"{door.name}_options", ""), f"{door.name}_options")) + own
    filed = _of_file(dict(named).get(FILE_OPTION), door.name)
    chosen = [(door.alias.get(name, name), value) for name, value in [*filed, *named]]
    objective = dict(chosen).get("objno", "1")
    if not objective.isdecimal():
        raise OptionFault(f"objno={objective}: a number is expected")
    left = tuple((name, value) for name, value in chosen if name not in READ_OVER | {FILE_OPTION, "objno"})
    problem = Path(stub if stub.endswith((".nl", *TAKEN_AS_THEY_ARE)) else stub + ".nl")
    return Given(problem, "-AMPL" in flags, left, int(objective))


def _setting(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise OptionFault(f"{word!r}: option=value is expected")
    return name, value


def _settings(text: str, where: str) -> Iterator[tuple[str, str]]:
    """``a=1 b 2 c = 3``."""
    at = 0
    text = text.strip()
    while at < len(text):
        match = SETTING.match(text, at)
        if match is None:
            raise OptionFault(f"{where}: {text[at : at + 40].strip()!r} is not option=value")
        yield match[1], match[2].strip("\"'")
        at = match.end()


def _of_file(name: str | None, solver: str) -> list[tuple[str, str]]:
    """A setting on each line, as ``name value`` or ``name = value``; what comes after # is for people."""
    path = Path(name) if name is not None else Path(f"{solver}.opt")
    if name is None and not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    found: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        words = shlex.split(line.replace("=", " ", 1), comments=True)
        if words and len(words) != 2:
            raise OptionFault(f"{path}, line {number}: {line.strip()!r} is not `option value`")
        found += [(words[0], words[1])] if words else []
    return found


def _solve(door: Door, given: Given) -> int:
    try:
        solved = _without_variables(door, given) or door.solve(given)
        sys.stdout.flush()
        answer = solved.answer
        answer.message = _with_objective(answer.message, given)
        write_sol(given.solution, answer, n_vars=solved.n_vars, n_rows=solved.n_rows, options=solved.options)
    except FileNotFoundError as fault:
        return _complain(door, f"there is no file {fault.filename or given.problem}", FAULT)
    except NotLinear as why:
        return _refuse(door, given, f"{given.problem}: {why}; {door.name} solves {door.solves}")
    except (NlError, OptionFault, SolverFault, OSError) as fault:
        return _refuse(door, given, f"{given.problem}: {fault}" if isinstance(fault, NlError) else str(fault))
    print(answer.message)  # noqa: T201
    return FAULT if answer.code >= FAILURE else OK


def _without_variables(door: Door, given: Given) -> Solved | None:
    """The answer where there is nothing for a solver to find."""
    if not given.is_nl or not has_no_variables(given.problem):
        return None
    answer, problem = decide(given.problem, given.objective, door.version())
    return Solved(answer, problem.n_vars, problem.n_rows, problem.options)


def _with_objective(message: str, given: Given) -> str:
    """Of several objectives, which one was taken: AMPL's solvers take the first, unless ``objno`` says another (0: none)."""
    if not given.is_nl:
        return message
    with given.problem.open("rb") as file:
        header, _ = read_header(file.read(HEADER_BYTES))
    if header.n_objectives < 2:
        return message
    taken = f"no. {given.objective}" if given.objective else "none"
    first, *more = message.split("\n", 1)
    return "\n".join([f"{first} ({taken} of {header.n_objectives} objectives)", *more])


def _refuse(door: Door, given: Given, text: str) -> int:
    """The solution file says it, too: whoever reads only that one learns why there is none."""
    try:
        header, _ = read_header(given.problem.read_bytes())
        answer = Answer(FAILURE, f"{door.name}: {text}")
        write_sol(given.solution, answer, n_vars=header.n_vars, n_rows=header.n_rows, options=header.options)
    except (OSError, NlError):
        pass
    return _complain(door, text, FAULT)


def _complain(door: Door, text: str, code: int) -> int:
    sys.stdout.flush()
    print(f"{door.name}: {text}", file=sys.stderr)  # noqa: T201
    return code


def problem_of(given: Given) -> Problem:
    """The problem of a .nl file. Raises NlError, NotLinear, OSError."""
    return read_nl(given.problem, given.objective)
