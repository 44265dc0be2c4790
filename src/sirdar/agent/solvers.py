"""Solvers of this machine as labels, ``solver-ipopt: 3.14.17``, for jobs that need one; ``kept-ipopt`` where it can be kept.

From the list that ``sirdar optim install`` left beside its commands, and from PATH, for programs that are AMPL solvers by nature.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from sirdar.wire.solvers import KEPT_LABEL, LABEL, LIST_NAME, load_solvers, search_path, solvers_directory

AMPL_SOLVERS = ("ipopt", "scip", "bonmin", "couenne", "uno_ampl")
VERSION = re.compile(r"\d+(?:\.\d+)+")
PATIENCE_S = 5.0
UNKNOWN = "unknown"


def solver_labels(environ: Mapping[str, str]) -> dict[str, str]:
    """By label, the version. Nothing that was known before is started again: it is cheap to ask often."""
    found = {}
    for name in AMPL_SOLVERS:
        path = shutil.which(name, path=environ.get("PATH"))
        if path is not None:
            found[LABEL + name] = _version(path, Path(path).stat().st_mtime_ns)
    return found | _listed(environ)


def _listed(environ: Mapping[str, str]) -> dict[str, str]:
    """What stands in the list, as far as a program that says its name would start just that."""
    folder = solvers_directory(environ)
    try:
        solvers = load_solvers((folder / LIST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    search = search_path(environ.get("PATH", os.defpath), folder)
    there = [one for one in solvers if shutil.which(one.name, path=search) == one.path]
    kept = {KEPT_LABEL + one.name: one.version for one in there if one.kept}
    return {LABEL + one.name: one.version for one in there} | kept


@lru_cache(maxsize=64)
def _version(path: str, changed_ns: int) -> str:
    """Asked once for each file. ``changed_ns``: of the file, so that another one is asked anew."""
    try:
        done = subprocess.run(
            [path, "-v"], capture_output=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    match = VERSION.search(done.stdout.decode("utf-8", "replace"))
    return match[0] if match else UNKNOWN
