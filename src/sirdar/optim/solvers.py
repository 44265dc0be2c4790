"""Solvers of this machine: where the command of each stands, and whose it is.

A command named by a setting (``SIRDAR_IPOPT``) comes first, then what stands on PATH and speaks AMPL, then what
``sirdar optim install`` made.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sirdar.optim.trial import attempt, version_of
from sirdar.wire.solvers import BEFORE, LIST_NAME, Solver, load_solvers, search_path, solvers_directory

SETTING, ON_PATH, INSTALLED = "setting", "path", "installed"


@dataclass(frozen=True, slots=True)
class Kind:
    """A solver that is known by name. ``reads``: kinds of problems; ``get``: how to get it where it is missing."""

    name: str
    reads: str
    get: str


KINDS = (
    Kind(
        "ipopt",
        "nonlinear, continuous",
        "pip install casadi (and a C compiler with libamplsolver-dev for the fast one)",
    ),
    Kind("highs", "linear, integers, convex quadratic", "pip install highspy"),
    Kind("scip", "linear and nonlinear, integers", "pip install pyscipopt"),
    Kind("cbc", "linear, integers", "apt-get install coinor-cbc, or pip install pulp"),
)
NAMES = tuple(kind.name for kind in KINDS)


class SolverMissing(LookupError):
    """There is no such solver on this machine; the message says how to get it."""


def find_solver(name: str, environ: Mapping[str, str] | None = None) -> Path:
    """The command of the solver ``name``, without starting anything. Raises SolverMissing."""
    given = os.environ if environ is None else environ
    if named := given.get(setting_of(name)):
        found = shutil.which(named, path=given.get("PATH"))
        if found is None:
            raise SolverMissing(f"{setting_of(name)} names {named}, and there is no such program")
        return Path(found).absolute()
    found = shutil.which(name, path=search_path(given.get("PATH", os.defpath), solvers_directory(given)))
    if found is None:
        hint = next((f"; to get it: {kind.get}" for kind in KINDS if kind.name == name), "")
        raise SolverMissing(f"there is no solver {name} on this machine{hint}; then: sirdar optim install")
    return Path(found).absolute()


def setting_of(name: str) -> str:
    """The variable that names the command: ``SIRDAR_IPOPT``."""
    return f"SIRDAR_{name.upper().replace('-', '_')}"


def installed(environ: Mapping[str, str] | None = None) -> list[Solver]:
    """What ``sirdar optim install`` wrote down last; nothing where it never ran, or its list cannot be read."""
    folder = solvers_directory(os.environ if environ is None else environ)
    try:
        return load_solvers((folder / LIST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def own_path(environ: Mapping[str, str]) -> str:
    """PATH without the directory of the solvers that were installed."""
    folder = solvers_directory(environ)
    ours = {str(folder), str(folder / BEFORE)}
    return os.pathsep.join(word for word in environ.get("PATH", os.defpath).split(os.pathsep) if word not in ours)


@dataclass(frozen=True, slots=True)
class Standing:
    """A solver as it is found now. ``solver`` None: it is missing. ``why``: what is wrong with it; ``seconds``: its trial."""

    name: str
    solver: Solver | None
    seconds: float | None = None
    why: str = ""


def try_all(environ: Mapping[str, str] | None = None) -> list[Standing]:
    """Every solver that is known by name, each tried on a small problem."""
    given = os.environ if environ is None else environ
    return [_tried(kind, given) for kind in KINDS]


def _tried(kind: Kind, environ: Mapping[str, str]) -> Standing:
    try:
        command = find_solver(kind.name, environ)
    except SolverMissing as missing:
        named = bool(environ.get(setting_of(kind.name)))
        return Standing(kind.name, None, why=str(missing) if named else kind.get)
    found = attempt(command)
    known = {solver.path: solver for solver in installed(environ)}.get(str(command))
    solver = known or Solver(
        kind.name, version_of(command), str(command), _how(kind.name, command, environ), reads=kind.reads
    )
    return Standing(kind.name, solver, found.seconds, found.why)


def _how(name: str, command: Path, environ: Mapping[str, str]) -> str:
    if environ.get(setting_of(name)):
        return SETTING
    folder = solvers_directory(environ)
    return INSTALLED if command.parent in (folder, folder / BEFORE) else ON_PATH
