"""A set of optimisation problems as a plan: one task for each problem in AMPL's .nl format."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from sirdar.domain.app import FileRef
from sirdar.domain.plan import Named, Plan
from sirdar.domain.problems import FieldError, Problem
from sirdar.domain.sweep import Parameter
from sirdar.services.context import Services
from sirdar.services.job_inputs import refuse
from sirdar.wire.archive_names import check_name
from sirdar.wire.archives import list_archive

ENDING = ".nl"
NAME = "nlname"


@dataclass(slots=True)
class Problems:
    """The problems by their names without ``.nl``, and the files that are on the server already, by their names."""

    names: list[str] = field(default_factory=list)
    files: dict[str, FileRef] = field(default_factory=dict)
    options: str | None = None  # name of the options file


async def find_problems(services: Services, inputs: Mapping[str, Any], archive: FileRef | None) -> Problems:
    """The problems among the inputs, and in the archive. Raises Problem ``invalid_input`` for none, or two of one name."""
    found, errors = Problems(), list[FieldError]()
    for number, value in enumerate(inputs.get("problems") or []):
        ref = FileRef.from_json(value)
        if ref is None:
            continue
        place = f"inputs.problems[{number}]"
        if not ref.name.endswith(ENDING) or ref.name == ENDING or check_name(ref.name) is not None:
            errors.append(FieldError(place, f"{ref.name[:80]} is no name of a problem", "a file NAME.nl"))
        elif ref.name in found.files:
            errors.append(FieldError(place, f"there are two problems {ref.name}", "names that differ"))
        else:
            found.files[ref.name] = ref
            found.names.append(ref.name.removesuffix(ENDING))
    refuse(errors)
    if archive is not None:
        found.names += await _in_archive(services, archive, set(found.names))
    if not found.names:
        raise Problem(
            "invalid_input",
            "There are no problems.",
            field="inputs.problems",
            expected="at least one .nl file, or a plan",
        )
    options = FileRef.from_json(inputs.get("options_file"))
    if options is not None and options.name in {*found.files, *(name + ENDING for name in found.names)}:
        raise Problem("invalid_input", f"{options.name} is a problem already.", field="inputs.options_file")
    if options is not None:
        found.files[options.name] = options
        found.options = options.name
    return found


async def _in_archive(services: Services, archive: FileRef, taken: set[str]) -> list[str]:
    async with services.blobs.file(archive.sha256) as path:
        members = await services.blobs.in_thread(list_archive, path)
    names = [
        str(PurePosixPath(member.name)).removesuffix(ENDING)
        for member in members
        if member.name.endswith(ENDING) and not member.is_dir and "/" not in member.name
    ]
    if twice := sorted(taken & set(names)):
        raise Problem("invalid_input", f"There are two problems {twice[0]}{ENDING}.", field="inputs.files")
    return names


def problem_plan(inputs: Mapping[str, Any], problems: Problems) -> Plan:
    """The plan that Everest's clients would have sent, with options on the command's line besides."""
    options = " ".join(shlex.quote(str(option)) for option in inputs.get("options") or [])
    file = shlex.quote(problems.options or "")
    return Plan(
        parameters=(Parameter(NAME, tuple(problems.names)),),
        constraints=(),
        inputs=(Named(f"${{{NAME}}}{ENDING}"), *([Named(problems.options)] if problems.options else [])),
        command=f'run-{inputs.get("solver", "ipopt")}.sh "${{{NAME}}}" {file} {options}'.rstrip(),
        outputs=tuple(Named(f"${{{NAME}}}{ending}") for ending in (".sol", ".log.txt", ".err.txt")),
        criterion=None,
    )
