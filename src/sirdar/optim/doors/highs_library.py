"""HiGHS' C interface, as the library in highspy's wheel has it: Python's own loader takes it without NumPy."""

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_double, c_int, c_void_p
from pathlib import Path
from typing import Any

from sirdar.optim.doors.call import OptionFault, SolverFault

BOOLEAN, INTEGER, REAL, _ = range(4)  # types of options
TRUE_WORDS, FALSE_WORDS = ("1", "true", "on", "yes"), ("0", "false", "off", "no")
ERROR = -1


def find_library(package: Path) -> Path:
    """The file that has the C interface in highspy's directory. Raises SolverFault."""
    for pattern in ("libhighs.so*", "libhighs*.dylib", "highs*.dll", "_core*.so"):
        if found := sorted(package.glob(pattern)):
            return found[0]
    raise SolverFault(f"there is no HiGHS in {package}; install highspy again, then `sirdar optim install`")


class Highs:
    """One HiGHS with one problem. Raises SolverFault where the library cannot be loaded or a call fails."""

    def __init__(self, package: Path) -> None:
        library = find_library(package)
        try:
            self._library = ctypes.CDLL(str(library))
            self._library.Highs_create.restype = c_void_p
            for name in ("Highs_version", "Highs_githash"):
                getattr(self._library, name).restype = c_char_p
            for name in ("Highs_getObjectiveValue", "Highs_getInfinity"):
                getattr(self._library, name).restype = c_double
        except (OSError, AttributeError) as error:
            raise SolverFault(f"HiGHS cannot be loaded from {library}: {error}") from None
        self._self = c_void_p(self._library.Highs_create())

    def version(self) -> str:
        text: bytes = self._library.Highs_version()
        return text.decode()

    def call(self, name: str, *arguments: Any) -> int:
        """Calls ``Highs_NAME``. Raises SolverFault where it answers with an error."""
        status: int = getattr(self._library, f"Highs_{name}")(self._self, *arguments)
        if status == ERROR:
            raise SolverFault(f"HiGHS: {name} failed; what it said stands above")
        return status

    def value(self, name: str) -> int:
        """What ``Highs_NAME`` answers, a number that is no status."""
        number: int = getattr(self._library, f"Highs_{name}")(self._self)
        return number

    def objective(self) -> float:
        value: float = self._library.Highs_getObjectiveValue(self._self)
        return value

    def integer_info(self, name: str) -> int:
        value = c_int()
        self.call("getIntInfoValue", name.encode(), byref(value))
        return value.value

    def set_option(self, name: str, text: str) -> None:
        """Raises OptionFault."""
        kind = c_int()
        if self._library.Highs_getOptionType(self._self, name.encode(), byref(kind)) == ERROR:
            raise OptionFault(f"HiGHS has no option {name}")
        try:
            status = self._set(name.encode(), kind.value, text)
        except ValueError:
            status = ERROR
        if status == ERROR:
            raise OptionFault(f"HiGHS does not take {name}={text}")

    def _set(self, name: bytes, kind: int, text: str) -> int:
        library = self._library
        if kind == BOOLEAN:
            word = text.lower()
            if word not in TRUE_WORDS + FALSE_WORDS:
                return ERROR
            return int(library.Highs_setBoolOptionValue(self._self, name, c_int(word in TRUE_WORDS)))
        if kind == INTEGER:
            return int(library.Highs_setIntOptionValue(self._self, name, c_int(int(text))))
        if kind == REAL:
            return int(library.Highs_setDoubleOptionValue(self._self, name, c_double(float(text))))
        return int(library.Highs_setStringOptionValue(self._self, name, text.encode()))

    def solution(self, n_vars: int, n_rows: int) -> tuple[list[float], list[float], list[float]]:
        """Values, reduced costs and duals of the rows."""
        x, reduced = (c_double * n_vars)(), (c_double * n_vars)()
        activity, duals = (c_double * n_rows)(), (c_double * n_rows)()
        self.call("getSolution", x, reduced, activity, duals)
        return list(x), list(reduced), list(duals)


def reals(values: Sequence[float]) -> Any:
    return (c_double * len(values))(*values)


def integers(values: Sequence[int]) -> Any:
    return (c_int * len(values))(*values)
