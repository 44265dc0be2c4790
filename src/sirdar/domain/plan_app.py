"""A plan as an application: what a job of ``sirdar/parameter-sweep`` runs, and which files each of its tasks gets."""

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sirdar.domain.app import FILE_INPUTS, FILE_OUTPUTS, App, InputSpec, InputType, OutputSpec, OutputType
from sirdar.domain.command import places
from sirdar.domain.expressions import Value
from sirdar.domain.people import SYSTEM_NAME
from sirdar.domain.plan import STREAMS, Named, Plan, fill, used_in
from sirdar.domain.problems import FieldError

SWEEP, PROBLEMS = "parameter-sweep", "solve-set-opt-probs"  # the built-in applications whose jobs a plan describes
RESULTS, TABLE = "results.zip", "table.csv"  # of such a job, made while it is downloaded
MADE = frozenset({RESULTS, TABLE})
_OWN_FILES = "input_files_"  # begins the names of inputs that a plan's job has for its tasks' files
_SHELLS_OWN = re.compile(r"\$\{")


def planned(owner: str, alias: str) -> bool:
    """Whether jobs of this application are described by a plan."""
    return owner == SYSTEM_NAME and alias in (SWEEP, PROBLEMS)


def of_the_author(owner: str, alias: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A task's own inputs, of a plan's job without those that only say which files the task gets."""
    inner = _OWN_FILES if planned(owner, alias) else None
    return {name: value for name, value in inputs.items() if inner is None or not name.startswith(inner)}


@dataclass(frozen=True, slots=True)
class PlanFiles:
    """Which files of the archive a job needs. ``common``: every task has them. ``own``: those of one task, by their input."""

    common: tuple[str, ...]
    own: tuple[tuple[str, str], ...]  # (input, path with ${NAME} in it)

    def of_task(self, values: Mapping[str, Value]) -> dict[str, str]:
        """Path in the archive by input, for one combination."""
        return {name: posixpath.normpath(fill(path, values)) for name, path in self.own}


def app_of(plan: Plan, base: App) -> App:
    """The application whose tasks the plan describes.

    ``base``: the built-in one that was run. Its inputs are not staged, a parameter takes the place of one of its name; its outputs
    that are values are read from the plan's output file with the same ending.
    """
    files = files_of(plan)
    names = {one.name for one in plan.parameters}
    inputs = [
        *(replace(spec, staged=False, required=False) for spec in base.inputs if spec.name not in names),
        *(_parameter(one.name, one.values) for one in plan.parameters),
        *(_file_input(name, path) for name, path in files.own),
    ]
    certain = all(
        one.name not in places("".join(base.resources.labels)) or len(one.values) == 1 for one in plan.parameters
    )
    return replace(
        base,
        inputs=tuple(inputs),
        outputs=(*_outputs(plan.outputs), *_values(base.outputs, plan.outputs)),
        resources=base.resources if certain else replace(base.resources, labels={}),
        command=("/bin/sh", "-c", _line(plan.command, names)),
        templates={one.path: one.path for one in plan.inputs if one.special},
        examples=(),
    )


def files_of(plan: Plan) -> PlanFiles:
    common = [posixpath.normpath(one.path) for one in plan.inputs if not used_in(one.path)]
    own = [one.path for one in plan.inputs if used_in(one.path)]
    return PlanFiles(tuple(dict.fromkeys(common)), tuple((f"{_OWN_FILES}{no}", path) for no, path in enumerate(own)))


def named_by_line(plan: Plan, of_tasks: Iterable[Mapping[str, str]], paths: Collection[str]) -> dict[str, list[str]]:
    """Those of the paths that each line of the plan names, in order; by the field of an error about it.

    ``of_tasks``: as ``PlanFiles.of_task`` gives them.
    """
    files = files_of(plan)
    common = {posixpath.normpath(one.path): one.place for one in reversed(plan.inputs) if not used_in(one.path)}
    places = {
        name: one.place for (name, _), one in zip(files.own, (x for x in plan.inputs if used_in(x.path)), strict=True)
    }
    found: dict[str, dict[str, None]] = {}
    for path in files.common:
        if path in paths:
            found.setdefault(common[path], {})[path] = None
    for own in of_tasks:
        for name, path in own.items():
            if path in paths:
                found.setdefault(places[name], {})[path] = None
    return {place: list(named) for place, named in found.items()}


def faults_of(plan: Plan, base: App) -> list[FieldError]:
    """What a plan may say and this way of running it cannot."""
    taken = {spec.name for spec in base.inputs if spec.type in FILE_INPUTS}
    errors = [
        FieldError("plan", f"a parameter cannot be called {one.name}: the application has an input of that name")
        for one in plan.parameters
        if one.name in taken or one.name.startswith(_OWN_FILES)
    ]
    whole = {one.name: one.values for one in plan.parameters}
    for one in plan.inputs:
        if used_in(posixpath.dirname(one.path)):
            errors.append(
                FieldError(one.place, f"{one.path}: a parameter may stand in the name of a file, not of its folder")
            )
        values = {name: values for name, values in whole.items() if name in used_in(posixpath.basename(one.path))}
        if any(isinstance(value, str) and "/" in value for several in values.values() for value in several):
            errors.append(
                FieldError(one.place, f"{one.path}: the value of a parameter in the name of a file holds no slash")
            )
        if one.special and used_in(one.path):
            errors.append(FieldError(one.place, f"@{one.path}: the name of a template holds no parameter"))
    return errors


def result_path(spec: OutputSpec, values: Mapping[str, Value], name: str) -> str:
    """Where a task's output file of that name stands below the task's folder in ``results``."""
    folder = posixpath.dirname(fill(spec.source, values))
    return posixpath.normpath(posixpath.join("" if set("*?[") & set(folder) else folder, name))


def _line(command: str, names: Collection[str]) -> str:
    """The shell's own ``${HOME}`` is kept from being taken for a parameter."""

    def keep(found: re.Match[str]) -> str:
        name = command[found.end() :].partition("}")[0]
        return found[0] if name in names else "$${"

    return _SHELLS_OWN.sub(keep, command)


def _parameter(name: str, values: Sequence[Value]) -> InputSpec:
    if any(isinstance(value, str) for value in values):
        return InputSpec(name, InputType.STRING)
    whole = all(isinstance(value, int) for value in values)
    return InputSpec(name, InputType.INTEGER if whole else InputType.NUMBER)


def _file_input(name: str, path: str) -> InputSpec:
    """A list of one file, which is put into a folder under its own name."""
    folder = posixpath.dirname(path)
    return InputSpec(name, InputType.FILES, path=folder or None, writable=True)


def _values(declared: Iterable[OutputSpec], named: Sequence[Named]) -> Iterator[OutputSpec]:
    for spec in declared:
        ending = spec.source[spec.source.find(".") :]
        source = next((one.path for one in named if one.path.endswith(ending)), None)
        if spec.type not in FILE_OUTPUTS and source is not None:
            yield replace(spec, source=source)


def _outputs(named: Iterable[Named]) -> Iterator[OutputSpec]:
    taken: set[str] = set()
    for one in named:
        if one.special:
            yield OutputSpec(_free(f"{_key(one.path)} values", taken), OutputType.VALUES, one.path)
        kind = OutputType.FILES if set("*?[") & set(one.path) else OutputType.FILE
        required = one.path not in STREAMS
        yield OutputSpec(_free(_key(one.path), taken), kind, one.path, required=required)


def _key(path: str) -> str:
    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", r"\1", path)


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name} {number}"
    taken.add(found)
    return found
