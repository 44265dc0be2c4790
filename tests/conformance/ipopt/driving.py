"""Drivers under test, and the way from a model to a driver's answer: Pyomo writes the .nl file and reads the .sol file."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyomo.opt import ReaderFactory, ResultsFormat

TIMEOUT_S = 60.0
ITERATIONS = re.compile(r"Number of Iterations\.*: (\d+)")

MANY = """
import json, sys
from sirdar.optim.casadi_driver.command import main
for words in json.load(sys.stdin):
    main(words)
"""


@dataclass(frozen=True, slots=True)
class Driver:
    """``command``: its first words. ``many``: a program that solves many problems in one process, where a start costs much."""

    name: str
    command: tuple[str, ...]
    many: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Run:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def iterations(self) -> int:
        found = ITERATIONS.search(self.stdout)
        assert found, self.stdout
        return int(found[1])


def casadi_driver() -> Driver:
    return Driver("casadi", (sys.executable, "-m", "sirdar.optim.casadi_driver"), (sys.executable, "-c", MANY))


def surroundings(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if name not in ("ipopt_options", "SIRDAR_WORKER_FD")}
    return {**kept, "OPENBLAS_NUM_THREADS": "1", **(environment or {})}


def run(driver: Driver, folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> Run:
    done = subprocess.run(
        [*driver.command, *words],
        cwd=folder,
        env=surroundings(environment),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def run_all(driver: Driver, folder: Path, names: Iterable[str]) -> None:
    """Solves ``NAME.nl`` of the folder for each name."""
    if driver.many is None:
        for name in names:
            run(driver, folder, name, "-AMPL")
        return
    words = json.dumps([[name, "-AMPL"] for name in names])
    subprocess.run(
        driver.many, cwd=folder, env=surroundings(), input=words, capture_output=True, text=True, timeout=90, check=True
    )


@dataclass(frozen=True, slots=True)
class Written:
    """A model and its file."""

    model: Any
    stub: Path
    symbols: int

    def results(self) -> Any:
        """What Pyomo's own reader makes of the .sol file."""
        found = ReaderFactory(ResultsFormat.sol)(str(self.stub.with_suffix(".sol")), suffixes=[".*"])
        found._smap_id = self.symbols
        return found

    def load(self) -> Any:
        """The results, and the values in the model."""
        found = self.results()
        self.model.solutions.load_from(found)
        return found


def write(model: Any, folder: Path, name: str) -> Written:
    stub = folder / name
    _, symbols = model.write(f"{stub}.nl")
    return Written(model, stub, symbols)
