"""Where a machine's solvers stand, and the list beside them: `sirdar optim install` writes it, the agent reads it."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DIRECTORY_VARIABLE = "SIRDAR_SOLVERS"
BEFORE = "before"  # folder of commands that come before the machine's own of the same name, which do not speak AMPL
LIST_NAME = "solvers.json"
LABEL = "solver-"
KEPT_LABEL = "kept-"  # of one that solves many problems from one process
FORM = 1


@dataclass(frozen=True, slots=True)
class Solver:
    """A solver of this machine. ``path``: the command; ``how`` it came: ``setting``, ``path`` (found there) or ``installed``.

    ``what``: the program or library behind it; ``reads``: kinds of problems, in words. ``kept``: its process can be kept between
    problems, as ``keep_alive`` of an application says it.
    """

    name: str
    version: str
    path: str
    how: str
    what: str = ""
    reads: str = ""
    kept: bool = False


def solvers_directory(environ: Mapping[str, str]) -> Path:
    """The setting ``SIRDAR_SOLVERS``, else ``$XDG_DATA_HOME/sirdar/solvers``, else ``~/.local/share/sirdar/solvers``."""
    if given := environ.get(DIRECTORY_VARIABLE):
        return Path(given).absolute()
    base = environ.get("XDG_DATA_HOME")
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return (Path(base) if base else home / ".local" / "share") / "sirdar" / "solvers"


def search_path(given: str, folder: Path) -> str:
    """The PATH of programs: commands of ours before it only where they must be, all others behind it."""
    around = (str(folder / BEFORE), str(folder))
    words = [word for word in given.split(os.pathsep) if word not in around]
    return os.pathsep.join([around[0], *words, around[1]])


def dump_solvers(solvers: list[Solver]) -> str:
    return json.dumps({"form": FORM, "solvers": [asdict(one) for one in solvers]}, indent=2) + "\n"


def load_solvers(text: str) -> list[Solver]:
    """Raises ValueError where it is no such list."""
    try:
        document = json.loads(text)
        if document["form"] != FORM:
            raise ValueError(f"form {document['form']} is not known here")
        return [_solver(one) for one in document["solvers"]]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it is no list of solvers: {error!r}") from None


def _solver(given: Mapping[str, Any]) -> Solver:
    words = {key: str(given[key]) for key in Solver.__dataclass_fields__ if key in given and key != "kept"}
    return Solver(**words, kept=given.get("kept") is True)
