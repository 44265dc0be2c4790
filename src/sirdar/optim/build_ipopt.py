"""Builds Sirdar's AMPL-style ``ipopt``: a driver in C on AMPL's solver library, for the Ipopt that CasADi's wheel carries.

    python -m sirdar.optim.build_ipopt DIRECTORY

It needs a C compiler, AMPL's solver library with its headers (Debian: ``libamplsolver-dev``) and the package ``casadi``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path

from sirdar.optim.ipopt_options import (
    IpoptOption,
    NoIpopt,
    OptionKind,
    casadi_folder,
    ipopt_library,
    registered_options,
)

__all__ = ["CannotBuild", "build_driver"]

COMMAND = "ipopt"
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu11", "-O2")
ASL_HEADERS = tuple(
    Path(root) / name
    for root in ("/usr/include", "/usr/local/include")
    for name in ("ampl-netlib-solvers", "asl", "coin-or/asl")
)
STATIC_ASL = "libamplsolver.a"
BUILD_TIMEOUT_S = 120.0
C_KINDS = {OptionKind.INTEGER: "OPTION_INTEGER", OptionKind.NUMBER: "OPTION_NUMBER", OptionKind.STRING: "OPTION_STRING"}


class CannotBuild(RuntimeError):
    """The driver cannot be built here. The message says what is missing and how to get it."""


def build_driver(into: Path) -> Path:
    """Compile the driver as ``into/ipopt``, moved there whole, and try it. Answers its path.

    The command finds Ipopt's library where it was at the build, or in ``SIRDAR_IPOPT_LIBRARY``: build it again after
    CasADi has moved.

    Raises:
        CannotBuild: Something that it needs is missing, the compiler fails, or the command does not start.
        OSError: The directory cannot be written.
    """
    compiler, asl, headers, library = _needed()
    into.mkdir(parents=True, exist_ok=True)
    target = into / COMMAND
    with (
        tempfile.TemporaryDirectory(prefix=".ipopt-", dir=into) as scratch,
        as_file(files("sirdar.optim") / "native") as sources,
    ):
        folder = Path(scratch)
        (folder / "ipopt_options.inc").write_text(_option_table(registered_options(library)), encoding="utf-8")
        built = folder / COMMAND
        includes = [f"-I{sources}", f"-I{folder}", f"-I{headers}", "-isystem", str(asl)]
        library_name = f"-DIPOPT_LIBRARY={json.dumps(str(library))}"
        _compile(
            [
                compiler,
                *FLAGS,
                library_name,
                *includes,
                *map(str, sorted(sources.glob("*.c"))),
                "-o",
                str(built),
                *_link_words(asl),
            ]
        )
        _try(built)
        built.replace(target)
    return target


# ---------------------------------------------------------------- what it needs


def _needed() -> tuple[str, Path, Path, Path]:
    """Compiler, headers of ASL, headers of Ipopt, library of Ipopt; all that is missing is told at once."""
    missing: list[str] = []
    if sys.platform != "linux":
        missing.append("Linux: elsewhere use `python -m sirdar.optim.casadi_driver`")
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), "")
    if not compiler:
        missing.append("a C compiler: apt-get install gcc libc6-dev")
    asl = next((folder for folder in _asl_folders() if (folder / "asl.h").exists()), Path())
    if asl == Path():
        missing.append("AMPL's solver library with its headers: apt-get install libamplsolver-dev")
    headers = library = Path()
    try:
        library = ipopt_library()
        headers = casadi_folder() / "include" / "coin-or"
        if not (headers / "IpStdCInterface.h").exists():
            missing.append(f"Ipopt's headers, which this casadi lacks at {headers}: pip install -U casadi")
    except NoIpopt as error:
        missing.append(str(error))
    if missing:
        raise CannotBuild("The ipopt driver in C cannot be built here. It needs " + "; ".join(missing))
    return compiler, asl, headers, library


def _asl_folders() -> Iterable[Path]:
    """Where ASL's headers may be; ``SIRDAR_ASL_INCLUDE`` comes first."""
    own = os.environ.get("SIRDAR_ASL_INCLUDE")
    return (Path(own), *ASL_HEADERS) if own else ASL_HEADERS


def _link_words(asl: Path) -> list[str]:
    """ASL is linked into the program where it is there as an archive: one library less to load at each start."""
    archive = next((found for root in (asl.parent.parent / "lib", Path("/usr/lib")) for found in _archives(root)), None)
    return [str(archive) if archive else "-lamplsolver", "-lm", "-ldl"]


def _archives(root: Path) -> list[Path]:
    return [*root.glob(STATIC_ASL), *root.glob(f"*/{STATIC_ASL}")]


def _option_table(options: Iterable[IpoptOption]) -> str:
    """The rows of ``REGISTERED`` in options.c."""
    rows = (
        f"{{{json.dumps(o.name)}, {json.dumps(o.name)}, {C_KINDS[o.kind]}, {_c_text(o.description)}}}," for o in options
    )
    return "\n".join(rows) + "\n"


def _c_text(text: str) -> str:
    """ASCII only, and no percent sign: ASL prints descriptions as formats."""
    return json.dumps(text.encode("ascii", "replace").decode().replace("%", " per cent"))


# ---------------------------------------------------------------- the compiler


def _compile(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuild(f"The C compiler failed: {error}") from error
    if done.returncode != 0:
        raise CannotBuild(f"The C compiler failed on the ipopt driver:\n{done.stderr.strip()[-2000:]}")


def _try(built: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SIRDAR_WORKER_FD"}
    done = subprocess.run(
        [built, "-v"], capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False, env=environment
    )
    if done.returncode != 0 or not done.stdout.startswith("Ipopt "):
        raise CannotBuild(
            f"The ipopt driver was built and does not start: {(done.stderr or done.stdout).strip()[-1000:]}"
        )


if __name__ == "__main__":
    try:
        print(build_driver(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
    except CannotBuild as problem:
        sys.exit(str(problem))
