"""Makes the directory of solvers: a command for each that this machine can have, and the list of them."""

import importlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from shlex import quote

import sirdar
from sirdar.optim.solvers import INSTALLED, KINDS, ON_PATH, SETTING, Kind, own_path, setting_of
from sirdar.optim.trial import VERSION, attempt, serves, version_of
from sirdar.wire.solvers import BEFORE, LIST_NAME, Solver, dump_solvers, load_solvers, solvers_directory

MARK = "# Written by `sirdar optim install`."
EVERESTS = """# {name} for the problem $1.nl, with options from the file $2: leaves $1.sol, $1.log.txt and $1.err.txt
stub=${{1%.nl}} file=${{2:-}}
shift
[ $# -gt 0 ] && shift
[ -n "$file" ] && set -- "option_file_name=$file" "$@"
{name} "$stub" -AMPL "$@" > "$stub.log.txt" 2> "$stub.err.txt"
code=$?
[ "$code" -eq 0 ] || tail -n 20 "$stub.err.txt" >&2
exit "$code\""""
CBC_PACKAGES = (("pulp", "solverdir/cbc/linux/i64/cbc"), ("pulp", "solverdir/cbc/linux/arm64/cbc"))


@dataclass(frozen=True, slots=True)
class Missing:
    """A solver that this machine cannot have as it is. ``get``: what would help."""

    name: str
    why: str
    get: str


@dataclass(slots=True)
class Report:
    """``notes``: what the reader should know, such as why a slower form was taken."""

    directory: Path
    solvers: list[Solver] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Unavailable(Exception):
    """It cannot be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class Made:
    """A command that was made. ``what``: the library or program behind it; ``note``: what to tell of it."""

    path: Path
    what: str
    note: str = ""


def install(environ: Mapping[str, str] | None = None) -> Report:
    """Make the directory, or bring it up to date: again and again with the same result. Raises OSError."""
    if os.name == "nt":
        raise OSError("commands of solvers are made on Linux and macOS; on Windows use them under WSL")
    given = os.environ if environ is None else environ
    report = Report(solvers_directory(given))
    (report.directory / BEFORE).mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        _provide(kind, given, report)
        _everests(report, kind.name)
    beside = report.directory / f"{LIST_NAME}.part"
    beside.write_text(dump_solvers(report.solvers), encoding="utf-8")
    beside.replace(report.directory / LIST_NAME)
    return report


def _provide(kind: Kind, environ: Mapping[str, str], report: Report) -> None:
    """Takes the machine's own command where it speaks AMPL, else makes one."""
    before = report.directory / BEFORE / kind.name
    named = environ.get(setting_of(kind.name))
    own = shutil.which(named or kind.name, path=own_path(environ))
    if named and own is None:
        report.missing.append(
            Missing(kind.name, f"{setting_of(kind.name)} names {named}, which is not there", kind.get)
        )
        return
    if own is not None and not (found := attempt(own)).why:
        _forget(before)
        how = SETTING if named else ON_PATH
        path = write_script(before, f'exec {quote(own)} "$@"') if named else Path(own)
        report.solvers.append(
            Solver(kind.name, _version(own), str(path), how, what=own, reads=kind.reads, kept=serves(path))
        )
        return
    if named:
        report.missing.append(Missing(kind.name, f"{setting_of(kind.name)} names {own}: {found.why}", kind.get))
        return
    try:
        made = MAKERS[kind.name](report.directory / kind.name, own)
    except Unavailable as why:
        _forget(before)
        report.missing.append(Missing(kind.name, str(why), kind.get))
        return
    _shadow(made.path, before, own)
    _judge(kind, made, before if own is not None else made.path, report)


def _judge(kind: Kind, made: Made, path: Path, report: Report) -> None:
    """What was made counts once it has solved something."""
    tried = attempt(path)
    if tried.why:
        for useless in (path, made.path):
            _forget(useless)
        report.missing.append(Missing(kind.name, f"{path}: {tried.why}", kind.get))
        return
    if made.note:
        report.notes.append(made.note)
    report.solvers.append(
        Solver(
            kind.name, _version(made.path), str(path), INSTALLED, what=made.what, reads=kind.reads, kept=serves(path)
        )
    )


def _shadow(path: Path, before: Path, own: str | None) -> None:
    """A command of the same name that does not speak AMPL stands on PATH: ours is asked first, and hands on all other calls."""
    if own is None:
        _forget(before)
        return
    kept = f'[ $# -eq 0 ] && [ -n "${{SIRDAR_WORKER_FD-}}" ] && exec {quote(str(path))}\n'
    write_script(
        before,
        f'{kept}for word in "$@"; do\n    [ "$word" = -AMPL ] && exec {quote(str(path))} "$@"\ndone\nexec {quote(own)} "$@"',
    )


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)


def _version(path: str | Path) -> str:
    """``3.14.17``; the words themselves where there is no number in them."""
    words = version_of(path)
    found = VERSION.search(words)
    return found[0] if found else words or "unknown"


# ---------------------------------------------------------------- commands


def write_script(path: Path, body: str) -> Path:
    """A small shell script, moved to its place whole. Shells start in a millisecond, and have no limit for a path's length."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(f"#!/bin/sh\n{MARK}\n{body}\n", encoding="utf-8")
    beside.chmod(0o755)
    beside.replace(path)
    return path


def _everests(report: Report, name: str) -> None:
    """``run-NAME.sh STUB OPTIONS_FILE [OPTION=VALUE ...]``, by which plans of Everest's clients call a solver."""
    path = report.directory / f"run-{name}.sh"
    if all(one.name != name for one in report.solvers):
        _forget(path)
        return
    write_script(path, EVERESTS.format(name=name))


def write_door(path: Path, module: str, behind: str) -> Path:
    """The command that calls ``sirdar.optim.doors.MODULE`` with what is behind it; Python starts without site-packages."""
    source = str(Path(sirdar.__file__).resolve().parent.parent)
    code = (
        f"import sys; sys.path.append({source!r}); from sirdar.optim.doors.{module} import main;"
        f" sys.exit(main(sys.argv[1:], {behind!r}))"
    )
    return write_script(path, f'exec {quote(sys.executable)} -I -S -c {quote(code)} "$@"')


def _make_ipopt(path: Path, own: str | None) -> Made:
    """The driver in C, or else CasADi's Ipopt behind Python."""
    folder = _package("casadi")
    if folder is None:
        raise Unavailable("the Python package casadi, which carries Ipopt, is not installed beside sirdar")
    try:
        what = _driver_words(folder)
        if not _is_there(path, what):
            importlib.import_module("sirdar.optim.build_ipopt").build_driver(path.parent)
        return Made(path, what)
    except (
        Exception
    ) as error:  # whatever a compiler and two libraries may lack: the next best is taken, and why is told
        why = f"{error}".strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    body = f'exec {quote(sys.executable)} -m sirdar.optim.casadi_driver "$@"'
    note = f"ipopt runs on CasADi behind Python, which starts more slowly: {why}"
    return Made(write_script(path, body), "CasADi", note)


def _driver_words(folder: Path) -> str:
    """What the driver in C is made of: where that has not changed, it need not be built again."""
    return f"driver in C of sirdar {sirdar.__version__}, for Ipopt of casadi {metadata.version('casadi')} at {folder}"


def _is_there(path: Path, what: str) -> bool:
    try:
        known = load_solvers((path.parent / LIST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return any(one.what == what for one in known) and path.exists() and not attempt(path).why


def _make_highs(path: Path, own: str | None) -> Made:
    return _of_package(path, "highs", "highspy")


def _make_scip(path: Path, own: str | None) -> Made:
    return _of_package(path, "scip", "pyscipopt")


def _of_package(path: Path, module: str, package: str) -> Made:
    folder = _package(package)
    if folder is None:
        raise Unavailable(f"the Python package {package} is not installed beside sirdar")
    return Made(write_door(path, module, str(folder)), f"the library in {package} at {folder}")


def _make_cbc(path: Path, own: str | None) -> Made:
    program = own or _packaged_cbc()
    if program is None:
        raise Unavailable("there is no cbc on PATH")
    return Made(write_door(path, "cbc", program), program)


def _packaged_cbc() -> str | None:
    """PuLP's wheel carries one."""
    for package, inside in CBC_PACKAGES:
        folder = _package(package)
        if folder is not None and version_of(folder / inside):
            return str(folder / inside)
    return None


def _package(name: str) -> Path | None:
    """The directory of a package, which is not imported."""
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found is not None and found.origin else None


MAKERS: dict[str, Callable[[Path, str | None], Made]] = {
    "ipopt": _make_ipopt,
    "highs": _make_highs,
    "scip": _make_scip,
    "cbc": _make_cbc,
}
