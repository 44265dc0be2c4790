"""The options that an Ipopt library registers, as it lists them itself: names, types, one line on each.

Nothing here knows Ipopt's options: the library prints them, with its C interface, when it is asked for its documentation.
"""

import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO

OPTION = re.compile(
    r"\\anchor OPT_(?P<name>\w+)\n<strong>\w+</strong>[^\n:]*: *(?P<description>[^\n]*)\n<blockquote>\n(?P<text>.*?)</blockquote>",
    re.DOTALL,
)
KIND = re.compile(r"this (real|integer|string) option")


class OptionKind(StrEnum):
    INTEGER = "integer"
    NUMBER = "real"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class IpoptOption:
    name: str
    kind: OptionKind
    description: str


class NoIpopt(RuntimeError):
    """Ipopt's library is not where it is looked for; the message says how to get it."""


def casadi_folder() -> Path:
    """The folder of the installed ``casadi`` package, which carries Ipopt's library and headers.

    Raises:
        NoIpopt: The package is not installed.
    """
    found = find_spec("casadi")
    if found is None or found.origin is None:
        raise NoIpopt(
            "Ipopt's library comes with the Python package casadi, which is not installed: pip install 'sirdar[optim]'"
        )
    return Path(found.origin).parent


def ipopt_library(folder: Path | None = None) -> Path:
    """The shared library of Ipopt in *folder* (CasADi's by default).

    Raises:
        NoIpopt: There is none.
    """
    folder = folder or casadi_folder()
    for name in ("libipopt.so.3", "libipopt.3.dylib"):
        if (folder / name).exists():
            return folder / name
    raise NoIpopt(
        f"{folder} holds no libipopt.so.3: install a wheel of casadi 3.7 or newer for this machine (pip install -U casadi)"
    )


@cache
def registered_options(library: Path) -> tuple[IpoptOption, ...]:
    """All options that this Ipopt knows, by name.

    Raises:
        OSError: The library cannot be loaded.
        NoIpopt: It lists no options.
    """
    found = tuple(sorted(read_options(documentation(library)), key=lambda option: option.name))
    if not found:
        raise NoIpopt(f"{library} lists no options: it is no Ipopt 3.14 or newer")
    return found


def read_options(text: str) -> Iterator[IpoptOption]:
    """The options in Ipopt's documentation of itself for Doxygen."""
    for match in OPTION.finditer(text):
        kind = KIND.search(match["text"])
        if kind is not None:
            yield IpoptOption(match["name"], OptionKind(kind[1]), match["description"])


def documentation(library: Path) -> str:
    """What Ipopt prints of its options: during the preparation of a solve, which ends there for want of a starting point."""
    ipopt = ctypes.CDLL(str(library))
    problem = _empty_problem(ipopt)
    asked = {
        "option_file_name": "",
        "print_options_documentation": "yes",
        "print_advanced_options": "yes",
        "print_options_mode": "doxygen",
    }
    for name, value in asked.items():
        ipopt.AddIpoptStrOption(problem, name.encode(), value.encode())
    with tempfile.TemporaryFile("w+", encoding="utf-8") as printed, stdout_into(printed):
        ipopt.IpoptSolve(problem, None, None, None, None, None, None, None)
        ctypes.CDLL(None).fflush(None)
        printed.seek(0)
        text = printed.read()
    ipopt.FreeIpoptProblem(problem)
    return text


def refused_option(library: Path, options: Mapping[str, int | float | str]) -> str | None:
    """The first option whose value this Ipopt does not take; None where it takes them all."""
    ipopt = ctypes.CDLL(str(library))
    problem = _empty_problem(ipopt)
    try:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as unheard, stdout_into(unheard):
            return next((name for name, value in options.items() if not _takes(ipopt, problem, name, value)), None)
    finally:
        ipopt.FreeIpoptProblem(problem)


def _takes(ipopt: ctypes.CDLL, problem: ctypes.c_void_p, name: str, value: int | float | str) -> bool:
    match value:
        case int():
            taken = ipopt.AddIpoptIntOption(problem, name.encode(), ctypes.c_int(value))
        case float():
            taken = ipopt.AddIpoptNumOption(problem, name.encode(), ctypes.c_double(value))
        case _:
            taken = ipopt.AddIpoptStrOption(problem, name.encode(), value.encode())
    return bool(taken & 0xFF)  # a C bool is one byte


def _empty_problem(ipopt: ctypes.CDLL) -> ctypes.c_void_p:
    """One variable and nothing to evaluate: to be asked about options only."""
    ipopt.CreateIpoptProblem.restype = ctypes.c_void_p
    zero = (ctypes.c_double * 1)(0.0)
    return ctypes.c_void_p(
        ipopt.CreateIpoptProblem(1, zero, zero, 0, None, None, 0, 0, 0, _nothing, None, _nothing, None, None)
    )


_nothing = ctypes.CFUNCTYPE(ctypes.c_bool)(lambda: False)


@contextmanager
def stdout_into(file: IO[str]) -> Iterator[None]:
    """Sends what this process writes to descriptor 1, C libraries included, into *file*."""
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)
    kept = os.dup(1)
    os.dup2(file.fileno(), 1)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
