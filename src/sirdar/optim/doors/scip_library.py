"""SCIP's C interface, as the library in PySCIPOpt's wheel has it: Python's own loader takes it without NumPy."""

import ctypes
from ctypes import byref, c_char_p, c_double, c_int, c_longlong, c_uint, c_void_p
from pathlib import Path
from typing import Any

from sirdar.optim.doors.call import OptionFault, SolverFault

OKAY = 1
BOOLEAN, INTEGER, LONG, REAL, CHARACTER, TEXT = range(6)  # types of parameters
SETTERS = {BOOLEAN: "Bool", INTEGER: "Int", LONG: "Longint", REAL: "Real", CHARACTER: "Char", TEXT: "String"}
TRUE_WORDS, FALSE_WORDS = ("1", "true", "on", "yes"), ("0", "false", "off", "no")
PRESOLVING_OFF = 3  # SCIP_PARAMSETTING_OFF


def find_library(package: Path) -> Path:
    """The file beside PySCIPOpt's directory. Raises SolverFault."""
    for folder, pattern in (
        (package.with_name("pyscipopt.libs"), "libscip*.so*"),
        (package / ".dylibs", "libscip*.dylib"),
        (package.with_name("pyscipopt.libs"), "*scip*.dll"),
    ):
        if found := sorted(folder.glob(pattern)):
            return found[0]
    raise SolverFault(f"there is no SCIP beside {package}; install pyscipopt again, then `sirdar optim install`")


class Scip:
    """One SCIP with all its plugins. Raises SolverFault where the library cannot be loaded or a call fails."""

    def __init__(self, package: Path) -> None:
        library = find_library(package)
        try:
            self._library = ctypes.CDLL(str(library))
            self._library.SCIPgetPrimalbound.restype = c_double
            self._library.SCIPgetParam.restype = c_void_p
            self._library.SCIPgetNTotalNodes.restype = c_longlong
        except (OSError, AttributeError) as error:
            raise SolverFault(f"SCIP cannot be loaded from {library}: {error}") from None
        self._self = c_void_p()
        self._check("create", self._library.SCIPcreate(byref(self._self)))

    def version(self) -> str:
        lib = self._library
        return f"{lib.SCIPmajorVersion()}.{lib.SCIPminorVersion()}.{lib.SCIPtechVersion()}"

    def close(self) -> None:
        """Gives its memory back: the command may solve once more."""
        self._check("free", self._library.SCIPfree(byref(self._self)))

    def call(self, name: str, *arguments: Any) -> None:
        """Calls ``SCIPNAME``. Raises SolverFault where it answers with an error."""
        self._check(name, getattr(self._library, f"SCIP{name}")(self._self, *arguments))

    def number(self, name: str, *arguments: Any) -> Any:
        """What ``SCIPNAME`` answers."""
        return getattr(self._library, f"SCIP{name}")(self._self, *arguments)

    def set_parameter(self, name: str, text: str) -> None:
        """Raises OptionFault."""
        parameter = self.number("getParam", name.encode())
        if not parameter:
            raise OptionFault(f"SCIP has no parameter {name}")
        kind = int(self._library.SCIPparamGetType(c_void_p(parameter)))
        try:
            value = _value(kind, text)
        except ValueError:
            raise OptionFault(f"SCIP does not take {name}={text}") from None
        if getattr(self._library, f"SCIPset{SETTERS[kind]}Param")(self._self, name.encode(), value) != OKAY:
            raise OptionFault(f"SCIP does not take {name}={text}")

    def _check(self, name: str, code: int) -> None:
        if code != OKAY:
            raise SolverFault(f"SCIP: {name} failed ({code}); what it said stands above")


def _value(kind: int, text: str) -> Any:
    if kind == BOOLEAN:
        word = text.lower()
        if word not in TRUE_WORDS + FALSE_WORDS:
            raise ValueError(text)
        return c_uint(word in TRUE_WORDS)
    if kind == INTEGER:
        return c_int(int(text))
    if kind == LONG:
        return c_longlong(int(text))
    if kind == REAL:
        return c_double(float(text))
    if kind == CHARACTER:
        if len(text.encode()) != 1:
            raise ValueError(text)
        return ctypes.c_char(text.encode())
    return c_char_p(text.encode())
