"""What a job of many tasks looks for: the task with the least or greatest value, and when it has found enough. Pure.

Only tasks that are DONE count. A value that is missing, no number or not finite is never the best; of equal ones the task with the
lower number is. What a name stands for is decided once, when the job is submitted: an output, else an input, else a number
that the tasks report while they run.
"""

import json
import keyword
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sirdar.domain.app import App, InputSpec, InputType, OutputType
from sirdar.domain.expressions import CONSTANTS, Expression, ExpressionError, Kind, Value, compile_expression
from sirdar.domain.names import closest
from sirdar.domain.problems import Problem

LONGEST_NAME = 100
_NAMES = re.compile(r"\"[^\"\\]*\"|'[^'\\]*'|\$\{([^{}]*)\}|\$(\w+)|(?<![\w.$])([^\W\d]\w*)(?!\w|\s*\()")
_OUTPUTS: dict[OutputType, Kind] = {
    OutputType.NUMBER: "number",
    OutputType.INTEGER: "number",
    OutputType.BOOLEAN: "truth",
    OutputType.STRING: "text",
}
_INPUTS: dict[InputType, Kind] = {
    InputType.NUMBER: "number",
    InputType.INTEGER: "number",
    InputType.BOOLEAN: "truth",
    InputType.STRING: "text",
    InputType.ENUM: "text",
}


@dataclass(frozen=True, slots=True)
class Best:
    """The best task so far."""

    task: int
    value: float


@dataclass(frozen=True, slots=True)
class Criterion:
    """``key``: whose value is sought (empty: nobody asked for the best). ``stop``: the condition that ends the job early."""

    key: str = ""
    maximize: bool = False
    stop: Expression | None = None
    kinds: tuple[tuple[str, Kind], ...] = ()  # of the names in the condition
    inputs: frozenset[str] = frozenset()  # those of them that are inputs

    @property
    def direction(self) -> str:
        return "maximize" if self.maximize else "minimize"

    def value(self, outputs: Mapping[str, Any], reported: Mapping[str, Any]) -> float | None:
        """The sought value of a task that is done; None where it has none that can be compared."""
        value = outputs.get(self.key, reported.get(self.key)) if self.key else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None

    def better(self, one: Best | None, other: Best | None) -> Best | None:
        """The better of two."""
        if one is None or other is None:
            return other if one is None else one
        if one.value == other.value:
            return one if one.task < other.task else other
        return one if (one.value > other.value) == self.maximize else other

    def met(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], reported: Mapping[str, Any]) -> bool:
        """Whether the condition holds for a task that is done. Where a value is missing, or there is no result, it does not."""
        if self.stop is None:
            return False
        values: dict[str, Value] = {}
        for name, kind in self.kinds:
            value: Any = inputs.get(name) if name in self.inputs else outputs.get(name, reported.get(name))
            if not isinstance(value, int | float | str) or _kind(value) != kind:
                return False
            values[name] = value
        try:
            return bool(self.stop(values))
        except ExpressionError:
            return False

    def to_json(self) -> str:
        """As it is stored."""
        stop = {"stop": self.stop.text, "kinds": dict(self.kinds), "inputs": sorted(self.inputs)} if self.stop else {}
        return json.dumps({"key": self.key, "maximize": self.maximize, **stop}, ensure_ascii=False)


@lru_cache(maxsize=256)
def stored_criterion(text: str) -> Criterion:
    """What ``to_json`` gave."""
    kept = json.loads(text)
    kinds = kept.get("kinds", {})
    stop = compile_expression(kept["stop"], kinds) if "stop" in kept else None
    return Criterion(kept["key"], kept["maximize"], stop, tuple(kinds.items()), frozenset(kept.get("inputs", ())))


def read_criterion(app: App, wanted: Mapping[str, str], stop_when: str) -> Criterion | None:
    """What a submission asks for: ``{"minimize": KEY}``, a condition, or both. None where it asks for neither.

    Raises Problem ``invalid_field``.
    """
    if not wanted and not stop_when.strip():
        return None
    direction, key = next(iter(wanted.items()), ("minimize", ""))
    outputs = {spec.name: _OUTPUTS[spec.type] for spec in app.outputs if spec.type in _OUTPUTS}
    if key:
        _check_number(key, outputs, _declared(app), f"criterion.{direction}")
    kinds, inputs = _kinds(app, outputs, stop_when)
    return Criterion(key, direction == "maximize", _compiled(stop_when, kinds), tuple(kinds.items()), frozenset(inputs))


def _declared(app: App) -> set[str]:
    """Names of outputs that are known before a task has run; none where one of them names its values itself."""
    names_itself = any(spec.type is OutputType.VALUES for spec in app.outputs)
    return set() if names_itself else {spec.name for spec in app.outputs}


def _kind(value: Value) -> Kind:
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number"


def _check_number(name: str, outputs: Mapping[str, Kind], declared: set[str], field: str) -> None:
    """An output that is a number, or a name that no output has, and none is nearly called."""
    numbers = sorted(name for name, kind in outputs.items() if kind == "number")
    expected = f"an output that is a number ({', '.join(numbers) or 'it has none'}), or a number that the tasks report"
    if name in declared and outputs.get(name) != "number":
        raise Problem("invalid_field", f"{name!r} of the application is no number.", field=field, expected=expected)
    if name in declared:
        return
    if len(name) > LONGEST_NAME:
        raise Problem("invalid_field", f"A name has at most {LONGEST_NAME} characters.", field=field, expected=expected)
    near = closest(name, declared)
    if near is not None:
        hint = f"Did you mean {near!r}?"
        raise Problem(
            "invalid_field", f"The application has no output {name!r}.", field=field, expected=expected, hint=hint
        )


def _kinds(app: App, outputs: Mapping[str, Kind], stop_when: str) -> tuple[dict[str, Kind], list[str]]:
    """The kinds of the names in the condition, and those that are inputs."""
    inputs = {spec.name: kind for spec in app.inputs if (kind := _kind_of(spec)) is not None}
    declared = _declared(app) | {spec.name for spec in app.inputs}
    kinds: dict[str, Kind] = {}
    for name in _names(stop_when):
        if name in outputs or name in inputs:
            kinds[name] = outputs[name] if name in outputs else inputs[name]
        elif name not in CONSTANTS:
            _check_number(name, outputs, declared, "stopWhen")
            kinds[name] = "number"
    return kinds, [name for name in kinds if name in inputs and name not in outputs]


def _kind_of(spec: InputSpec) -> Kind | None:
    numbers = spec.type is InputType.ENUM and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in spec.values
    )
    return "number" if numbers else _INPUTS.get(spec.type)


def _names(text: str) -> Iterator[str]:
    for braced, dollar, bare in _NAMES.findall(text):
        name = (braced or dollar or bare).strip()
        if name and not (bare and keyword.iskeyword(bare)):
            yield name


def _compiled(text: str, kinds: Mapping[str, Kind]) -> Expression | None:
    if not text.strip():
        return None
    expected = "a condition over outputs and inputs, such as loss < 0.01"
    try:
        made = compile_expression(text, kinds)
    except ExpressionError as error:
        raise Problem(
            "invalid_field", f"The condition cannot be read: {error}.", field="stopWhen", expected=expected
        ) from None
    if made.kind != "truth":
        raise Problem(
            "invalid_field", f"{made.text} is a {made.kind}, no condition.", field="stopWhen", expected=expected
        )
    return made
