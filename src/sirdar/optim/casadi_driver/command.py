"""Reads the words and the .nl file, solves, writes the .sol file; prints what Ipopt's own command prints."""

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sirdar.optim.casadi_driver.nl_text import NlText, NotForCasadi, read_nl_text
from sirdar.optim.casadi_driver.problem import CasadiRefused, Found, solve
from sirdar.optim.casadi_driver.verdicts import verdict
from sirdar.optim.casadi_driver.words import (
    NO_MESSAGE,
    PRINT_MULTIPLIERS,
    PRINT_VARIABLES,
    Asked,
    BadWords,
    Value,
    read_options_file,
    read_words,
)
from sirdar.optim.constants import decide
from sirdar.optim.ipopt_options import (
    IpoptOption,
    NoIpopt,
    casadi_folder,
    ipopt_library,
    refused_option,
    registered_options,
)
from sirdar.optim.nl import NlError, NotLinear
from sirdar.optim.sol import Answer, write_sol

EXIT_BAD_PROBLEM = 1
EXIT_BAD_OPTION_FILE = 155
INVALID_OPTION = "Invalid_Option"
VERSION_WORDS = ("-v", "--version")
DEFAULT_OPTIONS_FILE = "ipopt.opt"


def main(words: Sequence[str]) -> int:
    """The exit code of the command."""
    try:
        return run(words)
    except (BadWords, NotForCasadi, NoIpopt, CasadiRefused, OSError) as error:
        return _complain(error, EXIT_BAD_PROBLEM)


def _complain(error: Exception, code: int) -> int:
    """In the last line on stderr: that line is what becomes of it in a job's message."""
    sys.stdout.flush()
    print(f"ipopt: {error}", file=sys.stderr, flush=True)
    return code


def run(words: Sequence[str]) -> int:
    """Raises BadWords, NotForCasadi, CasadiRefused, NoIpopt, OSError."""
    name = f"Ipopt {_version()}"
    if words and words[0] in VERSION_WORDS:
        print(f"{name} ({platform.system()} {platform.machine()}), CasADi")
        return 0
    known = registered_options(ipopt_library())
    if words[:1] == ["-="]:
        for option in known:
            print(f"{option.name:<50}{option.description}")
        return 0
    asked = read_words(words, os.environ, known)
    if not asked.stub:
        raise BadWords("No .nl file given!")
    print(f"{name}: {chr(10).join(asked.echo)}\n\n", flush=True)
    text = _read(asked.stub)
    try:
        options = {**asked.options, **_options_of_file(asked, known), "option_file_name": ""}
    except BadWords as error:
        return _complain(error, EXIT_BAD_OPTION_FILE)
    if not text.n_vars:
        _write(asked, text, _decided(asked.stub, name))
        return 0
    found = _solve(text, options)
    if found.status == INVALID_OPTION:
        return _complain(_without_library(options), EXIT_BAD_OPTION_FILE)
    _tell(asked, text, found, name)
    return 0


def _decided(stub: str, name: str) -> Answer:
    """Raises NotForCasadi."""
    try:
        return decide(Path(f"{stub}.nl"), 1, name)[0]
    except (NlError, NotLinear) as error:
        raise NotForCasadi(str(error)) from None


def _solve(text: NlText, options: dict[str, Value]) -> Found:
    """Raises BadWords where Ipopt refuses an option: CasADi does not say which."""
    try:
        return solve(text, options)
    except CasadiRefused:
        name = refused_option(ipopt_library(), options)
        if name is None:
            raise
        raise BadWords(f'the option {name} does not take the value "{options[name]}"') from None


def _without_library(options: dict[str, Value]) -> BadWords:
    return BadWords(
        f'the option linear_solver does not take the value "{options.get("linear_solver", "")}" here: its library cannot be loaded'
    )


def _options_of_file(asked: Asked, known: Iterable[IpoptOption]) -> dict[str, Value]:
    """They come over all others. CasADi would let Ipopt read the file before it sets the options that it is given."""
    named = str(asked.options.get("option_file_name", ""))
    path = Path(named or DEFAULT_OPTIONS_FILE)
    if named:
        print(f'Using option file "{named}".\n', flush=True)
    if not path.is_file():
        return {}
    return read_options_file(path.read_text(encoding="utf-8", errors="surrogateescape"), known)


def _version() -> str:
    """Of the library that CasADi carries: its header says it."""
    header = casadi_folder() / "include" / "coin-or" / "IpoptConfig.h"
    words = (line.split() for line in header.read_text(encoding="utf-8", errors="replace").splitlines())
    return next((line[2].strip('"') for line in words if line[:2] == ["#define", "IPOPT_VERSION"]), "3.14")


def _read(stub: str) -> NlText:
    path = Path(f"{stub}.nl")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotForCasadi(f"can't open {path}: {error.strerror}") from None
    text = read_nl_text(content)
    if any(text.n_discrete):
        print(
            f"==> Warning: Treating {text.n_discrete[0]} binary and {text.n_discrete[1]} integer variables as continuous.\n",
            flush=True,
        )
    return text


def _relaxed(integers: int) -> str:
    return f" ({integers} integer variable{'s' * (integers > 1)} taken as continuous)" if integers else ""


def _tell(asked: Asked, text: NlText, found: Found, name: str) -> None:
    """Signs of multipliers go back to those of the objective as the user wrote it."""
    code, words = verdict(found.status)
    sign = -1.0 if text.maximize else 1.0
    answer = Answer(
        code,
        f"{name}: {words}{_relaxed(sum(text.n_discrete))}",
        found.x,
        [-sign * value for value in found.multipliers],
        {
            "ipopt_zL_out": [sign * value for value in found.lower],
            "ipopt_zU_out": [-sign * value for value in found.upper],
        },
    )
    _write(asked, text, answer)


def _write(asked: Asked, text: NlText, answer: Answer) -> None:
    if asked.writes_sol:
        write_sol(Path(f"{asked.stub}.sol"), answer, n_vars=text.n_vars, n_rows=text.n_rows, options=text.options)
    if asked.ampl:
        return
    if not asked.wantsol & NO_MESSAGE:
        print(f"\n{answer.message}")
    for bit, title, values in (
        (PRINT_VARIABLES, "variable", answer.x),
        (PRINT_MULTIPLIERS, "dual value", answer.duals),
    ):
        if asked.wantsol & bit:
            print(f"\n{title}")
            print("\n".join(f"{value:.15g}" for value in values))
