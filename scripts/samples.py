"""The examples as the demo and the tests see them: what to give, what to expect (``examples/*/sample.json``).

``inputs`` are as the command line takes them (``@`` names a file beside the sample); ``foreach`` is a JSON-lines file, one
task for each line. An expectation is a value, or one of ``{"about", "within"}``, ``{"below"}``, ``{"mean", "within"}`` (over
the tasks), ``{"keys"}`` (of an object), ``{"least"}`` (so many members of an object or list), ``{"matches"}`` (a regular
expression for the whole text), ``{"file", "begins", "min_bytes"}`` (a file's name, its first bytes in hexadecimal, its size).
"""

import json
import re
import shutil
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one example."""

    folder: Path
    inputs: Mapping[str, str]
    expect: Mapping[str, Any]
    foreach: Path | None = None
    needs: str | None = None  # a command without which the example cannot be built
    build: tuple[str, ...] = ()

    @property
    def alias(self) -> str:
        return self.folder.name

    def arguments(self) -> list[str]:
        """Inputs for ``sirdar run``, with whole paths."""
        words = []
        for name, value in self.inputs.items():
            words += ["-i", f"{name}=@{self.folder / value[1:]}" if value.startswith("@") else f"{name}={value}"]
        return [*words, "--foreach", str(self.foreach)] if self.foreach else words

    def why_not(self) -> str | None:
        """Why the example cannot be built here, or None."""
        if self.needs and shutil.which(self.needs) is None:
            return f"needs {self.needs}, which is missing here (scripts/debian-packages build)"
        return None

    def make(self) -> None:
        """Builds the program. Raises CalledProcessError with the compiler's words."""
        if self.build:
            subprocess.run(self.build, cwd=self.folder, check=True, capture_output=True, text=True)

    def faults(self, result: Any) -> list[str]:
        """What is not as expected in a job's ``result``."""
        results = result if isinstance(result, list) else [result]
        found = []
        for name, expected in self.expect.items():
            values = [one.get(name) if isinstance(one, dict) else None for one in results]
            if not _fits(expected, values):
                found.append(
                    f"{self.alias}: {name} is {values if self.foreach else values[0]!r}, expected {expected!r}"
                )
        return found


def load(name: str) -> Sample:
    folder = EXAMPLES / name
    text = json.loads((folder / "sample.json").read_text())
    return Sample(
        folder=folder,
        inputs=text["inputs"],
        expect=text["expect"],
        foreach=folder / text["foreach"] if "foreach" in text else None,
        needs=text.get("needs"),
        build=tuple(text.get("build", ())),
    )


def names() -> list[str]:
    return sorted(path.parent.name for path in EXAMPLES.glob("*/sample.json"))


def _fits(expected: Any, values: list[Any]) -> bool:
    if None in values or not values:
        return False
    if not isinstance(expected, dict):
        return all(value == expected for value in values)
    if "mean" in expected:
        return bool(abs(statistics.fmean(values) - expected["mean"]) <= expected["within"])
    if "about" in expected:
        return all(abs(value - expected["about"]) <= expected["within"] for value in values)
    if "below" in expected:
        return all(value < expected["below"] for value in values)
    if "matches" in expected:
        return all(re.fullmatch(expected["matches"], value) is not None for value in values)
    if "least" in expected:
        return all(len(value) >= expected["least"] for value in values)
    if "keys" in expected:
        return all(sorted(value) == expected["keys"] for value in values)
    return all(str(value).endswith("/" + expected["file"]) for value in values)
